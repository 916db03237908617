// Test cases with a credential in the handshake. `cases.js` documents their properties.

import { base64, base64url, percentEncoded } from "./encodings.js";

const JUPYTER = "v1.token.websocket.jupyter.org";
const KUBERNETES = "base64url.bearer.authorization.k8s.io.";
const PHOENIX = "base64url.bearer.phx.";

/** The explanation of the cookie case, for each target. */
const COOKIE_EXPLANATIONS = {
  self: "The browser attaches the cookie automatically, and the Origin header shows that the handshake comes from a page of this server.",
  port: "The browser attaches the cookie, because another port is the same site, even for SameSite=Strict. The Origin check refuses the handshake: otherwise any page on this machine could use your login.",
  allowed: "The browser attaches the cookie, because another port is the same site, and the server is configured to allow the origin of this page.",
  name: "Between 127.0.0.1 and localhost the cookie is a third-party cookie. The browser neither stores it in the frame nor sends it.",
};

export const HANDSHAKE_CASES = [
  {
    key: "none",
    title: "No credential",
    example: () => `new WebSocket("…/ws/any")`,
    request: () => ({ path: "/ws/any" }),
    opens: () => false,
    explanation: () => "The server refuses a handshake without a credential. The page sees only code 1006 and no reason, because browsers hide the response to a failed handshake.",
  },
  {
    key: "header",
    title: "Authorization header",
    example: () => `new WebSocket("…/ws/header")   // no argument for headers`,
    request: () => ({ path: "/ws/header" }),
    opens: () => false,
    explanation: () => "A script cannot set headers on a WebSocket. This carrier is for clients other than browsers.",
  },
  {
    key: "basic",
    title: "User and password in the URL",
    example: (user) => `new WebSocket("ws://${user}:‹token›@…/ws/basic")`,
    request: (user, token) => ({ path: "/ws/basic", userInfo: `${encodeURIComponent(user)}:${percentEncoded(token)}@` }),
    opens: () => false,
    explanation: () => "Chromium accepts such a URL, removes the user and the password, and sends no Authorization header.",
  },
  {
    key: "jupyter",
    title: "Jupyter subprotocol",
    example: () => `new WebSocket("…/ws/jupyter", [\n  "${JUPYTER}",\n  "${JUPYTER}.‹percent(token)›",\n])`,
    request: (user, token) => ({ path: "/ws/jupyter", protocols: [JUPYTER, `${JUPYTER}.${percentEncoded(token)}`] }),
    opens: () => true,
    protocol: JUPYTER,
    explanation: () => "The second entry contains the token, and the server never echoes it. The first entry is a marker that the server can select instead.",
  },
  {
    key: "jupyter-app",
    title: "Jupyter subprotocol and one of the application",
    example: () => `new WebSocket("…/ws/jupyter", [\n  "chat.v2",\n  "${JUPYTER}",\n  "${JUPYTER}.‹percent(token)›",\n])`,
    request: (user, token) => ({ path: "/ws/jupyter", protocols: ["chat.v2", JUPYTER, `${JUPYTER}.${percentEncoded(token)}`] }),
    opens: () => true,
    protocol: "chat.v2",
    explanation: () => "If the application supports an offered subprotocol, the server selects that one instead of the marker.",
  },
  {
    key: "kubernetes",
    title: "Kubernetes subprotocol",
    example: () => `new WebSocket("…/ws/kubernetes", [\n  "${KUBERNETES}‹base64url(token)›",\n  "chat.v2",\n])`,
    request: (user, token) => ({ path: "/ws/kubernetes", protocols: [KUBERNETES + base64url(token), "chat.v2"] }),
    opens: () => true,
    protocol: "chat.v2",
    explanation: () => "There is no marker, so the page must offer a second subprotocol: a browser closes the connection if the server selects none.",
  },
  {
    key: "phoenix",
    title: "Phoenix subprotocol",
    example: () => `new WebSocket("…/ws/phoenix", [\n  "phoenix",\n  "${PHOENIX}‹base64(token)›",\n])`,
    request: (user, token) => ({ path: "/ws/phoenix", protocols: ["phoenix", PHOENIX + base64(token).replaceAll("/", "_")] }),
    opens: () => true,
    protocol: "phoenix",
    explanation: () => "This is the format of the Phoenix client. Its Base64 alphabet contains a slash, which a subprotocol must not contain, so the server accepts both alphabets.",
  },
  {
    key: "query",
    title: "Query parameter",
    example: () => `new WebSocket("…/ws/query?token=‹token›")`,
    request: (user, token) => ({ path: `/ws/query?token=${encodeURIComponent(token)}` }),
    opens: () => true,
    protocol: "",
    explanation: () => "This works with every client, but proxies and servers log URLs. Portcullis removes the token before the handler sees the URL.",
  },
  {
    key: "any",
    title: "Route that accepts every carrier",
    example: () => `new WebSocket("…/ws/any", [\n  "chat.v2",\n  "${JUPYTER}.‹percent(token)›",\n])`,
    request: (user, token) => ({ path: "/ws/any", protocols: ["chat.v2", `${JUPYTER}.${percentEncoded(token)}`] }),
    opens: () => true,
    protocol: "chat.v2",
    explanation: () => "The server looks for a credential in every carrier. It refuses a handshake with two different credentials.",
  },
  {
    key: "cookie",
    title: "Cookie, set by an iframe",
    cookie: true,
    example: (user, { origin }) => `iframe.contentWindow.postMessage({ token }, "${origin}", [port])\n// in the iframe: document.cookie = "token=…; SameSite=Strict"\nnew WebSocket("…/ws/cookie")`,
    request: () => ({ path: "/ws/cookie" }),
    opens: ({ key, allowed }) => key === "self" || (key === "port" && allowed),
    protocol: "",
    explanation: ({ key, allowed }) => COOKIE_EXPLANATIONS[key === "port" && allowed ? "allowed" : key],
  },
  {
    key: "rescue",
    title: "Invalid token and valid cookie",
    cookie: true,
    only: "self",
    example: () => `// with the cookie of the previous test\nnew WebSocket("…/ws/any?token=wrong")`,
    request: () => ({ path: "/ws/any?token=wrong" }),
    opens: () => false,
    explanation: () => "The server does not fall back to the cookie: otherwise the page would be logged in as a different user than the one it asked for.",
  },
];
