// Runs in an iframe of the WebSocket's origin. A page of another origin cannot set cookies for this origin, so it sends the
// token with `postMessage`, and this script sets the cookie. It accepts messages from the origins of this example only:
// otherwise any page could log the user in as another user.

import { allOrigins, configuration } from "./origins.js";

const allowed = configuration().then(allOrigins);

addEventListener("message", async ({ origin, data, ports: [port] }) => {
  if (!port || !(await allowed).includes(origin)) return;
  const { token } = data;
  // A script cannot set HttpOnly. SameSite=Strict is the strictest attribute that it can set.
  document.cookie = token ? `token=${token}; Path=/; SameSite=Strict; Max-Age=60` : "token=; Path=/; SameSite=Strict; Max-Age=0";
  const stored = document.cookie.split("; ").includes(`token=${token}`);
  port.postMessage({ stored });
});
