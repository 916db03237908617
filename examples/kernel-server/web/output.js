// The outputs of one cell: their elements, and the records with which they survive a reload.

import { TerminalText } from "./ansi.js";
import { htmlFrame } from "./frame.js";

const KEPT_TEXT = 100_000;
const PICTURES = ["image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp"];
const TEXTS = ["text/markdown", "text/latex", "application/json", "text/plain"];

export class Outputs {
  #box;
  #title;
  #shown = [];
  #clearLater = false;

  /** @param {HTMLElement} box the container; @param {() => string} title the name of the cell */
  constructor(box, title) {
    this.#box = box;
    this.#title = title;
  }

  /** The records to store. */
  get records() {
    return this.#shown.map(({ record }) => record);
  }

  stream(name, text) {
    this.#clearIfAsked();
    const last = this.#shown.at(-1);
    if (last?.record.type === "stream" && last.record.name === name) {
      last.record.text += text;
      if (last.record.text.length > 2 * KEPT_TEXT) last.record.text = last.record.text.slice(-KEPT_TEXT);
      last.text.write(text);
      return;
    }
    this.add({ type: "stream", name, text });
  }

  /** Adds a record of type `stream`, `data` or `error`. */
  add(record) {
    this.#clearIfAsked();
    const shown = { record, ...this.#view(record) };
    this.#shown.push(shown);
    this.#box.append(shown.element);
  }

  /** Replaces the outputs with this display id. */
  update(displayId, data, metadata) {
    for (const shown of this.#shown) {
      if (shown.record.displayId !== displayId) continue;
      Object.assign(shown.record, { data, metadata });
      const { element } = this.#view(shown.record);
      shown.element.replaceWith(element);
      shown.element = element;
    }
  }

  /** Removes all outputs; with `wait`, when the next output arrives. */
  clear(wait = false) {
    this.#clearLater = wait;
    if (wait) return;
    this.#shown = [];
    this.#box.replaceChildren();
  }

  /** Asks the user for input, and calls `answer` with it. */
  ask(prompt, secret, answer) {
    const form = element("form", "question");
    const label = element("label", "", prompt || "The kernel asks for a line of input");
    const input = element("input");
    input.type = secret ? "password" : "text";
    input.autocomplete = "off";
    input.spellcheck = false;
    const send = element("button", "main", "Send");
    label.append(input);
    form.append(label, send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.remove();
      this.stream("stdout", `${prompt}${secret ? "········" : input.value}\n`);
      answer(input.value);
    });
    this.#box.append(form);
    input.focus();
  }

  /** Removes unanswered questions. */
  removeQuestions() {
    for (const form of this.#box.querySelectorAll("form.question")) form.remove();
  }

  #clearIfAsked() {
    if (this.#clearLater) this.clear();
  }

  #view(record) {
    if (record.type === "stream") return terminal(`stream ${record.name}`, record.text, this.#title());
    if (record.type === "error") {
      const trace = record.traceback?.length ? record.traceback.join("\n") : `${record.ename}: ${record.evalue}`;
      return terminal("error", trace, this.#title());
    }
    const box = element("div", "result");
    box.dataset.mime = this.#fill(box, record);
    if (record.count) box.dataset.count = record.count;
    return { element: box };
  }

  // Shows the richest supported format and returns its media type.
  #fill(box, { data, metadata }) {
    const picture = PICTURES.find((mime) => data[mime]);
    if (picture) {
      box.append(image(picture, data, metadata));
      return picture;
    }
    if (data["text/html"]) {
      const frame = htmlFrame(joined(data["text/html"]), `HTML result, ${this.#title()}`);
      if (frame) {
        box.append(frame);
        return "text/html";
      }
      box.append(element("p", "quiet", "This result needs scripts, which this page does not run. As text:"));
    }
    const mime = TEXTS.find((known) => data[known] !== undefined);
    const value = mime === "application/json" ? JSON.stringify(data[mime], null, 2) : joined(data[mime] ?? "");
    box.append(terminal("plain", value, this.#title()).element);
    return mime ?? "none";
  }
}

function terminal(className, text, title) {
  const pre = element("pre", className);
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", `${className.startsWith("error") ? "Error" : "Output"}, ${title}`);
  const writer = new TerminalText(pre);
  writer.write(text);
  return { element: pre, text: writer };
}

function image(mime, data, metadata) {
  const picture = element("img");
  const svg = mime === "image/svg+xml";
  const body = joined(data[mime]);
  picture.src = svg ? `data:${mime};charset=utf-8,${encodeURIComponent(body)}` : `data:${mime};base64,${body.replace(/\s/g, "")}`;
  picture.alt = joined(data["text/plain"] ?? "") || "Picture";
  const { width, height } = metadata?.[mime] ?? {};
  if (width > 0) picture.width = width;
  if (height > 0) picture.height = height;
  return picture;
}

// Notebooks may contain text as a list of lines.
function joined(text) {
  return Array.isArray(text) ? text.join("") : String(text);
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
