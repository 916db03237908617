// Subscribes, binds, shows what comes, binds again in time, and catches up after a disconnect.
//
// For tests: `document.documentElement.dataset.state` is "idle", "live" or "closed", and
// `window.portcullisFhir` has the counts. No token is in either.

import { run } from "./button.js";
import { Ledger } from "./ledger.js";
import { Line } from "./line.js";
import { Rest } from "./rest.js";

const TOKEN = "portcullis.token";
const byId = (id) => document.getElementById(id);

/** What is shown at most; the ledger forgets nothing. */
const SHOWN = 200;

let rest = null;
let subscription = null;
let line = null;
let ledger = new Ledger();
let life = { expires: 0, lifetime: 1 };
let counts = { sockets: 0, bindings: 0, all: 0 };
let patients = 0;

byId("here").textContent = location.origin;
byId("token").value = sessionStorage.getItem(TOKEN) ?? "";
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run(byId("subscribe"), begin, say);
});
byId("trigger").addEventListener("click", () => run(byId("trigger"), trigger, say));
byId("rebind").addEventListener("click", () => run(byId("rebind"), () => line.rebind(), say));
byId("disconnect").addEventListener("click", () => line.close());
byId("reconnect").addEventListener("click", () => run(byId("reconnect"), () => line.open(), say));
setInterval(countDown, 250);
report("idle");

async function begin() {
  sessionStorage.setItem(TOKEN, byId("token").value);
  const previous = subscription && rest;
  line?.close();
  if (previous) await previous.unsubscribe(subscription.id).catch(() => {});
  rest = new Rest(byId("token").value);
  subscription = await rest.subscribe({
    topic: byId("topic").value,
    patient: byId("patient").value.trim(),
    content: byId("content").value,
    heartbeat: Number(byId("heartbeat").value),
  });
  ledger = new Ledger();
  counts = { sockets: 0, bindings: 0, all: 0 };
  byId("log").replaceChildren();
  byId("live").hidden = false;
  byId("subscription").textContent = subscription.id;
  byId("trigger").textContent = byId("topic").value === "encounter-end" ? "Admit and discharge a patient" : "Admit a patient";
  const own = subscription.id;
  line = new Line(() => rest.bindingToken(own), {
    opened() {
      counts.sockets += 1;
      counts.bindings = 0;
    },
    bound(token) {
      counts.bindings += 1;
      counts.all += 1;
      life = token;
      countDown();
    },
    notification: (bundle) => own === subscription.id && take(bundle).catch((error) => say(error.message, "problem")),
    problem: (text) => say(text, "problem"),
    closed(code, reason) {
      if (own !== subscription.id) return;
      report("closed");
      say(`The socket is closed: ${code}${reason ? `, ${reason}` : ""}.`, "closed");
    },
  });
  await line.open();
}

/** A notification from the socket. */
async function take(bundle) {
  const status = bundle.entry[0].resource;
  for (const event of status.notificationEvent ?? []) ledger.take(Number(event.eventNumber), true);
  show(bundle, status);
  if (status.type === "handshake") {
    report("live");
    say(counts.bindings > 1 ? "Bound again on the same socket." : "Bound. The server tells what happens from here on.", "live");
    await catchUp(Number(status.eventsSinceSubscriptionStart));
  }
  if (status.status === "off") say("The subscription is off: the server tells no events.", "problem");
  report();
}

/** Asks for what came between the last event that is here and the handshake. */
async function catchUp(count) {
  const missing = ledger.missing(count);
  if (missing.length === 0) return;
  const bundle = await rest.events(subscription.id, missing[0], missing.at(-1));
  const status = bundle.entry[0].resource;
  for (const event of status.notificationEvent ?? []) {
    const number = Number(event.eventNumber);
    // Another handshake may have asked for the same.
    if (ledger.missing(number).includes(number)) ledger.take(number, false);
  }
  show(bundle, status);
  say(`Caught up with ${missing.length} ${missing.length === 1 ? "event" : "events"} that came in between.`, "live");
}

async function trigger() {
  const patient = byId("patient").value.trim() || `Patient/${(patients += 1)}`;
  const encounter = await rest.admit(patient);
  if (byId("topic").value === "encounter-end") await rest.discharge(encounter);
}

const KINDS = {
  handshake: "Handshake",
  heartbeat: "Heartbeat",
  "event-notification": "Event",
  "query-event": "Caught up",
};

function show(bundle, status) {
  const item = byId("entry").content.firstElementChild.cloneNode(true);
  item.dataset.type = status.type;
  const events = status.notificationEvent ?? [];
  const numbers = events.map(({ eventNumber }) => Number(eventNumber));
  item.querySelector(".number").textContent = numbers.length > 1 ? `${numbers[0]}–${numbers.at(-1)}` : (numbers[0] ?? "");
  item.querySelector(".kind").textContent = KINDS[status.type] ?? status.type;
  const time = item.querySelector("time");
  time.dateTime = bundle.timestamp;
  time.textContent = new Date(bundle.timestamp).toLocaleTimeString();
  item.querySelector(".detail").textContent = detail(bundle, status, events);
  item.querySelector("pre").textContent = JSON.stringify(bundle, null, 2);
  byId("log").prepend(item);
  while (byId("log").children.length > SHOWN) byId("log").lastElementChild.remove();
  byId("nothing").hidden = true;
}

function detail(bundle, status, events) {
  if (events.length === 0) return `${status.eventsSinceSubscriptionStart} events since the subscription began`;
  const whole = bundle.entry.slice(1).map(({ resource }) => resource).filter(Boolean);
  if (whole.length > 0) return whole.map(({ id, status, subject }) => `Encounter/${id}: ${subject?.reference ?? "nobody"}, ${status}`).join("; ");
  const foci = events.map(({ focus }) => focus?.reference.split("/").slice(-2).join("/")).filter(Boolean);
  return foci.length > 0 ? foci.join(", ") : "something happened";
}

function countDown() {
  const left = line?.isOpen ? Math.max(0, life.expires - Date.now()) : 0;
  byId("left").textContent = line?.isOpen ? `${Math.ceil(left / 1000)} s` : "–";
  byId("life").style.setProperty("--left", String(Math.min(1, left / (life.lifetime || 1))));
}

function say(text, state) {
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
  byId("received").textContent = ledger.received;
  byId("caught").textContent = ledger.caught;
  byId("lost").textContent = ledger.lost;
  byId("twice").textContent = ledger.twice;
  for (const id of ["lost", "twice"]) byId(id).dataset.bad = String(ledger[id] > 0);
  for (const id of ["rebind", "disconnect"]) byId(id).hidden = !isLive;
  byId("reconnect").hidden = state !== "closed";
  countDown();
  const { received, caught, lost, twice, numbers } = ledger;
  window.portcullisFhir = { ...counts, received, caught, lost, twice, numbers, subscription: subscription?.id ?? null };
}
