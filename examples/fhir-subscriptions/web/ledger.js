// Which events have come: each number should, and once.

export class Ledger {
  #seen = new Map();
  last = 0;
  received = 0;
  caught = 0;
  twice = 0;

  /** Takes a number from the socket (`live`) or from `$events`. */
  take(number, live) {
    const times = this.#seen.get(number) ?? 0;
    this.#seen.set(number, times + 1);
    if (times > 0) return void (this.twice += 1);
    this.received += 1;
    if (!live) this.caught += 1;
    this.last = Math.max(this.last, number);
  }

  /** The numbers up to `count` that have not come. */
  missing(count) {
    return Array.from({ length: count }, (_, index) => index + 1).filter((number) => !this.#seen.has(number));
  }

  get lost() {
    return this.missing(this.last).length;
  }

  get numbers() {
    return [...this.#seen.keys()].sort((a, b) => a - b);
  }
}
