// The client of one kernel. It reconnects automatically and tracks the state of the kernel.

import * as api from "./api.js";
import { SUBPROTOCOL, decode, encode } from "./wire.js";

/** Delays and timeouts in milliseconds. */
const FIRST_DELAY = 500;
const MAX_DELAY = 20_000;
const PROBE_TIMEOUT = 5_000;
const EXECUTE_TIMEOUT = 2_000;

/** The close code of a revoked session. The client does not reconnect automatically. */
const REVOKED = 3003;

/**
 * Events:
 * - `state`: `state`, `code` or `reason` may have changed;
 * - `open`, `close`: the socket was opened or closed;
 * - `message`: a message of the kernel (`detail`);
 * - `settled`: the kernel has finished all requests from before the last connect or restart
 *   (`detail`: the set of their ids).
 */
export class Kernel extends EventTarget {
  /**
   * The state of the kernel (starting, idle, busy, restarting, dead, shut-down) or of the
   * connection (connecting, waiting, revoked, signed-out, closed).
   */
  state = "connecting";
  /** The reason and code with which the server closed the socket. */
  reason = "";
  code = 0;
  /** The content of `kernel_info_reply`. */
  info = null;

  #socket = null;
  #outbox = [];
  #sent = new Set();
  #attempts = 0;
  #timer = 0;
  #probe = null;
  #listeners = new AbortController();

  constructor(model, session) {
    super();
    this.id = model.id;
    this.name = model.name;
    this.session = session;
    const retry = () => document.visibilityState === "visible" && this.retryNow();
    addEventListener("online", retry, { signal: this.#listeners.signal });
    document.addEventListener("visibilitychange", retry, { signal: this.#listeners.signal });
  }

  /** Opens the socket. */
  connect() {
    this.#disconnect();
    this.#setState("connecting");
    const socket = new WebSocket(api.channelsUrl(this.id, this.session), [SUBPROTOCOL]);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => event.data instanceof ArrayBuffer && this.#receive(decode(event.data));
    socket.onclose = (event) => this.#closed(event);
  }

  /** Reconnects now instead of after the delay. */
  retryNow() {
    if (this.state === "waiting" || this.state === "signed-out") this.connect();
  }

  /** Disconnects for good. The kernel keeps running. */
  close() {
    this.#listeners.abort();
    this.#disconnect();
    this.#setState("closed");
  }

  /** Runs code and returns the id of the request. Waits for the socket if it is not open. */
  execute(code) {
    const content = { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: true, stop_on_error: true };
    const message = this.#message("shell", "execute_request", content);
    this.#send(message);
    return message.header.msg_id;
  }

  /** Adds a request that an earlier page has sent, and that may still be answered. */
  expect(id) {
    this.#sent.add(id);
  }

  /** Answers an `input_request` of the kernel. */
  answer(request, value) {
    this.#send({ ...this.#message("stdin", "input_reply", { value }), parent_header: request.header });
  }

  async interrupt() {
    await api.interruptKernel(this.id);
  }

  async restart() {
    this.#outbox = [];
    this.#setState("restarting");
    try {
      await api.restartKernel(this.id);
    } catch (error) {
      this.#setState(error.status === 404 ? "shut-down" : error.signedOut ? "signed-out" : "dead");
      throw error;
    }
    if (this.#socket?.readyState === WebSocket.OPEN) this.#sendProbe();
    else this.connect();
  }

  #disconnect() {
    clearTimeout(this.#timer);
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(1000);
    this.#socket = null;
  }

  #opened() {
    this.#attempts = 0;
    this.reason = "";
    this.#setState("starting");
    this.dispatchEvent(new Event("open"));
    this.#sendProbe();
    for (const message of this.#outbox.splice(0)) this.#send(message);
  }

  // Asks for the kernel info. The kernel handles shell requests in order, so the reply means that
  // it is ready and has finished all earlier requests, even if their replies were lost with an
  // older socket.
  #sendProbe() {
    const message = this.#message("shell", "kernel_info_request", {});
    this.#probe = { id: message.header.msg_id, before: new Set(this.#sent) };
    this.#send(message);

    // A kernel that is still starting may miss the request.
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#isStarting && this.#sendProbe(), PROBE_TIMEOUT);
  }

  get #isStarting() {
    return this.#probe && (this.state === "starting" || this.state === "restarting");
  }

  #receive(message) {
    const { msg_type: type } = message.header;
    if (type === "kernel_info_reply" && message.parent_header.msg_id === this.#probe?.id) {
      this.info = message.content;
      if (this.state !== "busy") this.#setState("idle");
      for (const id of this.#probe.before) this.#sent.delete(id);
      this.dispatchEvent(new CustomEvent("settled", { detail: this.#probe.before }));
      this.#probe = null;
    }
    if (type === "execute_reply") this.#sent.delete(message.parent_header.msg_id);
    if (type === "status") this.#updateState(message.content.execution_state);
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #updateState(state) {
    const known = { autorestarting: "restarting", terminating: "dead" };
    this.#setState(known[state] ?? state);
    // A new process reports `starting`, and no other state until it receives a request.
    if (state === "starting" && !this.#probe) this.#sendProbe();
  }

  async #closed(event) {
    clearTimeout(this.#timer);
    this.#probe = null;
    this.reason = event.reason;
    this.code = event.code;
    this.dispatchEvent(new Event("close"));
    if (this.state === "dead") return;
    this.#setState("waiting");
    await this.#checkServer();
    if (this.state === "waiting" && event.code === REVOKED) return this.#setState("revoked");
    if (this.state !== "waiting") return;
    const delay = Math.min(MAX_DELAY, FIRST_DELAY * 2 ** this.#attempts++) * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.connect(), delay);
  }

  // Browsers do not report why a handshake was refused, so an ordinary request finds out.
  async #checkServer() {
    const { state } = this;
    try {
      await api.me();
      const model = await api.kernel(this.id);
      if (model?.execution_state === "dead") return this.#setState("dead");
    } catch (error) {
      if (this.state !== state) return;
      if (error.signedOut) return this.#setState("signed-out");
      if (error.status === 404) return this.#setState("shut-down");
    }
  }

  // Another client may have shut the kernel down without closing this socket. Then a request stays
  // unanswered.
  #watch(id) {
    setTimeout(() => this.#sent.has(id) && this.state === "idle" && this.#checkServer(), EXECUTE_TIMEOUT);
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return this.#outbox.push(message);
    this.#socket.send(encode(message));
    if (message.header.msg_type !== "execute_request") return;
    this.#sent.add(message.header.msg_id);
    this.#watch(message.header.msg_id);
  }

  #message(channel, type, content) {
    const header = {
      msg_id: randomId(),
      msg_type: type,
      username: "",
      session: this.session,
      date: new Date().toISOString(),
      version: "5.4",
    };
    return { channel, header, parent_header: {}, metadata: {}, content, buffers: [] };
  }

  #setState(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

/** Returns a random id. `crypto.randomUUID` is not available to pages loaded over plain HTTP. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
