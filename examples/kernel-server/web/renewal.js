// How long the kernel's socket has left: the countdown, and the renewal that the socket never notices.

import * as api from "./api.js";

/** A countdown of more than this (in seconds) tells nobody anything. */
const SHOWN = 3600;

/**
 * Renews by an ordinary request: the cookie is the credential, the name of the session says which socket is meant.
 *
 * Events: `tick` (something about `left` or `renewals` has changed), `refused` (`detail`: why it cannot be renewed).
 */
export class Sitting extends EventTarget {
  /** How many seconds the socket has left; null when nobody knows. */
  left = null;
  renewals = 0;

  #session = null;
  #whole = 0;
  #end = 0;
  #next = 0;
  #timer = 0;

  /** Is there little enough time left to be worth a look? */
  get isShown() {
    return this.left !== null && this.left < SHOWN;
  }

  /** Begins with the socket that `kernel` has just opened. */
  async begin(kernel) {
    this.stop();
    const mine = (this.#timer = setInterval(() => this.#tick(), 1000));
    const { session, expires_in } = await api.ownSession(kernel.id, kernel.session).catch(() => ({}));
    if (this.#timer !== mine || !session) return;
    this.#session = session;
    this.#lasts(expires_in);
  }

  /** The socket is closed. */
  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#session = this.left = null;
    this.dispatchEvent(new Event("tick"));
  }

  /** Renews it now. */
  async renew() {
    const session = this.#session;
    if (!session) return;
    // Who gets no answer tries again, and not every second.
    this.#next = performance.now() + Math.max(1000, this.#whole * 100);
    try {
      const { expires_in } = await api.renew(session);
      if (this.#session !== session) return;
      this.renewals += 1;
      this.#lasts(expires_in);
    } catch (error) {
      if (this.#session !== session || !error.status) return;
      this.#next = Infinity;
      // What does not end later is a link that is about to end: nothing is wrong.
      if (error.status !== 409) this.dispatchEvent(new CustomEvent("refused", { detail: error }));
    }
  }

  #lasts(seconds) {
    const now = performance.now();
    this.#whole = seconds;
    this.#end = now + seconds * 1000;
    this.#next = now + (seconds * 2000) / 3;
    this.#tick();
  }

  #tick() {
    if (!this.#session) return;
    const now = performance.now();
    this.left = Math.max(0, Math.round((this.#end - now) / 1000));
    this.dispatchEvent(new Event("tick"));
    if (now >= this.#next) this.renew();
  }
}
