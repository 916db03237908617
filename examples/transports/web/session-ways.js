// What becomes of a socket that is open: it is renewed, it expires, it is seen and taken back.

import { renew, revoke, sessions } from "./api.js";
import { echoing, expiring } from "./talks.js";

/** Longer than this nobody wants to watch a row. */
const LONGEST_WAIT = 10;

const EXPIRED = 3000;
const REVOKED = 3003;

const query = (user, token) => ({ path: `/ws/query?token=${encodeURIComponent(token)}` });
const renewable = (user, token) => ({ path: `/ws/renewable?token=${encodeURIComponent(token)}` });
const isAdmin = ({ me }) => me.scopes.includes("admin");

export const SESSION_WAYS = [
  {
    key: "renew-message",
    title: "Renewed by a message",
    only: "self",
    shown: () => `socket.send(JSON.stringify({ type: "auth", token: ‹token› }))\n// → {"type":"auth","expires_in":…}`,
    request: renewable,
    talk: (token) =>
      echoing({
        begin: ({ say }) => say({ type: "auth", token }),
        hear: (data) => {
          const { type, expires_in, error } = JSON.parse(data);
          if (type !== "auth" || error) throw new Error(error ?? "That is no answer to a renewal.");
          return { "Renewed for": seconds(expires_in) };
        },
      }),
    opens: () => true,
    protocol: "",
    why: () => "A fresh token on the open socket moves its end. The application sees neither the message nor a gap.",
  },
  {
    key: "renew-post",
    title: "Renewed by a request",
    only: "self",
    shown: () => `await fetch("/renew", {\n  method: "POST", headers: { Authorization: "Bearer ‹token›" },\n  body: JSON.stringify({ session }),\n})`,
    request: renewable,
    talk: (token) =>
      echoing({
        begin: async ({ seen }) => {
          const { status, body } = await renew(token, seen.session);
          if (status !== 200) throw new Error(`The renewal was answered with ${status}.`);
          return { "Renewed for": seconds(body.expires_in) };
        },
      }),
    opens: () => true,
    protocol: "",
    why: () => "The same beside the socket: its first message named the session. A token of somebody else would close it.",
  },
  {
    key: "expiry",
    title: "Expired",
    only: "self",
    applies: ({ config }) => config.token_lifetime !== null && config.token_lifetime <= LONGEST_WAIT,
    shown: () => `socket.onclose = ({ code, reason }) => …   // ${EXPIRED}, "credential expired"`,
    request: query,
    talk: () => expiring(EXPIRED),
    patience: ({ token_lifetime }) => (token_lifetime + 10) * 1000,
    opens: () => true,
    protocol: "",
    why: ({ config }) => `The server was told to end every login after ${config.token_lifetime} seconds. It closes the socket by itself, and says why.`,
  },
  {
    key: "sessions",
    title: "Seen by an administrator",
    only: "self",
    applies: isAdmin,
    shown: () => `await (await fetch("/sessions", { headers: { Authorization: "Bearer ‹token›" } })).json()`,
    request: query,
    talk: (token) =>
      echoing({
        begin: async ({ seen }) => {
          const { status, body } = await sessions(token);
          const own = status === 200 && body.find(({ id }) => id === seen.session);
          if (!own) throw new Error(`The list does not have this session (${status}).`);
          return { Sessions: body.length, "This one": `${own.subject} by ${own.carrier} from ${own.peer}, ends in ${seconds(own.expires_in)}` };
        },
      }),
    opens: () => true,
    protocol: "",
    why: () => "Who has the scope admin sees every open socket of this server: whose it is, how it came in, and until when.",
  },
  {
    key: "revoke",
    title: "Taken back by an administrator",
    only: "self",
    applies: isAdmin,
    shown: () => `await fetch("/revoke", {\n  method: "POST", headers: { Authorization: "Bearer ‹token›" },\n  body: JSON.stringify({ session }),\n})\n// the socket closes with ${REVOKED}`,
    request: query,
    talk: (token) =>
      expiring(REVOKED, async ({ seen }) => {
        const { status, body } = await revoke(token, { session: seen.session });
        if (body?.closed !== 1) throw new Error(`The revocation was answered with ${status}.`);
      }),
    opens: () => true,
    protocol: "",
    why: () => "The socket is closed at once, whatever its client does. A revoked subject could not open another one either.",
  },
];

function seconds(count) {
  return `${count} s`;
}
