// HTML results. The kernel is not trusted, so a result is shown in a sandboxed frame without
// scripts and origin.
//
// The policy of the page also applies to the frame and forbids inline styles. So the styles of a
// result are moved to `data-css-…` attributes, which `frame.css` applies. The page cannot measure
// the content of a sandboxed frame, so it lays out a hidden copy, built from allowed elements, to
// find the height.

const POLICY = `default-src 'none'; style-src ${location.origin}; img-src data: ${location.origin}`;
const SHEET = `${location.origin}/static/frame.css`;
const MAX_HEIGHT = 560;

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

/** Creates a frame with the result. Returns `null` if the result is empty without scripts. */
export function htmlFrame(html, title) {
  const content = sanitized(html);
  if (!content.textContent.trim() && !content.querySelector("img, svg, hr, table, input")) return null;

  const frame = document.createElement("iframe");
  frame.className = "html";
  frame.title = title;
  // Links may open new tabs. Nothing else is allowed.
  frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
  frame.referrerPolicy = "no-referrer";
  frame.srcdoc =
    `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}">` +
    `<link rel="stylesheet" href="${SHEET}"><body>${content.innerHTML}`;
  fit(frame, content);
  return frame;
}

// Removes elements that do not work in the frame, and moves styles to attributes.
function sanitized(html) {
  const inert = document.implementation.createHTMLDocument("");
  const rules = [];
  // Styles and handlers are removed before parsing, because the browser would report them as
  // violations of the policy. The policy blocks any that this misses.
  inert.body.innerHTML = html
    .replace(/<style\b[^>]*>([\s\S]*?)<\/style\s*>/gi, (_, text) => (rules.push(...parsedRules(text)), ""))
    .replace(/<[a-z][^<>]*>/gi, (tag) => tag.replace(/\sstyle\s*=/gi, " data-style=").replace(/\son(\w+\s*=)/gi, " data-on$1"));

  for (const element of inert.body.querySelectorAll(FORBIDDEN)) element.remove();
  for (const { selectorText, style } of rules) {
    for (const element of matching(inert.body, selectorText)) copyStyles(style, element);
  }
  const scratch = document.createElement("i").style;
  for (const element of inert.body.querySelectorAll("*")) {
    if (element.dataset?.style) {
      scratch.cssText = element.dataset.style;
      copyStyles(scratch, element);
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

function copyStyles(style, element) {
  for (const name of STYLES) {
    const value = style.getPropertyValue(name);
    if (value) element.setAttribute(`data-css-${name}`, value);
  }
}

// Sets the height of the frame to that of its content, now and whenever its width changes.
async function fit(frame, content) {
  const stage = document.createElement("div");
  stage.className = "stage";
  stage.inert = true;
  const shadow = stage.attachShadow({ mode: "closed" });
  const body = document.createElement("div");
  body.className = "body";
  body.append(...[...content.childNodes].map(measuringCopy));
  shadow.append(body);
  shadow.adoptedStyleSheets = [await frameSheet()];

  let width = 0;
  const measure = () => {
    if (!frame.isConnected || frame.clientWidth === width) return;
    width = frame.clientWidth;
    stage.style.width = `${width}px`;
    document.body.append(stage);
    // Content wider than the frame adds a scroll bar.
    const bar = body.scrollWidth > width ? 16 : 0;
    frame.style.height = `${Math.min(MAX_HEIGHT, Math.ceil(body.getBoundingClientRect().height) + bar)}px`;
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

// Copies only known elements, texts and sizes, so that the copy is safe in the page.
function measuringCopy(node) {
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
  copy.append(...[...node.childNodes].map(measuringCopy));
  return copy;
}
