// How a token is written where not every letter may stand.

/** `encodeURIComponent` leaves `(` and `)` as they are, and a subprotocol must not contain them. */
export function percentEncoded(token) {
  return encodeURIComponent(token).replace(/[()]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Base64 of the token's UTF-8, without padding. */
export function base64(token) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(token))).replaceAll("=", "");
}

/** The same in the alphabet for addresses. */
export function base64url(token) {
  return base64(token).replaceAll("+", "-").replaceAll("/", "_");
}
