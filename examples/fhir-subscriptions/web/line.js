// One socket and the tokens that are bound on it.

/** Bind again when so much of a token's life is left. */
const LEFT = 1 / 3;

/**
 * Tells what happens: `notification(bundle)`, `problem(text)`, `bound({ expires, lifetime })`, `opened()`, `closed(code, reason)`.
 */
export class Line {
  #tell;
  #fetchToken;
  #socket = null;
  #url = "";
  #timer = 0;

  constructor(fetchToken, tell) {
    this.#fetchToken = fetchToken;
    this.#tell = tell;
  }

  /** Opens a socket and binds a token on it. */
  async open() {
    const token = await this.#fetchToken();
    this.#url = token.url;
    const socket = new WebSocket(token.url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#tell.opened();
      this.#bind(token);
    };
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      clearTimeout(this.#timer);
      this.#tell.closed(code, reason);
    };
  }

  /** Binds a fresh token on the socket that is open, or on another where the server says so. */
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
    this.#timer = setTimeout(() => this.rebind().catch((error) => this.#tell.problem(error.message)), lifetime * (1 - LEFT));
    this.#tell.bound({ expires, lifetime });
  }

  #hear(message) {
    if (message.resourceType === "Bundle") return this.#tell.notification(message);
    this.#tell.problem(message.issue?.[0]?.diagnostics ?? "The server said something else than FHIR.");
  }
}
