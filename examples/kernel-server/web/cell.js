// One cell: its code, the state of its run, and its outputs.

import { Outputs } from "./output.js";

const template = document.getElementById("cell-template");
const grows = CSS.supports("field-sizing", "content");

/**
 * States: new, waiting (for the kernel), running, done, error, stopped.
 *
 * Its element dispatches a bubbling event `cell-change` after each change that has to be stored.
 */
export class Cell {
  state = "new";
  /** The id of the request that runs the cell, or null. */
  request = null;
  /** The execution count of the last run. */
  count = null;
  #replied = null;
  #idle = false;
  #failed = false;

  constructor(number) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.source = this.element.querySelector(".source");
    this.outputs = new Outputs(this.element.querySelector(".outputs"), () => `cell ${this.number}`);
    this.number = number;

    this.element.id = `cell-${number}`;
    this.element.dataset.cell = number;
    this.element.setAttribute("aria-label", `Cell ${number}`);
    this.source.id = `cell-${number}-source`;
    this.source.setAttribute("aria-label", `Code of cell ${number}`);
    this.element.querySelector(".outputs").id = `cell-${number}-outputs`;
    this.element.querySelector(".run-cell").id = `cell-${number}-run`;
    this.element.querySelector(".remove-cell").id = `cell-${number}-remove`;
    this.source.addEventListener("input", () => (this.#grow(), this.#changed()));
    this.source.addEventListener("blur", () => (this.source.scrollLeft = 0));
  }

  get code() {
    return this.source.value;
  }

  set code(text) {
    this.source.value = text;
    this.#grow();
  }

  /** Whether the cell is waiting or running. */
  get pending() {
    return this.state === "waiting" || this.state === "running";
  }

  /** The stored form of the cell. */
  get record() {
    const { code, state, request, count } = this;
    return { code, state, request, count, outputs: this.outputs.records };
  }

  /** Restores the cell from its stored form. */
  restore({ code, state, request, count, outputs }) {
    this.code = code;
    this.count = count;
    this.request = request;
    for (const output of outputs ?? []) this.outputs.add(output);
    this.#setState(state);
  }

  /** Starts a run. `request` is the id of the request, or null if there is no kernel yet. */
  start(request) {
    this.request = request;
    this.count = null;
    this.#replied = null;
    this.#idle = this.#failed = false;
    this.outputs.clear();
    this.#setState("waiting");
  }

  /**
   * Handles a message that answers the request. Returns the final state when the run has ended,
   * else null.
   */
  handle(message) {
    const { content } = message;
    switch (message.header.msg_type) {
      case "execute_input":
        this.count = content.execution_count;
        this.#setState("running");
        break;
      case "stream":
        this.outputs.stream(content.name, content.text);
        break;
      case "display_data":
      case "execute_result":
        this.outputs.add({
          type: "data",
          data: content.data,
          metadata: content.metadata,
          displayId: content.transient?.display_id,
          count: message.header.msg_type === "execute_result" ? content.execution_count : undefined,
        });
        break;
      case "clear_output":
        this.outputs.clear(content.wait);
        break;
      case "error":
        this.#failed = true;
        this.outputs.add({ type: "error", ename: content.ename, evalue: content.evalue, traceback: content.traceback });
        break;
      case "execute_reply":
        this.#replied = { ok: "done", error: "error" }[content.status] ?? "stopped";
        this.count = content.execution_count ?? this.count;
        break;
      case "status":
        this.#idle = content.execution_state === "idle";
        break;
      default:
        return null;
    }
    this.#changed();
    if (!this.#replied || !this.#idle) return null;
    this.end(this.#replied, this.#replied === "stopped" ? "This did not run, because an earlier cell failed." : undefined);
    return this.state;
  }

  /** Ends a run that the kernel has finished, after its remaining messages were lost. */
  settle(why) {
    if (this.#idle) this.end(this.#failed ? "error" : "done");
    else this.end("stopped", why);
  }

  /** Ends the run in `state`, with the note `why`. */
  end(state, why) {
    this.request = null;
    this.outputs.removeQuestions();
    if (why) this.outputs.add({ type: "stream", name: "note", text: `${why}\n` });
    this.#setState(state);
  }

  #setState(state) {
    this.state = state;
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(this.pending));
    this.element.querySelector(".count").textContent = this.pending ? "[∗]" : this.count ? `[${this.count}]` : "";
    this.#changed();
  }

  #changed() {
    this.element.dispatchEvent(new Event("cell-change", { bubbles: true }));
  }

  // For browsers without `field-sizing`.
  #grow() {
    if (grows) return;
    this.source.style.height = "auto";
    this.source.style.height = `${this.source.scrollHeight + 2}px`;
  }
}
