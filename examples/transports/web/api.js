// Calls the HTTP API of the server, with the token in the `Authorization` header.

/** Returns the subject and the scopes of a token, or an empty list of scopes if the token is invalid. */
export async function me(token) {
  const { status, body } = await call("GET", "/api/me", token);
  return status === 200 ? body : { scopes: [] };
}

export const mintTicket = (token) => call("POST", "/ticket", token);

export const renew = (token, session) => call("POST", "/renew", token, { session });

/** Revokes `{ subject }`, `{ session }` or `{ all: true }`. */
export const revoke = (token, target) => call("POST", "/revoke", token, target);

export const sessions = (token) => call("GET", "/sessions", token);

async function call(method, path, token, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store" });
  return { status: response.status, body: await response.json().catch(() => null) };
}
