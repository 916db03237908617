// A subscriber of the FHIRcast hub. Its URL is secret, and valid until the lease ends.

const EVENTS = "Patient-open,Patient-close,SyncError";

/**
 * Subscribes to a topic and connects to the hub.
 *
 * `listener` has these callbacks: `opened()`, `confirmed(seconds)`, `received(message)`, `denied(reason)` and `closed(code, reason)`.
 */
export class Subscriber {
  #token;
  #listener;
  #endpoint = "";
  #socket = null;

  /** The name of the topic. Topics of different users are separate. */
  topic = crypto.randomUUID();

  constructor(token, listener) {
    this.#token = token;
    this.#listener = listener;
  }

  /** Requests a URL and connects to it. */
  async subscribe(seconds) {
    const answer = await this.#postForm("subscribe", { "hub.events": EVENTS, "hub.lease_seconds": seconds });
    this.#endpoint = answer["hub.channel.endpoint"];
    this.connect();
  }

  /** Extends the lease. The hub sends the confirmation to the open socket. */
  extendLease(seconds) {
    return this.#postForm("subscribe", { "hub.events": EVENTS, "hub.lease_seconds": seconds, "hub.channel.endpoint": this.#endpoint });
  }

  /** Ends the subscription. The hub sends a denial to the open socket. */
  unsubscribe() {
    return this.#postForm("unsubscribe", { "hub.channel.endpoint": this.#endpoint });
  }

  /** Connects to the URL, which is valid until the lease ends. */
  connect() {
    const socket = new WebSocket(this.#endpoint);
    this.#socket = socket;
    socket.onopen = () => this.#listener.opened();
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#listener.closed(code, reason);
    };
  }

  disconnect() {
    this.#socket?.close(1000);
  }

  /** Publishes the event Patient-open. All subscribers of the topic receive it, including this one. */
  openPatient(id) {
    const message = {
      timestamp: new Date().toISOString(),
      id: crypto.randomUUID(),
      event: {
        "hub.topic": this.topic,
        "hub.event": "Patient-open",
        context: [{ key: "patient", resource: { resourceType: "Patient", id } }],
      },
    };
    return this.#post("application/json", JSON.stringify(message));
  }

  /** The URL without its secret part. */
  get redactedUrl() {
    return this.#endpoint.replace(/[^/]+$/, "•••");
  }

  #receive(message) {
    if (message["hub.mode"] === "subscribe") return this.#listener.confirmed(message["hub.lease_seconds"]);
    if (message["hub.mode"] === "denied") return this.#listener.denied(message["hub.reason"]);
    // Without an acknowledgement, the hub publishes a SyncError.
    this.#socket.send(JSON.stringify({ id: message.id, status: "200" }));
    this.#listener.received(message);
  }

  #postForm(mode, fields) {
    return this.#post("", new URLSearchParams({ "hub.channel.type": "websocket", "hub.mode": mode, "hub.topic": this.topic, ...fields }));
  }

  async #post(contentType, body) {
    const response = await fetch("/fhircast", {
      method: "POST",
      headers: { Authorization: `Bearer ${this.#token}`, ...(contentType && { "Content-Type": contentType }) },
      body,
      cache: "no-store",
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    throw new Error(answer.error ?? answer.issue?.[0]?.diagnostics ?? `The hub answered ${response.status}.`);
  }
}
