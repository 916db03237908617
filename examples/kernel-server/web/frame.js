// HTML results. They come from the kernel, so they are shown in a frame that may run nothing and belongs to no origin.
//
// The page's policy holds in such a frame too, and it allows no inline style. So the styles that a result brings are
// read here and written to `data-css-…` attributes, from which `frame.css` takes them. A page cannot look into its
// sandboxed frames either: to find the height, the same text is laid out once more, unseen, from elements of our own.

const POLICY = `default-src 'none'; style-src ${location.origin}; img-src data: ${location.origin}`;
const SHEET = `${location.origin}/static/frame.css`;
const TALLEST = 560;

const FORBIDDEN = "script, style, link, meta, base, title, iframe, frame, object, embed, portal";
const MEASURED = new Set(
  ("A B BLOCKQUOTE BR CAPTION CODE COL COLGROUP DD DETAILS DIV DL DT EM FIGCAPTION FIGURE H1 H2 H3 H4 H5 H6 HR I LI OL P PRE " +
    "SMALL SPAN STRONG SUB SUMMARY SUP TABLE TBODY TD TFOOT TH THEAD TR U UL").split(" "),
);
const STYLES =
  ("color background-color font-family font-size font-style font-weight line-height text-align text-decoration-line vertical-align " +
    "white-space width height max-width min-width margin-top margin-right margin-bottom margin-left padding-top padding-right " +
    "padding-bottom padding-left border-top-color border-top-style border-top-width border-bottom-color border-bottom-style " +
    "border-bottom-width border-left-color border-left-style border-left-width border-right-color border-right-style " +
    "border-right-width border-radius display").split(" ");

/** A frame with the result, or `null` where nothing of it can be seen without scripts. */
export function htmlFrame(html, title) {
  const content = cleaned(html);
  if (!content.textContent.trim() && !content.querySelector("img, svg, hr, table, input")) return null;

  const frame = document.createElement("iframe");
  frame.className = "html";
  frame.title = title;
  // Links may open a tab of their own; nothing else is allowed.
  frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
  frame.referrerPolicy = "no-referrer";
  frame.srcdoc =
    `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}">` +
    `<link rel="stylesheet" href="${SHEET}"><body>${content.innerHTML}`;
  fit(frame, content);
  return frame;
}

// The result without what cannot work in the frame, its styles moved to attributes.
function cleaned(html) {
  const inert = document.implementation.createHTMLDocument("");
  const rules = [];
  // Parsing a style or a handler would be reported as a breach of the page's policy, so they are taken out of the text
  // before. Should this miss one, the policy stops it.
  inert.body.innerHTML = html
    .replace(/<style\b[^>]*>([\s\S]*?)<\/style\s*>/gi, (_, text) => (rules.push(...parsedRules(text)), ""))
    .replace(/<[a-z][^<>]*>/gi, (tag) => tag.replace(/\sstyle\s*=/gi, " data-style=").replace(/\son(\w+\s*=)/gi, " data-on$1"));

  for (const element of inert.body.querySelectorAll(FORBIDDEN)) element.remove();
  for (const { selectorText, style } of rules) {
    for (const element of matching(inert.body, selectorText)) carry(style, element);
  }
  const scratch = document.createElement("i").style;
  for (const element of inert.body.querySelectorAll("*")) {
    if (element.dataset?.style) {
      scratch.cssText = element.dataset.style;
      carry(scratch, element);
      delete element.dataset.style;
    }
  }
  for (const link of inert.body.querySelectorAll("a[href]")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  return inert.body;
}

function parsedRules(text) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  return [...sheet.cssRules].filter((rule) => rule instanceof CSSStyleRule);
}

function matching(root, selector) {
  try {
    return root.querySelectorAll(selector);
  } catch {
    return [];
  }
}

function carry(style, element) {
  for (const name of STYLES) {
    const value = style.getPropertyValue(name);
    if (value) element.setAttribute(`data-css-${name}`, value);
  }
}

// Gives the frame the height of its content, now and whenever its width changes.
async function fit(frame, content) {
  const stage = document.createElement("div");
  stage.className = "stage";
  stage.inert = true;
  const shadow = stage.attachShadow({ mode: "closed" });
  const body = document.createElement("div");
  body.className = "body";
  body.append(...[...content.childNodes].map(harmless));
  shadow.append(body);
  shadow.adoptedStyleSheets = [await frameSheet()];

  let width = 0;
  const measure = () => {
    if (!frame.isConnected || frame.clientWidth === width) return;
    width = frame.clientWidth;
    stage.style.width = `${width}px`;
    document.body.append(stage);
    // A table wider than the frame brings a scroll bar, which takes room as well.
    const bar = body.scrollWidth > width ? 16 : 0;
    frame.style.height = `${Math.min(TALLEST, Math.ceil(body.getBoundingClientRect().height) + bar)}px`;
    stage.remove();
  };
  new ResizeObserver(measure).observe(frame);
}

let sheet = null;

function frameSheet() {
  sheet ??= fetch(SHEET)
    .then((response) => response.text())
    .then((text) => new CSSStyleSheet().replace(text));
  return sheet;
}

// A copy that can be put into the page: known elements, texts and sizes, and nothing else.
function harmless(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE) return document.createTextNode("");
  const picture = /^(img|svg|video|canvas)$/i.test(node.tagName);
  const copy = document.createElement(MEASURED.has(node.tagName) ? node.tagName : "span");
  for (const { name, value } of node.attributes) {
    if (/^(colspan|rowspan|border|cellpadding|open)$/.test(name)) copy.setAttribute(name, value);
    if (name.startsWith("data-css-") && !value.includes("(")) copy.setAttribute(name, value);
  }
  if (picture) {
    copy.className = "picture";
    copy.style.width = `${parseInt(node.getAttribute("width")) || 300}px`;
    copy.style.height = `${parseInt(node.getAttribute("height")) || 200}px`;
    return copy;
  }
  copy.append(...[...node.childNodes].map(harmless));
  return copy;
}
