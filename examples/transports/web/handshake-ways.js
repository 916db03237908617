// The ways in that are a part of the handshake.

import { base64, base64url, percentEncoded } from "./encodings.js";

const JUPYTER = "v1.token.websocket.jupyter.org";
const KUBERNETES = "base64url.bearer.authorization.k8s.io.";
const PHOENIX = "base64url.bearer.phx.";

/** Each as `ways.js` describes it. */
export const HANDSHAKE_WAYS = [
  {
    key: "none",
    title: "Nothing at all",
    shown: () => `new WebSocket("…/ws/any")`,
    request: () => ({ path: "/ws/any" }),
    opens: () => false,
    why: () => "Nobody comes in without a credential. The page learns code 1006 and no reason: a browser keeps the answer to a refused handshake to itself.",
  },
  {
    key: "header",
    title: "Authorization header",
    shown: () => `new WebSocket("…/ws/header")   // no place for a header`,
    request: () => ({ path: "/ws/header" }),
    opens: () => false,
    why: () => "A script cannot set a header on a WebSocket. This way is for programs outside a browser.",
  },
  {
    key: "basic",
    title: "User and password in the address",
    shown: (user) => `new WebSocket("ws://${user}:‹token›@…/ws/basic")`,
    request: (user, token) => ({ path: "/ws/basic", userInfo: `${encodeURIComponent(user)}:${percentEncoded(token)}@` }),
    opens: () => false,
    why: () => "Chromium accepts such an address, takes the user and the password out of it, and sends no Authorization header.",
  },
  {
    key: "jupyter",
    title: "Jupyter's subprotocol",
    shown: () => `new WebSocket("…/ws/jupyter", [\n  "${JUPYTER}",\n  "${JUPYTER}.‹percent(token)›",\n])`,
    request: (user, token) => ({ path: "/ws/jupyter", protocols: [JUPYTER, `${JUPYTER}.${percentEncoded(token)}`] }),
    opens: () => true,
    protocol: JUPYTER,
    why: () => "The second entry bears the token and is never echoed; the first stands beside it so that the server has something to answer with.",
  },
  {
    key: "jupyter-app",
    title: "The same, with the application's own",
    shown: () => `new WebSocket("…/ws/jupyter", [\n  "chat.v2",\n  "${JUPYTER}",\n  "${JUPYTER}.‹percent(token)›",\n])`,
    request: (user, token) => ({ path: "/ws/jupyter", protocols: ["chat.v2", JUPYTER, `${JUPYTER}.${percentEncoded(token)}`] }),
    opens: () => true,
    protocol: "chat.v2",
    why: () => "Where the application has a subprotocol of its own, that one is chosen, and the marker goes unanswered.",
  },
  {
    key: "kubernetes",
    title: "Kubernetes' subprotocol",
    shown: () => `new WebSocket("…/ws/kubernetes", [\n  "${KUBERNETES}‹base64url(token)›",\n  "chat.v2",\n])`,
    request: (user, token) => ({ path: "/ws/kubernetes", protocols: [KUBERNETES + base64url(token), "chat.v2"] }),
    opens: () => true,
    protocol: "chat.v2",
    why: () => "There is no marker, so a second subprotocol must be offered: a browser drops the connection if none is chosen.",
  },
  {
    key: "phoenix",
    title: "Phoenix' subprotocol",
    shown: () => `new WebSocket("…/ws/phoenix", [\n  "phoenix",\n  "${PHOENIX}‹base64(token)›",\n])`,
    request: (user, token) => ({ path: "/ws/phoenix", protocols: ["phoenix", PHOENIX + base64(token).replaceAll("/", "_")] }),
    opens: () => true,
    protocol: "phoenix",
    why: () => "As Phoenix' own client sends it. Its alphabet has a slash, which no subprotocol may contain; the server takes both alphabets.",
  },
  {
    key: "query",
    title: "Query parameter",
    shown: () => `new WebSocket("…/ws/query?token=‹token›")`,
    request: (user, token) => ({ path: `/ws/query?token=${encodeURIComponent(token)}` }),
    opens: () => true,
    protocol: "",
    why: () => "It works everywhere, and an address is written to logs. The handler sees it without the token.",
  },
  {
    key: "any",
    title: "A route that takes every way",
    shown: () => `new WebSocket("…/ws/any", [\n  "chat.v2",\n  "${JUPYTER}.‹percent(token)›",\n])`,
    request: (user, token) => ({ path: "/ws/any", protocols: ["chat.v2", `${JUPYTER}.${percentEncoded(token)}`] }),
    opens: () => true,
    protocol: "chat.v2",
    why: () => "The credential is looked for in every carrier. Two different ones would be refused.",
  },
  {
    key: "cookie",
    title: "Cookie, set through an iframe",
    cookie: true,
    shown: (user, { origin }) => `iframe.contentWindow.postMessage({ token }, "${origin}", [port])\n// there: document.cookie = "token=…; SameSite=Strict"\nnew WebSocket("…/ws/cookie")`,
    request: () => ({ path: "/ws/cookie" }),
    opens: ({ key, allowed }) => key === "self" || (key === "port" && allowed),
    protocol: "",
    why: ({ key, allowed }) => COOKIE[key === "port" && allowed ? "allowed" : key],
  },
  {
    key: "rescue",
    title: "A wrong token beside a good cookie",
    cookie: true,
    only: "self",
    shown: () => `// with the cookie of the row above\nnew WebSocket("…/ws/any?token=wrong")`,
    request: () => ({ path: "/ws/any?token=wrong" }),
    opens: () => false,
    why: () => "A credential that is there and bad is not rescued by a cookie: the page would be somebody else than it says.",
  },
];

const COOKIE = {
  self: "The browser attaches it by itself, and the Origin of the handshake shows that this server's own page asked.",
  port: "The cookie does ride along: another port is the same site, even for SameSite=Strict. The Origin check refuses it; else any page on this machine could use your login.",
  allowed: "The cookie rides along, because another port is the same site, and the server was told to allow this page's origin.",
  name: "Between 127.0.0.1 and localhost the cookie belongs to a third party: the browser neither keeps it in the frame nor sends it.",
};
