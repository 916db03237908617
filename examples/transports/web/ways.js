// The ways in: how a page speaks each, what becomes of it, and why.

import { HANDSHAKE_WAYS } from "./handshake-ways.js";
import { MESSAGE_WAYS } from "./message-ways.js";
import { SESSION_WAYS } from "./session-ways.js";
import { TICKET_WAYS } from "./ticket-ways.js";

/**
 * Each way: `request` gives the path and what is offered; `shown` is the code a reader would write; `opens` says whether it
 * should, to which target; `protocol` what the server should choose; `why` one sentence about it.
 *
 * Some have more: `prepare` gets a ticket before; `talk` is what is said on the socket (see `talks.js`); `only` names the one target it
 * is tried with; `applies` says whether it makes sense, for whom and with which server.
 */
export const WAYS = [...HANDSHAKE_WAYS, ...TICKET_WAYS, ...MESSAGE_WAYS, ...SESSION_WAYS];
