// The HTTP side of the server, called with the token in a header.

/** Whose token it is and what it may do; no scopes if it is nobody's. */
export async function me(token) {
  const { status, body } = await call("GET", "/api/me", token);
  return status === 200 ? body : { scopes: [] };
}

export const mintTicket = (token) => call("POST", "/ticket", token);

export const renew = (token, session) => call("POST", "/renew", token, { session });

export const revoke = (token, what) => call("POST", "/revoke", token, what);

export const sessions = (token) => call("GET", "/sessions", token);

async function call(method, path, token, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store" });
  return { status: response.status, body: await response.json().catch(() => null) };
}
