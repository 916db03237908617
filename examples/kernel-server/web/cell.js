// One cell: a text to write, a run to follow, outputs to show.

import { Outputs } from "./output.js";

const template = document.getElementById("cell-template");
const grows = CSS.supports("field-sizing", "content");

/**
 * Its state is one of: new, waiting (for the kernel), running, done, error, stopped.
 * Events that bubble from its element: `cell-change` when there is something to store.
 */
export class Cell {
  state = "new";
  /** The id of the request that runs it, if one does. */
  request = null;
  /** The number the kernel gave to its last run. */
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

  /** Is a run under way, as far as is known? */
  get pending() {
    return this.state === "waiting" || this.state === "running";
  }

  /** What a store keeps. */
  get record() {
    const { code, state, request, count } = this;
    return { code, state, request, count, outputs: this.outputs.records };
  }

  /** Takes over what a store kept. */
  restore({ code, state, request, count, outputs }) {
    this.code = code;
    this.count = count;
    this.request = request;
    for (const output of outputs ?? []) this.outputs.add(output);
    this.#move(state);
  }

  /** A request was sent that runs it. */
  began(request) {
    this.request = request;
    this.count = null;
    this.#replied = null;
    this.#idle = this.#failed = false;
    this.outputs.clear();
    this.#move("waiting");
  }

  /** A message that answers its request. Returns the state it ends in, once it does. */
  hear(message) {
    const { content } = message;
    switch (message.header.msg_type) {
      case "execute_input":
        this.count = content.execution_count;
        this.#move("running");
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

  /** The kernel has finished it, and nothing more will be heard of it. */
  conclude(why) {
    if (this.#idle) this.end(this.#failed ? "error" : "done");
    else this.end("stopped", why);
  }

  /** Its run is over, however it came to that. */
  end(state, why) {
    this.request = null;
    this.outputs.unask();
    if (why) this.outputs.add({ type: "stream", name: "note", text: `${why}\n` });
    this.#move(state);
  }

  #move(state) {
    this.state = state;
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(this.pending));
    this.element.querySelector(".count").textContent = this.pending ? "[∗]" : this.count ? `[${this.count}]` : "";
    this.#changed();
  }

  #changed() {
    this.element.dispatchEvent(new Event("cell-change", { bubbles: true }));
  }

  // For browsers whose text areas do not grow by themselves.
  #grow() {
    if (grows) return;
    this.source.style.height = "auto";
    this.source.style.height = `${this.source.scrollHeight + 2}px`;
  }
}
