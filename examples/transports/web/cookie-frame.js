// The page's side of the iframe that sets a cookie for the WebSocket's origin; see cookie.js.

const PATIENCE = 4_000;

/** Opens the frame of an origin, hands it to `work`, and takes the cookie and the frame away again. */
export async function withCookieFrame(origin, work) {
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.title = "Sets a cookie";
  frame.src = `${origin}/cookie.html`;
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  document.body.append(frame);
  await Promise.race([loaded, wait(PATIENCE)]);
  try {
    return await work({ set: (token) => tell(frame, origin, token) });
  } finally {
    await tell(frame, origin, "");
    frame.remove();
  }
}

// Resolves to whether the frame now has the cookie.
function tell(frame, origin, token) {
  const { port1, port2 } = new MessageChannel();
  const answer = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data.stored)));
  frame.contentWindow.postMessage({ token }, origin, [port2]);
  return Promise.race([answer, wait(PATIENCE).then(() => false)]);
}

function wait(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
