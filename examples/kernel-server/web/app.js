// The page: finds or starts a kernel, joins it with the cells, and says what is going on.

import * as api from "./api.js";
import { Kernel, randomId } from "./kernel.js";
import { Notebook } from "./notebook.js";
import * as panels from "./panels.js";
import { listLinks, showPeople } from "./people.js";
import { Sitting } from "./sitting.js";

const byId = (id) => document.getElementById(id);

const STATES = {
  connecting: "Connecting",
  starting: "Starting",
  idle: "Idle",
  busy: "Busy",
  restarting: "Restarting",
  dead: "Dead",
  waiting: "Disconnected",
  revoked: "Taken back",
  "signed-out": "Not logged in",
  gone: "Gone",
  closed: "Closed",
  none: "No kernel",
};
const SIGNED_OUT = "You are not logged in. Open the link that the server printed when it started, or ask for a new one.";

const stored = Notebook.stored();
const notebook = new Notebook(byId("cells"));
const session = stored.session ?? randomId();
let specs = { default: "", kernelspecs: {} };
const sitting = new Sitting();
let kernel = null;
/** Cells that somebody ran before there was a kernel. */
const early = [];
let keeping = 0;
let leaving = false;

begin();

async function begin() {
  for (const record of stored.cells ?? []) notebook.add({ record });
  if (!notebook.cells.length) notebook.add();
  wire();
  notebook.write(notebook.cells.at(-1));
  await enter(stored.kernel);
}

// Logs in (which is to say: looks whether the cookie does), and takes the kernel up again or starts one.
async function enter(id) {
  try {
    panels.showIdentity(await api.me());
    if (location.hash === "#people") attempt(showPeople);
    specs = await api.kernelSpecs();
    const known = id && (await api.kernel(id).catch((error) => (error.status === 404 ? null : Promise.reject(error))));
    if (id && !known) notebook.end("The kernel that ran this is gone.");
    attach(known || (await api.startKernel(specs.default)));
    panels.notice();
  } catch (error) {
    showState("none");
    explain(error, "Try again", () => enter(id));
  }
}

function attach(model) {
  kernel?.leave();
  kernel = new Kernel(model, session);
  kernel.addEventListener("state", stateChanged);
  kernel.addEventListener("message", ({ detail }) => heard(detail));
  kernel.addEventListener("open", ({ target }) => target === kernel && sitting.begin(kernel));
  kernel.addEventListener("close", ({ target }) => target === kernel && sitting.stop());
  kernel.addEventListener("settled", ({ detail }) => settled(detail));
  for (const cell of notebook.cells) if (cell.request) kernel.expect(cell.request);
  document.documentElement.dataset.kernel = kernel.id;
  showKernels();
  for (const cell of early.splice(0)) cell.began(kernel.execute(cell.code));
  kernel.connect();
  keep();
}

function heard(message) {
  if (message.header.msg_type === "input_request") {
    const cell = notebook.cells.find(({ request }) => request === message.parent_header.msg_id);
    const { prompt, password } = message.content;
    cell?.outputs.ask(prompt, password, (value) => (kernel.answer(message, value), notebook.write(cell)));
    if (cell) panels.announce(`The kernel asks: ${prompt}`);
    return;
  }
  notebook.hear(message);
}

// The output of a run may still be on its way on another channel when the kernel says that it is ready.
function settled(requests) {
  const conclude = () => notebook.conclude(requests, "The connection was lost while this ran. Output may be missing.");
  if (requests.size) setTimeout(conclude, 1000);
}

function stateChanged({ target }) {
  if (target !== kernel) return;
  showState(kernel.state);
  switch (kernel.state) {
    case "waiting":
      return panels.notice("warning", disconnected(), "Try now", () => kernel.hurry());
    case "revoked":
      return panels.notice("error", `Somebody has taken this connection back${said()}.`, "Connect again", () => kernel.connect());
    case "signed-out":
      return panels.notice("error", `${SIGNED_OUT}${said()}`, "Try again", () => kernel.hurry());
    case "restarting":
      return notebook.end("The kernel stopped while this ran.");
    case "dead":
      notebook.end("The kernel died while this ran.");
      return panels.notice("error", "The kernel has died. What it had in memory is gone; the cells are not.", "Restart it", restart);
    case "gone":
      notebook.end("The kernel that ran this is gone.");
      return panels.notice("error", "The server has shut this kernel down. The cells are still here.", "Start a new one", () => replace(kernel.name));
    case "idle":
    case "busy":
      return panels.notice();
  }
}

// What the server has said at last, for who wants to know it precisely.
function said() {
  return kernel.reason ? ` (${kernel.code}: ${kernel.reason})` : "";
}

function disconnected() {
  const reason = kernel.reason ? ` (${kernel.reason})` : "";
  return `The connection to the kernel is lost${reason}. It keeps running, and this page keeps trying to come back.`;
}

async function interrupt() {
  await attempt(() => kernel?.interrupt());
}

async function restart() {
  if (!kernel) return enter();
  if (kernel.state === "gone") return replace(kernel.name);
  const sure = kernel.state === "dead" || (await panels.confirm("Restart the kernel?", "What it has in memory is lost. The cells stay.", "Restart"));
  if (!sure) return;
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
  const sure = await panels.confirm(`Change to ${name}?`, "The kernel that runs now is shut down. The cells stay.", "Change");
  if (sure) await replace(value);
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
    explain(error);
  }
}

function explain(error, action, act) {
  const text = error.signedOut ? SIGNED_OUT : error.message;
  if (error.signedOut && !kernel) showState("signed-out");
  panels.notice("error", text, action, act);
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

function keep() {
  clearTimeout(keeping);
  keeping = setTimeout(keepNow, 300);
}

function keepNow() {
  clearTimeout(keeping);
  if (!leaving) notebook.store({ kernel: kernel?.id ?? stored.kernel, session });
}

// Connects what one can press with what it does.
function wire() {
  notebook.addEventListener("run", ({ detail: { cell } }) => {
    if (!cell.code.trim()) return;
    if (!kernel) early.push(cell);
    cell.began(kernel?.execute(cell.code) ?? null);
  });
  notebook.addEventListener("ended", ({ detail: { cell } }) => {
    panels.announce(`Cell ${cell.number} ${{ done: "is done", error: "failed" }[cell.state] ?? "was stopped"}`);
  });
  notebook.addEventListener("command", ({ detail }) => ({ interrupt, restart, help: panels.help })[detail]());
  notebook.addEventListener("change", keep);

  const press = (id, act) => byId(id).addEventListener("click", act);
  press("run", () => notebook.run(notebook.current));
  press("interrupt", interrupt);
  press("restart", restart);
  press("add-below", () => notebook.write(notebook.add({ near: notebook.current })));
  press("add-cell", () => notebook.write(notebook.add()));
  press("help", panels.help);
  press("share", () => attempt(share));
  press("share-copy", panels.copyLink);
  press("countdown", () => sitting.renew());
  press("people-open", () => attempt(showPeople));
  sitting.addEventListener("tick", () => panels.countdown(sitting));
  sitting.addEventListener("refused", ({ detail }) => explain(detail));
  byId("kernel-choice").addEventListener("change", choose);
  byId("logout-form").addEventListener("submit", () => {
    leaving = true;
    Notebook.forget();
  });
  addEventListener("pagehide", keepNow);
}
