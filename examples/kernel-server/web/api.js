// The REST API of the server. The browser authenticates with an HttpOnly cookie, so this code
// handles no secret.

/** An error response of the server. */
export class ResponseError extends Error {
  constructor(status, message) {
    super(message || `The server responded with status ${status}.`);
    this.status = status;
  }

  /** Whether the browser is not logged in. */
  get signedOut() {
    return this.status === 401 || this.status === 403;
  }
}

/** The server cannot be reached. */
export class NetworkError extends Error {
  constructor() {
    super("The server cannot be reached.");
  }
}

export const me = () => call("GET", "/api/me");
export const share = () => call("POST", "/api/share");
export const kernelSpecs = () => call("GET", "/api/kernelspecs");
export const kernel = (id) => call("GET", `/api/kernels/${encodeURIComponent(id)}`);
export const startKernel = (name) => call("POST", "/api/kernels", name ? { name } : {});
export const shutDownKernel = (id) => call("DELETE", `/api/kernels/${encodeURIComponent(id)}`);
export const restartKernel = (id) => call("POST", `/api/kernels/${encodeURIComponent(id)}/restart`);
export const interruptKernel = (id) => call("POST", `/api/kernels/${encodeURIComponent(id)}/interrupt`);
export const links = () => call("GET", "/api/share");
export const revokeLink = (id) => call("DELETE", `/api/share/${encodeURIComponent(id)}`);
export const sessions = () => call("GET", "/api/portcullis/sessions");
export const revoke = (what) => call("POST", "/api/portcullis/revoke", what);
export const renew = (session) => call("POST", "/api/portcullis/renew", { session });

/** Returns the server's session of the socket that this page has opened to a kernel. */
export function ownSession(kernel, session) {
  const query = new URLSearchParams({ kernel, session_id: session });
  return call("GET", `/api/portcullis/session?${query}`);
}

/** Returns the URL of a kernel's WebSocket. */
export function channelsUrl(id, session) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/api/kernels/${encodeURIComponent(id)}/channels?session_id=${encodeURIComponent(session)}`;
}

async function call(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      body: body && JSON.stringify(body),
      headers: body ? { "content-type": "application/json" } : {},
      cache: "no-store",
      credentials: "same-origin",
    });
  } catch {
    throw new NetworkError();
  }
  const text = await response.text();
  const value = parse(text);
  if (!response.ok) throw new ResponseError(response.status, value?.detail ?? value?.message);
  return value;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
