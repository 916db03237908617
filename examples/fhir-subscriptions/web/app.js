// Subscribes, binds tokens, shows notifications, and requests missed events after a disconnect.
//
// For end-to-end tests: `document.documentElement.dataset.state` is "idle", "live" or "closed", and `window.portcullisFhir`
// has the counts. Neither contains a token.

import { run } from "./button.js";
import { EventLog } from "./event-log.js";
import { Rest } from "./rest.js";
import { SubscriptionSocket } from "./socket.js";

const TOKEN = "portcullis.token";
const byId = (id) => document.getElementById(id);

/** The maximum number of notifications that the page shows. */
const MAX_ENTRIES = 200;

let rest = null;
let subscription = null;
let socket = null;
let events = new EventLog();
let token = { expires: 0, lifetime: 1 };
let counts = { sockets: 0, bindings: 0, all: 0 };
let patients = 0;

byId("here").textContent = location.origin;
byId("token").value = sessionStorage.getItem(TOKEN) ?? "";
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run(byId("subscribe"), subscribe, showSummary);
});
byId("trigger").addEventListener("click", () => run(byId("trigger"), triggerEvent, showSummary));
byId("rebind").addEventListener("click", () => run(byId("rebind"), () => socket.rebind(), showSummary));
byId("disconnect").addEventListener("click", () => socket.close());
byId("reconnect").addEventListener("click", () => run(byId("reconnect"), () => socket.open(), showSummary));
setInterval(showRemaining, 250);
report("idle");

async function subscribe() {
  sessionStorage.setItem(TOKEN, byId("token").value);
  const previous = subscription && rest;
  socket?.close();
  if (previous) await previous.unsubscribe(subscription.id).catch(() => {});
  rest = new Rest(byId("token").value);
  subscription = await rest.subscribe({
    topic: byId("topic").value,
    patient: byId("patient").value.trim(),
    content: byId("content").value,
    heartbeat: Number(byId("heartbeat").value),
  });
  events = new EventLog();
  counts = { sockets: 0, bindings: 0, all: 0 };
  byId("log").replaceChildren();
  byId("live").hidden = false;
  byId("subscription").textContent = subscription.id;
  byId("trigger").textContent = byId("topic").value === "encounter-end" ? "Admit and discharge a patient" : "Admit a patient";
  const { id } = subscription;
  socket = new SubscriptionSocket(() => rest.bindingToken(id), {
    opened() {
      counts.sockets += 1;
      counts.bindings = 0;
    },
    bound(boundToken) {
      counts.bindings += 1;
      counts.all += 1;
      token = boundToken;
      showRemaining();
    },
    notification: (bundle) => id === subscription.id && receive(bundle).catch((error) => showSummary(error.message, "problem")),
    problem: (text) => showSummary(text, "problem"),
    closed(code, reason) {
      if (id !== subscription.id) return;
      report("closed");
      showSummary(`The socket is closed: ${code}${reason ? `, ${reason}` : ""}.`, "closed");
    },
  });
  await socket.open();
}

/** Handles a notification from the socket. */
async function receive(bundle) {
  const status = bundle.entry[0].resource;
  for (const event of status.notificationEvent ?? []) events.add(Number(event.eventNumber), true);
  show(bundle, status);
  if (status.type === "handshake") {
    report("live");
    showSummary(counts.bindings > 1 ? "A new token is bound to the same socket." : "The subscription is bound. The server sends all events from now on.", "live");
    await catchUp(Number(status.eventsSinceSubscriptionStart));
  }
  if (status.status === "off") showSummary("The subscription is off. The server sends no events.", "problem");
  report();
}

/** Requests the events up to `count` that have not been received. */
async function catchUp(count) {
  const missing = events.missing(count);
  if (missing.length === 0) return;
  const bundle = await rest.events(subscription.id, missing[0], missing.at(-1));
  const status = bundle.entry[0].resource;
  for (const event of status.notificationEvent ?? []) {
    const number = Number(event.eventNumber);
    // A concurrent call may have received the same event.
    if (!events.has(number)) events.add(number, false);
  }
  show(bundle, status);
  showSummary(`Received ${missing.length} missed ${missing.length === 1 ? "event" : "events"}.`, "live");
}

async function triggerEvent() {
  const patient = byId("patient").value.trim() || `Patient/${(patients += 1)}`;
  const encounter = await rest.admit(patient);
  if (byId("topic").value === "encounter-end") await rest.discharge(encounter);
}

const LABELS = {
  handshake: "Handshake",
  heartbeat: "Heartbeat",
  "event-notification": "Event",
  "query-event": "Missed events",
};

function show(bundle, status) {
  const item = byId("entry").content.firstElementChild.cloneNode(true);
  item.dataset.type = status.type;
  const notified = status.notificationEvent ?? [];
  const numbers = notified.map(({ eventNumber }) => Number(eventNumber));
  item.querySelector(".number").textContent = numbers.length > 1 ? `${numbers[0]}–${numbers.at(-1)}` : (numbers[0] ?? "");
  item.querySelector(".kind").textContent = LABELS[status.type] ?? status.type;
  const time = item.querySelector("time");
  time.dateTime = bundle.timestamp;
  time.textContent = new Date(bundle.timestamp).toLocaleTimeString();
  item.querySelector(".detail").textContent = detail(bundle, status, notified);
  item.querySelector("pre").textContent = JSON.stringify(bundle, null, 2);
  byId("log").prepend(item);
  while (byId("log").children.length > MAX_ENTRIES) byId("log").lastElementChild.remove();
  byId("nothing").hidden = true;
}

function detail(bundle, status, notified) {
  if (notified.length === 0) return `${status.eventsSinceSubscriptionStart} events since the start of the subscription`;
  const resources = bundle.entry.slice(1).map(({ resource }) => resource).filter(Boolean);
  if (resources.length > 0) return resources.map(({ id, status, subject }) => `Encounter/${id}: ${subject?.reference ?? "no patient"}, ${status}`).join("; ");
  const foci = notified.map(({ focus }) => focus?.reference.split("/").slice(-2).join("/")).filter(Boolean);
  return foci.length > 0 ? foci.join(", ") : "no details";
}

/** Shows the remaining lifetime of the binding token. */
function showRemaining() {
  const remaining = socket?.isOpen ? Math.max(0, token.expires - Date.now()) : 0;
  byId("left").textContent = socket?.isOpen ? `${Math.ceil(remaining / 1000)} s` : "–";
  byId("life").style.setProperty("--left", String(Math.min(1, remaining / (token.lifetime || 1))));
}

function showSummary(text, state) {
  byId("summary").dataset.state = state;
  byId("summary").textContent = text;
}

function report(state = document.documentElement.dataset.state) {
  document.documentElement.dataset.state = state;
  const isLive = state === "live";
  byId("socket").textContent = isLive ? "open" : "closed";
  byId("socket-mark").dataset.open = String(isLive);
  byId("sockets").textContent = counts.sockets;
  byId("bindings").textContent = counts.bindings;
  byId("received").textContent = events.received;
  byId("caught").textContent = events.caught;
  byId("lost").textContent = events.lost;
  byId("twice").textContent = events.twice;
  for (const id of ["lost", "twice"]) byId(id).dataset.bad = String(events[id] > 0);
  for (const id of ["rebind", "disconnect"]) byId(id).hidden = !isLive;
  byId("reconnect").hidden = state !== "closed";
  showRemaining();
  const { received, caught, lost, twice, numbers } = events;
  window.portcullisFhir = { ...counts, received, caught, lost, twice, numbers, subscription: subscription?.id ?? null };
}
