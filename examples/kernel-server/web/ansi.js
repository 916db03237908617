// Renders terminal text: colours become spans, carriage returns and backspaces overwrite, and other
// control sequences are removed.

const MAX_LENGTH = 300_000;
const ESCAPE = /\x1b\[([\d;:]*)m|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]/g;
const FLAGS = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const PLAIN = Object.freeze({ flags: Object.freeze([]), foreground: null, background: null });

/**
 * Text that grows. Complete lines are rendered once, and the last line again for each addition.
 * Additions are batched per animation frame. The beginning of very long text is removed.
 */
export class TerminalText {
  #box;
  #pending = "";
  #line = "";
  #style = PLAIN;
  #tail = document.createElement("span");
  #length = 0;

  /** @param {HTMLElement} box the `pre` to write into */
  constructor(box) {
    this.#box = box;
    box.append(this.#tail);
  }

  write(text) {
    if (!this.#pending) requestAnimationFrame(() => this.#draw());
    this.#pending += text;
    if (this.#pending.length > 2 * MAX_LENGTH) this.#pending = this.#pending.slice(-MAX_LENGTH);
  }

  #draw() {
    const stick = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 24;
    const text = (this.#line + this.#pending).slice(-MAX_LENGTH);
    this.#pending = "";
    const end = text.lastIndexOf("\n") + 1;

    if (end) {
      const lines = document.createElement("span");
      this.#style = paint(lines, overwrite(text.slice(0, end)), this.#style);
      this.#tail.before(lines);
      this.#length += end;
      this.#trim();
    }
    this.#line = text.slice(end);
    this.#tail.replaceChildren();
    paint(this.#tail, overwrite(this.#line), this.#style);
    if (stick) this.#box.scrollTop = this.#box.scrollHeight;
  }

  #trim() {
    while (this.#length > MAX_LENGTH && this.#box.firstChild !== this.#tail.previousSibling) {
      this.#length -= this.#box.firstChild.textContent.length;
      this.#box.firstChild.remove();
      this.#box.dataset.cut = "";
    }
  }
}

// Returns the text that remains visible after carriage returns and backspaces.
function overwrite(text) {
  let left = text;
  for (let before = null; before !== left && left.includes("\b"); ) {
    before = left;
    left = left.replace(/[^\n\b]\x08/g, "").replace(/^\x08+/gm, "");
  }
  return left.replace(/\r+(?=\n|$)/g, "").replace(/[^\n]*\r/g, "");
}

// Appends `text` to `box` and returns the style at its end.
function paint(box, text, style) {
  let from = 0;
  for (const match of text.matchAll(ESCAPE)) {
    append(box, text.slice(from, match.index), style);
    from = match.index + match[0].length;
    if (match[1] !== undefined) style = restyle(style, match[1]);
  }
  append(box, text.slice(from), style);
  return style;
}

function append(box, text, { flags, foreground, background }) {
  if (!text) return;
  if (!flags.length && foreground === null && background === null) return box.append(text);
  const span = document.createElement("span");
  span.className = flags.map((flag) => `ansi-${flag}`).join(" ");
  colour(span, "foreground", foreground);
  colour(span, "background", background);
  span.textContent = text;
  box.append(span);
}

// The theme defines the sixteen named colours. The style sheet adjusts other colours for contrast.
function colour(span, role, value) {
  if (value === null) return;
  if (typeof value === "number") return span.classList.add(`ansi-${role}-${value}`);
  span.classList.add(`ansi-${role}`);
  span.style.setProperty(`--${role}-custom`, value);
}

function restyle(style, codes) {
  let { flags, foreground, background } = style;
  const numbers = codes.split(/[;:]/).map(Number);
  while (numbers.length) {
    const code = numbers.shift();
    if (code === 0) [flags, foreground, background] = [[], null, null];
    else if (FLAGS[code]) flags = [...flags.filter((flag) => flag !== FLAGS[code]), FLAGS[code]];
    else if (code === 22) flags = flags.filter((flag) => flag !== "bold" && flag !== "dim");
    else if (code >= 23 && code <= 29) flags = flags.filter((flag) => flag !== FLAGS[code - 20]);
    else if (code >= 30 && code <= 37) foreground = code - 30;
    else if (code >= 90 && code <= 97) foreground = code - 82;
    else if (code >= 40 && code <= 47) background = code - 40;
    else if (code >= 100 && code <= 107) background = code - 92;
    else if (code === 38) foreground = customColour(numbers) ?? foreground;
    else if (code === 48) background = customColour(numbers) ?? background;
    else if (code === 39) foreground = null;
    else if (code === 49) background = null;
  }
  return { flags, foreground, background };
}

// Parses the colour after a 38 or 48: `5;n` of the 256-colour table, or `2;r;g;b`.
function customColour(numbers) {
  const kind = numbers.shift();
  if (kind === 2) return `rgb(${numbers.splice(0, 3).map((part) => part & 255).join(" ")})`;
  if (kind !== 5) return null;
  const index = numbers.shift() & 255;
  if (index < 16) return index;
  if (index >= 232) return `rgb(${Array(3).fill(8 + 10 * (index - 232)).join(" ")})`;
  const level = (part) => (part ? 55 + 40 * part : 0);
  const cube = index - 16;
  return `rgb(${level(Math.floor(cube / 36))} ${level(Math.floor(cube / 6) % 6)} ${level(cube % 6)})`;
}
