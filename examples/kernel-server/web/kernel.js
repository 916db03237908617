// One kernel as the page sees it: its socket, which comes back by itself, and its state.

import * as api from "./api.js";
import { SUBPROTOCOL, decode, encode } from "./wire.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 20_000;
const GREETING_TIME = 5_000;
const ANSWER_TIME = 2_000;

/** Somebody has taken the connection back. It does not come back by itself. */
const REVOKED = 3003;

/**
 * Events:
 * - `state`: something about `state`, `reason` or `retryAt` has changed;
 * - `open`, `close`: its socket;
 * - `message`: a message of the kernel (`detail`);
 * - `settled`: every request sent before the socket opened (last) has been worked off (`detail` is the set of their ids).
 */
export class Kernel extends EventTarget {
  /** What the kernel does: connecting, starting, idle, busy, restarting, dead; or waiting, revoked, signed-out, gone, closed. */
  state = "connecting";
  /** What the server said when it closed the socket, if it said anything. */
  reason = "";
  code = 0;
  /** The answer to `kernel_info_request`. */
  info = null;

  #socket = null;
  #outbox = [];
  #sent = new Set();
  #attempts = 0;
  #timer = 0;
  #hello = null;
  #left = new AbortController();

  constructor(model, session) {
    super();
    this.id = model.id;
    this.name = model.name;
    this.session = session;
    const hurry = () => document.visibilityState === "visible" && this.hurry();
    addEventListener("online", hurry, { signal: this.#left.signal });
    document.addEventListener("visibilitychange", hurry, { signal: this.#left.signal });
  }

  /** Opens the socket. */
  connect() {
    this.#hangUp();
    this.#move("connecting");
    const socket = new WebSocket(api.channels(this.id, this.session), [SUBPROTOCOL]);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => event.data instanceof ArrayBuffer && this.#receive(decode(event.data));
    socket.onclose = (event) => this.#closed(event);
  }

  /** Tries again now, where it would have waited longer. */
  hurry() {
    if (this.state === "waiting" || this.state === "signed-out") this.connect();
  }

  /** Leaves the kernel alone for good; it keeps running on the server. */
  leave() {
    this.#left.abort();
    this.#hangUp();
    this.#move("closed");
  }

  /** Sends code to be run; returns the id of the request. It waits where the socket is not open. */
  execute(code) {
    const content = { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: true, stop_on_error: true };
    const message = this.#message("shell", "execute_request", content);
    this.#send(message);
    return message.header.msg_id;
  }

  /** Names a request that an earlier page sent and whose answer may still come. */
  expect(id) {
    this.#sent.add(id);
  }

  /** Answers a question of the kernel. */
  answer(question, value) {
    this.#send({ ...this.#message("stdin", "input_reply", { value }), parent_header: question.header });
  }

  async interrupt() {
    await api.interruptKernel(this.id);
  }

  async restart() {
    this.#outbox = [];
    this.#move("restarting");
    try {
      await api.restartKernel(this.id);
    } catch (error) {
      this.#move(error.status === 404 ? "gone" : error.signedOut ? "signed-out" : "dead");
      throw error;
    }
    if (this.#socket?.readyState === WebSocket.OPEN) this.#greet();
    else this.connect();
  }

  #hangUp() {
    clearTimeout(this.#timer);
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(1000);
    this.#socket = null;
  }

  #opened() {
    this.#attempts = 0;
    this.reason = "";
    this.#move("starting");
    this.dispatchEvent(new Event("open"));
    this.#greet();
    for (const message of this.#outbox.splice(0)) this.#send(message);
  }

  // A kernel works its shell channel off in order. So the answer to a greeting tells two things: the kernel is ready,
  // and whatever was sent earlier is done, even if its answer was lost with an older socket.
  #greet() {
    const message = this.#message("shell", "kernel_info_request", {});
    this.#hello = { id: message.header.msg_id, before: new Set(this.#sent) };
    this.#send(message);

    // A kernel that is only just coming up may miss it.
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#unready && this.#greet(), GREETING_TIME);
  }

  get #unready() {
    return this.#hello && (this.state === "starting" || this.state === "restarting");
  }

  #receive(message) {
    const { msg_type: type } = message.header;
    if (type === "kernel_info_reply" && message.parent_header.msg_id === this.#hello?.id) {
      this.info = message.content;
      if (this.state !== "busy") this.#move("idle");
      for (const id of this.#hello.before) this.#sent.delete(id);
      this.dispatchEvent(new CustomEvent("settled", { detail: this.#hello.before }));
      this.#hello = null;
    }
    if (type === "execute_reply") this.#sent.delete(message.parent_header.msg_id);
    if (type === "status") this.#heard(message.content.execution_state);
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #heard(state) {
    const known = { autorestarting: "restarting", terminating: "dead" };
    this.#move(known[state] ?? state);
    // A new process says that it starts, and then nothing until it is asked.
    if (state === "starting" && !this.#hello) this.#greet();
  }

  async #closed(event) {
    clearTimeout(this.#timer);
    this.#hello = null;
    this.reason = event.reason;
    this.code = event.code;
    this.dispatchEvent(new Event("close"));
    if (this.state === "dead") return;
    this.#move("waiting");
    await this.#look();
    if (this.state === "waiting" && event.code === REVOKED) return this.#move("revoked");
    if (this.state !== "waiting") return;
    const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempts++) * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.connect(), delay);
  }

  // A browser tells nothing about a refused handshake, so ask what a plain request is told.
  async #look() {
    const { state } = this;
    try {
      await api.me();
      const model = await api.kernel(this.id);
      if (model?.execution_state === "dead") return this.#move("dead");
    } catch (error) {
      if (this.state !== state) return;
      if (error.signedOut) return this.#move("signed-out");
      if (error.status === 404) return this.#move("gone");
    }
  }

  // A kernel that somebody else has shut down may leave an open socket behind, on which nothing happens any more.
  #watch(id) {
    setTimeout(() => this.#sent.has(id) && this.state === "idle" && this.#look(), ANSWER_TIME);
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

  #move(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

/** A random id. (`crypto.randomUUID` is missing where the page comes over plain http from another machine.) */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
