// Records which event numbers have been received, to find missing events and duplicates.

export class EventLog {
  #counts = new Map();
  last = 0;
  received = 0;
  caught = 0;
  twice = 0;

  /** Records an event number from the socket (`isLive`) or from `$events`. */
  add(number, isLive) {
    const count = this.#counts.get(number) ?? 0;
    this.#counts.set(number, count + 1);
    if (count > 0) {
      this.twice += 1;
      return;
    }
    this.received += 1;
    if (!isLive) this.caught += 1;
    this.last = Math.max(this.last, number);
  }

  has(number) {
    return this.#counts.has(number);
  }

  /** Returns the numbers up to `count` that have not been received. */
  missing(count) {
    return Array.from({ length: count }, (_, index) => index + 1).filter((number) => !this.has(number));
  }

  get lost() {
    return this.missing(this.last).length;
  }

  get numbers() {
    return [...this.#counts.keys()].sort((a, b) => a - b);
  }
}
