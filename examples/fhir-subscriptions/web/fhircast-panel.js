// Shows FHIRcast: subscribes, counts the lease down, opens patients, and says how it ends.
//
// For tests: `document.documentElement.dataset.cast` is "idle", "live", "closed" or "denied", and
// `window.portcullisCast` has the counts. The address is in neither.

import { run } from "./button.js";
import { Subscriber } from "./fhircast.js";

const byId = (id) => document.getElementById(id);

let subscriber = null;
let counts = null;
let lease = { seconds: 1, end: 0 };
let patients = 0;

press("cast-subscribe", subscribe);
press("cast-trigger", () => subscriber.openPatient(`${(patients += 1)}`));
press("cast-prolong", () => subscriber.prolong(seconds()));
press("cast-disconnect", () => subscriber.disconnect());
press("cast-reconnect", () => subscriber.connect());
press("cast-unsubscribe", () => subscriber.unsubscribe());
setInterval(countDown, 250);
report("idle");

function press(id, action) {
  byId(id).addEventListener("click", () => run(byId(id), action, say));
}

function seconds() {
  return Number(byId("cast-lease").value);
}

async function subscribe() {
  if (!byId("token").reportValidity() || !byId("cast-lease").reportValidity()) return;
  counts = { sockets: 0, leases: 0, events: 0, reason: null };
  const own = new Subscriber(byId("token").value, {
    opened: () => own === subscriber && (counts.sockets += 1),
    confirmed(left) {
      if (own !== subscriber) return;
      counts.leases += 1;
      lease = { seconds: left, end: Date.now() + left * 1000 };
      say(counts.leases > 1 ? `The lease lasts ${left} s from now.` : `Subscribed. The lease lasts ${left} s.`, "live");
      report("live");
    },
    happened(message) {
      if (own !== subscriber) return;
      counts.events += 1;
      show(message);
      report("live");
    },
    denied(reason) {
      if (own !== subscriber) return;
      counts.reason = reason;
      say(`Denied: ${reason}`, "closed");
      report("denied");
    },
    closed(code, reason) {
      if (own !== subscriber || document.documentElement.dataset.cast === "denied") return;
      say(`The socket is closed: ${code}${reason ? `, ${reason}` : ""}. The address is good until its lease ends.`, "closed");
      report("closed");
    },
  });
  await own.subscribe(seconds());
  subscriber?.unsubscribe().catch(() => {});
  subscriber = own;
  byId("cast-log").replaceChildren();
  byId("cast-endpoint").textContent = own.place;
  byId("cast-topic").textContent = own.topic;
  byId("cast-live").hidden = false;
}

function show(message) {
  const item = byId("entry").content.firstElementChild.cloneNode(true);
  const patient = message.event.context.find(({ key }) => key === "patient")?.resource;
  item.querySelector(".kind").textContent = message.event["hub.event"];
  const time = item.querySelector("time");
  time.dateTime = message.timestamp;
  time.textContent = new Date(message.timestamp).toLocaleTimeString();
  item.querySelector(".detail").textContent = patient ? `Patient/${patient.id}` : "";
  item.querySelector("summary").textContent = "Message";
  item.querySelector("pre").textContent = JSON.stringify(message, null, 2);
  byId("cast-log").prepend(item);
}

function countDown() {
  const isOver = ["idle", "denied"].includes(document.documentElement.dataset.cast);
  const left = isOver ? 0 : Math.max(0, lease.end - Date.now());
  byId("cast-left").textContent = isOver ? "–" : `${Math.ceil(left / 1000)} s`;
  byId("cast-life").style.setProperty("--left", String(Math.min(1, left / (lease.seconds * 1000))));
}

function say(text, state) {
  byId("cast-summary").dataset.state = state;
  byId("cast-summary").textContent = text;
}

function report(state) {
  document.documentElement.dataset.cast = state;
  byId("cast-events").textContent = counts?.events ?? 0;
  byId("cast-leases").textContent = counts?.leases ?? 0;
  for (const id of ["cast-trigger", "cast-prolong", "cast-disconnect"]) byId(id).hidden = state !== "live";
  byId("cast-unsubscribe").hidden = !["live", "closed"].includes(state);
  byId("cast-reconnect").hidden = state !== "closed";
  countDown();
  window.portcullisCast = { ...counts };
}
