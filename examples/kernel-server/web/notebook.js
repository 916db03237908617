// The list of cells: keyboard commands, dispatch of messages to cells, and storage in the tab.

import { Cell } from "./cell.js";

const STORE = "portcullis.notebook";
const STORED_OUTPUTS = 3_000_000;
const INDENT = "    ";

/**
 * As in Jupyter, there are two modes. In edit mode, the text of a cell has the focus. In command
 * mode, the cell itself has it, and single keys are commands.
 *
 * Events: `run` (`detail.cell`: the cell to run), `command` (`detail`: "interrupt", "restart" or
 * "help"), `ended` (`detail.cell`: the finished cell), `change`.
 */
export class Notebook extends EventTarget {
  cells = [];
  #box;
  #next = 1;
  #current = null;
  #deleted = [];
  #key = { name: "", time: 0 };

  constructor(box) {
    super();
    this.#box = box;
    box.addEventListener("keydown", (event) => this.#keydown(event));
    box.addEventListener("focusin", (event) => this.#focused(event));
    box.addEventListener("click", (event) => this.#clicked(event));
    box.addEventListener("cell-change", () => this.dispatchEvent(new Event("change")));
  }

  get current() {
    return this.#current ?? this.cells[0];
  }

  /** Adds a cell next to `near`, or at the end without it. */
  add({ near, before = false, record } = {}) {
    const cell = new Cell(this.#next++);
    if (record) cell.restore(record);
    const index = near ? this.cells.indexOf(near) + (before ? 0 : 1) : this.cells.length;
    const follower = this.cells[index];
    this.cells.splice(index, 0, cell);
    this.#box.insertBefore(cell.element, follower?.element ?? null);
    this.dispatchEvent(new Event("change"));
    return cell;
  }

  /** Runs a cell; `then` is "next", "stay" or "insert". */
  run(cell, then = "next") {
    this.dispatchEvent(new CustomEvent("run", { detail: { cell } }));
    if (then === "stay") return;
    const follower = this.cells[this.cells.indexOf(cell) + 1];
    if (then === "insert" || !follower) this.edit(this.add({ near: cell }));
    else this.#focus(follower);
  }

  /** Moves the focus into the text of a cell. */
  edit(cell) {
    cell.source.focus();
    cell.element.scrollIntoView({ block: "nearest" });
  }

  /** Passes a message of the kernel to the cell with the request that it answers. */
  handle(message) {
    if (message.header.msg_type === "update_display_data") {
      const { transient, data, metadata } = message.content;
      for (const cell of this.cells) cell.outputs.update(transient?.display_id, data, metadata);
      return;
    }
    const request = message.parent_header.msg_id;
    const cell = request && this.cells.find((candidate) => candidate.request === request);
    if (cell?.handle(message)) this.dispatchEvent(new CustomEvent("ended", { detail: { cell } }));
  }

  /** Ends all pending runs. */
  end(why) {
    for (const cell of this.cells) if (cell.pending) cell.end("stopped", why);
  }

  /**
   * Ends the pending runs of requests that the kernel has finished, in case its replies were lost.
   */
  settle(requests, why) {
    for (const cell of this.cells) if (cell.pending && requests.has(cell.request)) cell.settle(why);
  }

  /** Stores the notebook in this tab, without the outputs if they are too large. */
  store(more) {
    const cells = this.cells.map((cell) => cell.record);
    const whole = JSON.stringify({ ...more, cells });
    const withoutOutputs = () => JSON.stringify({ ...more, cells: cells.map((cell) => ({ ...cell, outputs: [] })) });
    try {
      sessionStorage.setItem(STORE, whole.length < STORED_OUTPUTS ? whole : withoutOutputs());
    } catch {
      try {
        sessionStorage.setItem(STORE, withoutOutputs());
      } catch {
        // Storage is not available, so a reload loses the cells.
      }
    }
  }

  /** Returns the stored notebook, or an empty object. */
  static stored() {
    try {
      return JSON.parse(sessionStorage.getItem(STORE)) ?? {};
    } catch {
      return {};
    }
  }

  static forget() {
    sessionStorage.removeItem(STORE);
  }

  #keydown(event) {
    const cell = this.#cellOf(event.target);
    if (!cell || event.isComposing) return;
    if (event.key === "Enter" && (event.shiftKey || event.ctrlKey || event.metaKey || event.altKey)) {
      if (event.target.closest(".question")) return;
      event.preventDefault();
      return this.run(cell, event.altKey ? "insert" : event.shiftKey ? "next" : "stay");
    }
    if (event.target === cell.source) this.#editKey(event, cell);
    else if (event.target === cell.element && !event.ctrlKey && !event.metaKey && !event.altKey) this.#commandKey(event, cell);
    else if (event.key === "Escape") cell.element.focus();
  }

  #editKey(event, cell) {
    const { source } = cell;
    const { selectionStart: start, selectionEnd: end, value } = source;
    const plain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === "Escape") {
      event.preventDefault();
      cell.element.focus();
    } else if (event.key === "Tab" && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      indent(source, event.shiftKey);
    } else if (event.key === "Enter" && plain) {
      const line = value.slice(value.lastIndexOf("\n", start - 1) + 1, start);
      const deeper = /[:{([]\s*$/.test(line) ? INDENT : "";
      event.preventDefault();
      insert(source, `\n${line.match(/^[ \t]*/)[0]}${deeper}`);
    } else if (event.key === "ArrowUp" && plain && start === end && !value.slice(0, start).includes("\n")) {
      this.#step(event, cell, -1, (other) => (this.edit(other), other.source.setSelectionRange(-1, -1)));
    } else if (event.key === "ArrowDown" && plain && start === end && !value.slice(end).includes("\n")) {
      this.#step(event, cell, 1, (other) => (this.edit(other), other.source.setSelectionRange(0, 0)));
    }
  }

  #commandKey(event, cell) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const twice = key === this.#key.name && event.timeStamp - this.#key.time < 800 && !event.repeat;
    this.#key = { name: twice ? "" : key, time: event.timeStamp };
    const command = (detail) => this.dispatchEvent(new CustomEvent("command", { detail }));
    const select = (other) => other.element.focus();
    const actions = {
      Enter: () => this.edit(cell),
      ArrowUp: () => this.#step(event, cell, -1, select),
      k: () => this.#step(event, cell, -1, select),
      ArrowDown: () => this.#step(event, cell, 1, select),
      j: () => this.#step(event, cell, 1, select),
      a: () => select(this.add({ near: cell, before: true })),
      b: () => select(this.add({ near: cell })),
      z: () => this.#restoreDeleted(),
      d: () => twice && this.#remove(cell),
      x: () => this.#remove(cell),
      i: () => twice && command("interrupt"),
      0: () => twice && command("restart"),
      "?": () => command("help"),
      h: () => command("help"),
    };
    if (!Object.hasOwn(actions, key)) return;
    event.preventDefault();
    actions[key]();
  }

  #step(event, cell, by, go) {
    const other = this.cells[this.cells.indexOf(cell) + by];
    if (!other) return;
    event.preventDefault();
    go(other);
    other.element.scrollIntoView({ block: "nearest" });
  }

  #remove(cell) {
    const index = this.cells.indexOf(cell);
    this.#deleted.push({ index, record: { ...cell.record, request: null, state: cell.pending ? "stopped" : cell.state } });
    this.cells.splice(index, 1);
    cell.element.remove();
    this.#current = null;
    const neighbour = this.cells[index] ?? this.cells[index - 1] ?? this.add();
    neighbour.element.focus();
    this.dispatchEvent(new Event("change"));
  }

  #restoreDeleted() {
    const last = this.#deleted.pop();
    if (!last) return;
    const near = this.cells[last.index];
    this.add({ near, before: true, record: last.record }).element.focus();
  }

  #focused(event) {
    const cell = this.#cellOf(event.target);
    if (!cell) return;
    this.#current?.element.classList.remove("current");
    this.#current = cell;
    cell.element.classList.add("current");
  }

  #clicked(event) {
    const cell = this.#cellOf(event.target);
    if (!cell) return;
    if (event.target.closest(".run-cell")) this.run(cell, "stay");
    else if (event.target.closest(".remove-cell")) this.#remove(cell);
  }

  // Moves the focus to a cell and keeps the mode.
  #focus(cell) {
    if (document.activeElement?.classList.contains("source")) this.edit(cell);
    else cell.element.focus();
    cell.element.scrollIntoView({ block: "nearest" });
  }

  #cellOf(node) {
    const element = node.closest?.(".cell");
    return element && this.cells.find((cell) => cell.element === element);
  }
}

// Only `insertText` adds the change to the undo history of the text area.
function insert(source, text) {
  if (!document.execCommand("insertText", false, text)) {
    source.setRangeText(text, source.selectionStart, source.selectionEnd, "end");
    source.dispatchEvent(new Event("input"));
  }
}

function indent(source, less) {
  const { selectionStart: start, selectionEnd: end, value } = source;
  const from = value.lastIndexOf("\n", start - 1) + 1;
  const several = value.slice(start, end).includes("\n");
  if (!less && !several) return insert(source, INDENT.slice((start - from) % INDENT.length));

  const old = value.slice(from, end);
  const lines = old.split("\n").map((line) => (less ? line.replace(/^ {1,4}|^\t/, "") : line && INDENT + line));
  const text = lines.join("\n");
  if (text === old) return;
  source.setSelectionRange(from, end);
  insert(source, text);
  if (several) source.setSelectionRange(from, from + text.length);
  else source.setSelectionRange(Math.max(from, start - (old.length - text.length)), from + text.length);
}
