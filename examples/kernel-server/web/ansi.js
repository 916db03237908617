// Terminal text in a page: colours become spans, carriage returns overwrite, everything else that a terminal would obey is dropped.

const LONGEST = 300_000;
const ESCAPE = /\x1b\[([\d;:]*)m|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]/g;
const FLAGS = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const PLAIN = Object.freeze({ flags: Object.freeze([]), ink: null, ground: null });

/**
 * Text that grows. Complete lines are laid down once; only the line that is still being written is drawn again. What
 * arrives between two frames is drawn together, and of very long text the beginning is dropped.
 */
export class TerminalText {
  #box;
  #waiting = "";
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
    if (!this.#waiting) requestAnimationFrame(() => this.#draw());
    this.#waiting += text;
    if (this.#waiting.length > 2 * LONGEST) this.#waiting = this.#waiting.slice(-LONGEST);
  }

  #draw() {
    const stick = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 24;
    const text = (this.#line + this.#waiting).slice(-LONGEST);
    this.#waiting = "";
    const end = text.lastIndexOf("\n") + 1;

    if (end) {
      const lines = document.createElement("span");
      this.#style = paint(lines, overwrite(text.slice(0, end)), this.#style);
      this.#tail.before(lines);
      this.#length += end;
      this.#forget();
    }
    this.#line = text.slice(end);
    this.#tail.replaceChildren();
    paint(this.#tail, overwrite(this.#line), this.#style);
    if (stick) this.#box.scrollTop = this.#box.scrollHeight;
  }

  #forget() {
    while (this.#length > LONGEST && this.#box.firstChild !== this.#tail.previousSibling) {
      this.#length -= this.#box.firstChild.textContent.length;
      this.#box.firstChild.remove();
      this.#box.dataset.cut = "";
    }
  }
}

// What stays on the screen when a line returns to its beginning, or takes a letter back.
function overwrite(text) {
  let left = text;
  for (let before = null; before !== left && left.includes("\b"); ) {
    before = left;
    left = left.replace(/[^\n\b]\x08/g, "").replace(/^\x08+/gm, "");
  }
  return left.replace(/\r+(?=\n|$)/g, "").replace(/[^\n]*\r/g, "");
}

// Appends `text` to `box` and returns the style in force at its end.
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

function append(box, text, { flags, ink, ground }) {
  if (!text) return;
  if (!flags.length && ink === null && ground === null) return box.append(text);
  const span = document.createElement("span");
  span.className = flags.map((flag) => `ansi-${flag}`).join(" ");
  colour(span, "ink", ink);
  colour(span, "ground", ground);
  span.textContent = text;
  box.append(span);
}

// The sixteen named colours belong to the theme; any other is given, and the style sheet keeps it legible.
function colour(span, role, value) {
  if (value === null) return;
  if (typeof value === "number") return span.classList.add(`ansi-${role}-${value}`);
  span.classList.add(`ansi-${role}`);
  span.style.setProperty(`--${role}-given`, value);
}

function restyle(style, codes) {
  let { flags, ink, ground } = style;
  const numbers = codes.split(/[;:]/).map(Number);
  while (numbers.length) {
    const code = numbers.shift();
    if (code === 0) [flags, ink, ground] = [[], null, null];
    else if (FLAGS[code]) flags = [...flags.filter((flag) => flag !== FLAGS[code]), FLAGS[code]];
    else if (code === 22) flags = flags.filter((flag) => flag !== "bold" && flag !== "dim");
    else if (code >= 23 && code <= 29) flags = flags.filter((flag) => flag !== FLAGS[code - 20]);
    else if (code >= 30 && code <= 37) ink = code - 30;
    else if (code >= 90 && code <= 97) ink = code - 82;
    else if (code >= 40 && code <= 47) ground = code - 40;
    else if (code >= 100 && code <= 107) ground = code - 92;
    else if (code === 38) ink = given(numbers) ?? ink;
    else if (code === 48) ground = given(numbers) ?? ground;
    else if (code === 39) ink = null;
    else if (code === 49) ground = null;
  }
  return { flags, ink, ground };
}

// The colour after a 38 or 48: `5;n` of the table of 256, or `2;r;g;b`.
function given(numbers) {
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
