// Encodes tokens for URLs and subprotocols.

/** Percent-encodes a token. Unlike `encodeURIComponent`, it encodes `(` and `)`, which a subprotocol must not contain. */
export function percentEncoded(token) {
  return encodeURIComponent(token).replace(/[()]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Encodes the UTF-8 bytes of a token in Base64 without padding. */
export function base64(token) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(token))).replaceAll("=", "");
}

/** Encodes the UTF-8 bytes of a token in the URL-safe alphabet of Base64, without padding. */
export function base64url(token) {
  return base64(token).replaceAll("+", "-").replaceAll("/", "_");
}
