// Renews the session of the kernel's socket before it expires.

import * as api from "./api.js";

/** The countdown is shown in the last hour, in seconds. */
const SHOWN = 3600;

/**
 * Renews the session with `POST /api/portcullis/renew`. The cookie is the credential.
 *
 * Events: `tick` when `left` or `renewals` may have changed, `refused` (`detail`: the error) when
 * the server refuses a renewal.
 */
export class Renewal extends EventTarget {
  /** The seconds until the session expires, or null if unknown. */
  left = null;
  renewals = 0;

  #session = null;
  #lifetime = 0;
  #expiresAt = 0;
  #renewAt = 0;
  #timer = 0;

  /** Whether the countdown is shown. */
  get isShown() {
    return this.left !== null && this.left < SHOWN;
  }

  /** Starts for the socket that `kernel` has just opened. */
  async start(kernel) {
    this.stop();
    const timer = (this.#timer = setInterval(() => this.#tick(), 1000));
    const { session, expires_in } = await api.ownSession(kernel.id, kernel.session).catch(() => ({}));
    if (this.#timer !== timer || !session) return;
    this.#session = session;
    this.#setLifetime(expires_in);
  }

  /** Stops when the socket is closed. */
  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#session = this.left = null;
    this.dispatchEvent(new Event("tick"));
  }

  /** Renews the session now. */
  async renew() {
    const session = this.#session;
    if (!session) return;
    // If the server cannot be reached, the next attempt follows after a tenth of the lifetime.
    this.#renewAt = performance.now() + Math.max(1000, this.#lifetime * 100);
    try {
      const { expires_in } = await api.renew(session);
      if (this.#session !== session) return;
      this.renewals += 1;
      this.#setLifetime(expires_in);
    } catch (error) {
      if (this.#session !== session || !error.status) return;
      this.#renewAt = Infinity;
      // 409: the credential expires with the session, as that of a share link does. Not an error.
      if (error.status !== 409) this.dispatchEvent(new CustomEvent("refused", { detail: error }));
    }
  }

  #setLifetime(seconds) {
    const now = performance.now();
    this.#lifetime = seconds;
    this.#expiresAt = now + seconds * 1000;
    this.#renewAt = now + (seconds * 2000) / 3;
    this.#tick();
  }

  #tick() {
    if (!this.#session) return;
    const now = performance.now();
    this.left = Math.max(0, Math.round((this.#expiresAt - now) / 1000));
    this.dispatchEvent(new Event("tick"));
    if (now >= this.#renewAt) this.renew();
  }
}
