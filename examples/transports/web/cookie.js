// Runs in an iframe of the WebSocket's origin. A page of another origin cannot set this origin's cookies, so it hands the
// token over with `postMessage` and this script sets the cookie. It listens to this example's own origins only: who can
// set a cookie can log somebody in as somebody else.

import { configuration, everyOrigin } from "./origins.js";

const allowed = configuration().then(everyOrigin);

addEventListener("message", async ({ origin, data, ports: [answer] }) => {
  if (!answer || !(await allowed).includes(origin)) return;
  const { token } = data;
  // HttpOnly would be better, and no script can set it. SameSite=Strict is the best a script can do.
  document.cookie = token ? `token=${token}; Path=/; SameSite=Strict; Max-Age=60` : "token=; Path=/; SameSite=Strict; Max-Age=0";
  const stored = document.cookie.split("; ").includes(`token=${token}`);
  answer.postMessage({ stored });
});
