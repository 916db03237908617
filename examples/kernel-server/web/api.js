// The server's REST interface. The login is an HttpOnly cookie, so nothing here holds a secret.

/** The server answered, but not with what was asked for. */
export class Refused extends Error {
  constructor(status, message) {
    super(message || `The server answered ${status}.`);
    this.status = status;
  }

  /** Is there no login (any more)? */
  get signedOut() {
    return this.status === 401 || this.status === 403;
  }
}

/** The server did not answer at all. */
export class Unreachable extends Error {
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
export const takeBack = (id) => call("DELETE", `/api/share/${encodeURIComponent(id)}`);
export const sessions = () => call("GET", "/api/portcullis/sessions");
export const revoke = (what) => call("POST", "/api/portcullis/revoke", what);
export const renew = (session) => call("POST", "/api/portcullis/renew", { session });

/** What the server knows of the socket that this page has opened to a kernel. */
export function ownSession(kernel, session) {
  const query = new URLSearchParams({ kernel, session_id: session });
  return call("GET", `/api/portcullis/session?${query}`);
}

/** The address of a kernel's channels. */
export function channels(id, session) {
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
    throw new Unreachable();
  }
  const text = await response.text();
  const value = parse(text);
  if (!response.ok) throw new Refused(response.status, value?.detail ?? value?.message);
  return value;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
