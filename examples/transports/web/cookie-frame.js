// Embeds an iframe that sets a cookie for another origin; see cookie.js.

const TIMEOUT = 4_000;

/** Embeds the frame of `origin`, calls `work` with it, and then deletes the cookie and removes the frame. */
export async function withCookieFrame(origin, work) {
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.title = "Sets a cookie";
  frame.src = `${origin}/cookie.html`;
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  document.body.append(frame);
  await Promise.race([loaded, wait(TIMEOUT)]);
  try {
    return await work({ set: (token) => setCookie(frame, origin, token) });
  } finally {
    await setCookie(frame, origin, "");
    frame.remove();
  }
}

// Resolves to whether the browser stored the cookie.
function setCookie(frame, origin, token) {
  const { port1, port2 } = new MessageChannel();
  const reply = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data.stored)));
  frame.contentWindow.postMessage({ token }, origin, [port2]);
  return Promise.race([reply, wait(TIMEOUT).then(() => false)]);
}

function wait(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
