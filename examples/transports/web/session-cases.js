// Test cases for open sockets: renewal, expiry, listing and revocation. `cases.js` documents the properties of a case.

import { renew, revoke, sessions } from "./api.js";
import { echo, expectClose } from "./conversations.js";

/** The longest token lifetime, in seconds, for which the page waits until the socket is closed. */
const MAX_LIFETIME = 10;

const EXPIRED = 3000;
const REVOKED = 3003;

const query = (user, token) => ({ path: `/ws/query?token=${encodeURIComponent(token)}` });
const renewable = (user, token) => ({ path: `/ws/renewable?token=${encodeURIComponent(token)}` });
const isAdmin = ({ me }) => me.scopes.includes("admin");

export const SESSION_CASES = [
  {
    key: "renew-message",
    title: "Renewal by a message",
    only: "self",
    example: () => `socket.send(JSON.stringify({ type: "auth", token: ‹token› }))\n// → {"type":"auth","expires_in":…}`,
    request: renewable,
    conversation: (token) =>
      echo({
        run: ({ send }) => send({ type: "auth", token }),
        onReply: (data) => {
          const { type, expires_in, error } = JSON.parse(data);
          if (type !== "auth" || error) throw new Error(error ?? "The server did not answer the renewal.");
          return { "Renewed for": seconds(expires_in) };
        },
      }),
    opens: () => true,
    protocol: "",
    explanation: () => "A new token on the open socket extends the session. The handler does not receive the message.",
  },
  {
    key: "renew-post",
    title: "Renewal by a request",
    only: "self",
    example: () => `await fetch("/renew", {\n  method: "POST", headers: { Authorization: "Bearer ‹token›" },\n  body: JSON.stringify({ session }),\n})`,
    request: renewable,
    conversation: (token) =>
      echo({
        run: async ({ seen }) => {
          const { status, body } = await renew(token, seen.session);
          if (status !== 200) throw new Error(`The server answered the renewal with ${status}.`);
          return { "Renewed for": seconds(body.expires_in) };
        },
      }),
    opens: () => true,
    protocol: "",
    explanation: () => "An HTTP request with a new token and the session id extends the session. A token of another user would close the socket.",
  },
  {
    key: "expiry",
    title: "Expiry",
    only: "self",
    applies: ({ config }) => config.token_lifetime !== null && config.token_lifetime <= MAX_LIFETIME,
    example: () => `socket.onclose = ({ code, reason }) => …   // ${EXPIRED}, "credential expired"`,
    request: query,
    conversation: () => expectClose(EXPIRED),
    timeout: ({ token_lifetime }) => (token_lifetime + 10) * 1000,
    opens: () => true,
    protocol: "",
    explanation: ({ config }) => `On this server each login expires after ${config.token_lifetime} seconds. The server then closes the socket and states the reason.`,
  },
  {
    key: "sessions",
    title: "Listing by an administrator",
    only: "self",
    applies: isAdmin,
    example: () => `await (await fetch("/sessions", { headers: { Authorization: "Bearer ‹token›" } })).json()`,
    request: query,
    conversation: (token) =>
      echo({
        run: async ({ seen }) => {
          const { status, body } = await sessions(token);
          const own = status === 200 && body.find(({ id }) => id === seen.session);
          if (!own) throw new Error(`The list does not contain this session (${status}).`);
          return { Sessions: body.length, "This one": `${own.subject} by ${own.carrier} from ${own.peer}, expires in ${seconds(own.expires_in)}` };
        },
      }),
    opens: () => true,
    protocol: "",
    explanation: () => "A user with the scope admin can list all open sockets of this server, with their subject, carrier, address and expiry.",
  },
  {
    key: "revoke",
    title: "Revocation by an administrator",
    only: "self",
    applies: isAdmin,
    example: () => `await fetch("/revoke", {\n  method: "POST", headers: { Authorization: "Bearer ‹token›" },\n  body: JSON.stringify({ session }),\n})\n// the socket closes with ${REVOKED}`,
    request: query,
    conversation: (token) =>
      expectClose(REVOKED, async ({ seen }) => {
        const { status, body } = await revoke(token, { session: seen.session });
        if (body?.closed !== 1) throw new Error(`The server answered the revocation with ${status}.`);
      }),
    opens: () => true,
    protocol: "",
    explanation: () => "The server closes the socket at once. After a revocation of a subject, that user cannot open new sockets either.",
  },
];

function seconds(count) {
  return `${count} s`;
}
