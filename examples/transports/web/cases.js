// All test cases of the page.

import { HANDSHAKE_CASES } from "./handshake-cases.js";
import { MESSAGE_CASES } from "./message-cases.js";
import { SESSION_CASES } from "./session-cases.js";
import { TICKET_CASES } from "./ticket-cases.js";

/**
 * A test case has these properties:
 *
 * - `key` identifies it.
 * - `title` is its heading.
 * - `example(user, target)` returns the code that a page would contain.
 * - `request(user, token, ticket)` returns the `path`, and optionally the `protocols` and the `userInfo` of the URL.
 * - `opens(target)` returns whether the socket is expected to open.
 * - `protocol` is the subprotocol that the server is expected to select.
 * - `explanation({ key, allowed, config })` returns a sentence about the expected result.
 *
 * These properties are optional:
 *
 * - `prepare(token)` mints the ticket that `request` and `conversation` receive.
 * - `conversation(token, ticket)` returns the messages on the socket (see `conversations.js`). The default is `echo()`.
 * - `cookie` is true if the case needs the cookie `token`.
 * - `only` is the key of the one target that the case applies to.
 * - `applies({ me, config })` returns whether the case applies to the user and the server.
 * - `timeout(config)` returns how many milliseconds the case may take.
 */
export const CASES = [...HANDSHAKE_CASES, ...TICKET_CASES, ...MESSAGE_CASES, ...SESSION_CASES];
