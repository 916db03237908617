// The page: connects the cells to a kernel, and shows the state of the connection.

import * as api from "./api.js";
import { listLinks, showConnections } from "./connections.js";
import { Kernel, randomId } from "./kernel.js";
import { Notebook } from "./notebook.js";
import * as panels from "./panels.js";
import { Renewal } from "./renewal.js";

const byId = (id) => document.getElementById(id);

const STATES = {
  connecting: "Connecting",
  starting: "Starting",
  idle: "Idle",
  busy: "Busy",
  restarting: "Restarting",
  dead: "Dead",
  waiting: "Disconnected",
  revoked: "Revoked",
  "signed-out": "Not logged in",
  "shut-down": "Shut down",
  closed: "Closed",
  none: "No kernel",
};
const SIGNED_OUT = "You are not logged in. Open the link that the server printed when it started, or ask for a new one.";

const stored = Notebook.stored();
const notebook = new Notebook(byId("cells"));
const session = stored.session ?? randomId();
let specs = { default: "", kernelspecs: {} };
const renewal = new Renewal();
let kernel = null;
/** Cells that were run before there was a kernel. */
const queued = [];
let saveTimer = 0;
let isLoggingOut = false;

start();

async function start() {
  for (const record of stored.cells ?? []) notebook.add({ record });
  if (!notebook.cells.length) notebook.add();
  addListeners();
  notebook.edit(notebook.cells.at(-1));
  await connect(stored.kernel);
}

// Checks the cookie, then connects to the kernel with this id, or to a new one if it does not
// exist.
async function connect(id) {
  try {
    panels.showIdentity(await api.me());
    if (location.hash === "#people") attempt(showConnections);
    specs = await api.kernelSpecs();
    const existing = id && (await api.kernel(id).catch((error) => (error.status === 404 ? null : Promise.reject(error))));
    if (id && !existing) notebook.end("The kernel that ran this was shut down.");
    attach(existing || (await api.startKernel(specs.default)));
    panels.notice();
  } catch (error) {
    showState("none");
    showError(error, "Try again", () => connect(id));
  }
}

function attach(model) {
  kernel?.close();
  kernel = new Kernel(model, session);
  kernel.addEventListener("state", onState);
  kernel.addEventListener("message", ({ detail }) => onMessage(detail));
  kernel.addEventListener("open", ({ target }) => target === kernel && renewal.start(kernel));
  kernel.addEventListener("close", ({ target }) => target === kernel && renewal.stop());
  kernel.addEventListener("settled", ({ detail }) => onSettled(detail));
  for (const cell of notebook.cells) if (cell.request) kernel.expect(cell.request);
  document.documentElement.dataset.kernel = kernel.id;
  showKernels();
  for (const cell of queued.splice(0)) cell.start(kernel.execute(cell.code));
  kernel.connect();
  saveSoon();
}

function onMessage(message) {
  if (message.header.msg_type === "input_request") {
    const cell = notebook.cells.find(({ request }) => request === message.parent_header.msg_id);
    const { prompt, password } = message.content;
    cell?.outputs.ask(prompt, password, (value) => (kernel.answer(message, value), notebook.edit(cell)));
    if (cell) panels.announce(`The kernel asks: ${prompt}`);
    return;
  }
  notebook.handle(message);
}

// Waits a second, because output on another channel may arrive after the reply that settles the
// requests.
function onSettled(requests) {
  const settle = () => notebook.settle(requests, "The connection was lost while this ran. Output may be missing.");
  if (requests.size) setTimeout(settle, 1000);
}

function onState({ target }) {
  if (target !== kernel) return;
  showState(kernel.state);
  switch (kernel.state) {
    case "waiting":
      return panels.notice("warning", disconnected(), "Try now", () => kernel.retryNow());
    case "revoked":
      return panels.notice("error", `This connection was revoked${closeDetails()}.`, "Connect again", () => kernel.connect());
    case "signed-out":
      return panels.notice("error", `${SIGNED_OUT}${closeDetails()}`, "Try again", () => kernel.retryNow());
    case "restarting":
      return notebook.end("The kernel stopped while this ran.");
    case "dead":
      notebook.end("The kernel died while this ran.");
      return panels.notice("error", "The kernel has died. Its variables are lost, but the cells are still here.", "Restart it", restart);
    case "shut-down":
      notebook.end("The kernel that ran this was shut down.");
      return panels.notice("error", "This kernel was shut down. The cells are still here.", "Start a new one", () => replace(kernel.name));
    case "idle":
    case "busy":
      return panels.notice();
  }
}

// The close code and reason of the server.
function closeDetails() {
  return kernel.reason ? ` (${kernel.code}: ${kernel.reason})` : "";
}

function disconnected() {
  const reason = kernel.reason ? ` (${kernel.reason})` : "";
  return `The connection to the kernel was lost${reason}. The kernel keeps running, and this page tries to reconnect.`;
}

async function interrupt() {
  await attempt(() => kernel?.interrupt());
}

async function restart() {
  if (!kernel) return connect();
  if (kernel.state === "shut-down") return replace(kernel.name);
  const confirmed = kernel.state === "dead" || (await panels.confirm("Restart the kernel?", "Its variables are lost. The cells stay.", "Restart"));
  if (!confirmed) return;
  notebook.end("The kernel was restarted while this ran.");
  await attempt(async () => {
    await kernel.restart().catch((error) => (error.status === 404 ? replace(kernel.name) : Promise.reject(error)));
  });
}

async function replace(name) {
  const old = kernel;
  await attempt(async () => {
    const model = await api.startKernel(name);
    notebook.end("Another kernel was started while this ran.");
    attach(model);
    if (old) await api.shutDownKernel(old.id).catch(() => {});
  });
}

async function choose(event) {
  const { value } = event.target;
  const name = specs.kernelspecs[value]?.spec.display_name ?? value;
  const confirmed = await panels.confirm(`Change to ${name}?`, "The current kernel is shut down. The cells stay.", "Change");
  if (confirmed) await replace(value);
  showKernels();
}

async function share() {
  const link = await api.share();
  await listLinks();
  panels.showLink(link);
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    showError(error);
  }
}

function showError(error, label, action) {
  const text = error.signedOut ? SIGNED_OUT : error.message;
  if (error.signedOut && !kernel) showState("signed-out");
  panels.notice("error", text, label, action);
}

function showState(state) {
  const label = STATES[state] ?? state;
  byId("kernel").dataset.state = state;
  byId("kernel-state").textContent = label;
  document.title = `${state === "busy" ? "● " : ""}${label} · Portcullis`;
  if (state !== "idle" && state !== "busy") panels.announce(`Kernel: ${label}`);
}

function showKernels() {
  const names = Object.keys(specs.kernelspecs ?? {});
  const label = (name) => specs.kernelspecs[name]?.spec?.display_name ?? name;
  const choice = byId("kernel-choice");
  choice.replaceChildren(...names.map((name) => new Option(label(name), name, false, name === kernel.name)));
  choice.hidden = names.length < 2;
  byId("kernel-name").textContent = label(kernel.name);
  byId("kernel-name").hidden = names.length >= 2;
}

function saveSoon() {
  clearTimeout(saveTimer);
  saveTimer = setTimeout(save, 300);
}

function save() {
  clearTimeout(saveTimer);
  if (!isLoggingOut) notebook.store({ kernel: kernel?.id ?? stored.kernel, session });
}

function addListeners() {
  notebook.addEventListener("run", ({ detail: { cell } }) => {
    if (!cell.code.trim()) return;
    if (!kernel) queued.push(cell);
    cell.start(kernel?.execute(cell.code) ?? null);
  });
  notebook.addEventListener("ended", ({ detail: { cell } }) => {
    panels.announce(`Cell ${cell.number} ${{ done: "is done", error: "failed" }[cell.state] ?? "was stopped"}`);
  });
  notebook.addEventListener("command", ({ detail }) => ({ interrupt, restart, help: panels.help })[detail]());
  notebook.addEventListener("change", saveSoon);

  const onClick = (id, action) => byId(id).addEventListener("click", action);
  onClick("run", () => notebook.run(notebook.current));
  onClick("interrupt", interrupt);
  onClick("restart", restart);
  onClick("add-below", () => notebook.edit(notebook.add({ near: notebook.current })));
  onClick("add-cell", () => notebook.edit(notebook.add()));
  onClick("help", panels.help);
  onClick("share", () => attempt(share));
  onClick("share-copy", panels.copyLink);
  onClick("countdown", () => renewal.renew());
  onClick("people-open", () => attempt(showConnections));
  renewal.addEventListener("tick", () => panels.countdown(renewal));
  renewal.addEventListener("refused", ({ detail }) => showError(detail));
  byId("kernel-choice").addEventListener("change", choose);
  byId("logout-form").addEventListener("submit", () => {
    isLoggingOut = true;
    Notebook.forget();
  });
  addEventListener("pagehide", save);
}
