// A socket to which binding tokens are bound.

/** The fraction of a token's lifetime that is left when the next token is bound. */
const REMAINING = 1 / 3;

/**
 * Keeps a subscription bound to one socket.
 *
 * `fetchToken()` resolves to `{ token, expires, url }`. `listener` has these callbacks: `opened()`, `bound({ expires, lifetime })`,
 * `notification(bundle)`, `problem(text)` and `closed(code, reason)`.
 */
export class SubscriptionSocket {
  #fetchToken;
  #listener;
  #socket = null;
  #url = "";
  #timer = 0;

  constructor(fetchToken, listener) {
    this.#fetchToken = fetchToken;
    this.#listener = listener;
  }

  /** Opens a socket and binds a token to it. */
  async open() {
    const token = await this.#fetchToken();
    this.#url = token.url;
    const socket = new WebSocket(token.url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#listener.opened();
      this.#bind(token);
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      clearTimeout(this.#timer);
      this.#listener.closed(code, reason);
    };
  }

  /** Binds a new token to the open socket, or to a new socket if the server returns a different URL. */
  async rebind() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    const token = await this.#fetchToken();
    if (!socket || socket !== this.#socket) return;
    if (token.url === this.#url) return this.#bind(token);
    this.close();
    await this.open();
  }

  close() {
    this.#socket?.close(1000);
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  #bind({ token, expires }) {
    if (!this.isOpen) return;
    this.#socket.send(`bind-with-token ${token}`);
    const lifetime = Math.max(0, expires - Date.now());
    this.#timer = setTimeout(() => this.rebind().catch((error) => this.#listener.problem(error.message)), lifetime * (1 - REMAINING));
    this.#listener.bound({ expires, lifetime });
  }

  #receive(message) {
    if (message.resourceType === "Bundle") return this.#listener.notification(message);
    this.#listener.problem(message.issue?.[0]?.diagnostics ?? "The server sent a message that is not FHIR.");
  }
}
