// One subscriber of FHIRcast's hub: an address that is a secret, a lease on it, and what comes until it ends.

const EVENTS = "Patient-open,Patient-close,SyncError";

/**
 * Tells what happens: `confirmed(seconds)`, `happened(message)`, `denied(reason)`, `opened()`, `closed(code, reason)`.
 */
export class Subscriber {
  #token;
  #tell;
  #endpoint = "";
  #socket = null;

  /** What is followed. A topic is one user's, and nobody else's. */
  topic = crypto.randomUUID();

  constructor(token, tell) {
    this.#token = token;
    this.#tell = tell;
  }

  /** Asks for an address and connects there. */
  async subscribe(seconds) {
    const answer = await this.#form("subscribe", { "hub.events": EVENTS, "hub.lease_seconds": seconds });
    this.#endpoint = answer["hub.channel.endpoint"];
    this.connect();
  }

  /** Asks for a new lease. The confirmation comes on the open socket. */
  prolong(seconds) {
    return this.#form("subscribe", { "hub.events": EVENTS, "hub.lease_seconds": seconds, "hub.channel.endpoint": this.#endpoint });
  }

  /** Gives the address back. The hub says so on the open socket. */
  unsubscribe() {
    return this.#form("unsubscribe", { "hub.channel.endpoint": this.#endpoint });
  }

  /** Connects to the address, which is good for that until its lease ends. */
  connect() {
    const socket = new WebSocket(this.#endpoint);
    this.#socket = socket;
    socket.onopen = () => this.#tell.opened();
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#tell.closed(code, reason);
    };
  }

  disconnect() {
    this.#socket?.close(1000);
  }

  /** Tells the topic that a patient was opened. Whoever follows it hears so, we too. */
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

  /** Where it connects, without what opens it. */
  get place() {
    return this.#endpoint.replace(/[^/]+$/, "•••");
  }

  #hear(message) {
    if (message["hub.mode"] === "subscribe") return this.#tell.confirmed(message["hub.lease_seconds"]);
    if (message["hub.mode"] === "denied") return this.#tell.denied(message["hub.reason"]);
    // Whoever does not acknowledge is told of to all the others.
    this.#socket.send(JSON.stringify({ id: message.id, status: "200" }));
    this.#tell.happened(message);
  }

  #form(mode, fields) {
    return this.#post("", new URLSearchParams({ "hub.channel.type": "websocket", "hub.mode": mode, "hub.topic": this.topic, ...fields }));
  }

  async #post(kind, body) {
    const response = await fetch("/fhircast", {
      method: "POST",
      headers: { Authorization: `Bearer ${this.#token}`, ...(kind && { "Content-Type": kind }) },
      body,
      cache: "no-store",
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    throw new Error(answer.error ?? answer.issue?.[0]?.diagnostics ?? `The hub answered ${response.status}.`);
  }
}
