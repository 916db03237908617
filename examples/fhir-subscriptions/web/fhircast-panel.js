// The FHIRcast section of the page: subscribes, shows the lease and the events, and publishes events.
//
// For end-to-end tests: `document.documentElement.dataset.cast` is "idle", "live", "closed" or "denied", and
// `window.portcullisCast` has the counts. Neither contains the URL of the subscriber.

import { run } from "./button.js";
import { Subscriber } from "./fhircast.js";

const byId = (id) => document.getElementById(id);

let subscriber = null;
let counts = null;
let lease = { seconds: 1, end: 0 };
let patients = 0;

onClick("cast-subscribe", subscribe);
onClick("cast-trigger", () => subscriber.openPatient(`${(patients += 1)}`));
onClick("cast-prolong", () => subscriber.extendLease(requestedLease()));
onClick("cast-disconnect", () => subscriber.disconnect());
onClick("cast-reconnect", () => subscriber.connect());
onClick("cast-unsubscribe", () => subscriber.unsubscribe());
setInterval(showRemaining, 250);
report("idle");

function onClick(id, action) {
  byId(id).addEventListener("click", () => run(byId(id), action, showSummary));
}

function requestedLease() {
  return Number(byId("cast-lease").value);
}

async function subscribe() {
  if (!byId("token").reportValidity() || !byId("cast-lease").reportValidity()) return;
  counts = { sockets: 0, leases: 0, events: 0, reason: null };
  const own = new Subscriber(byId("token").value, {
    opened: () => own === subscriber && (counts.sockets += 1),
    confirmed(seconds) {
      if (own !== subscriber) return;
      counts.leases += 1;
      lease = { seconds, end: Date.now() + seconds * 1000 };
      showSummary(counts.leases > 1 ? `The lease is extended to ${seconds} s.` : `Subscribed, with a lease of ${seconds} s.`, "live");
      report("live");
    },
    received(message) {
      if (own !== subscriber) return;
      counts.events += 1;
      show(message);
      report("live");
    },
    denied(reason) {
      if (own !== subscriber) return;
      counts.reason = reason;
      showSummary(`The hub ended the subscription: ${reason}`, "closed");
      report("denied");
    },
    closed(code, reason) {
      if (own !== subscriber || document.documentElement.dataset.cast === "denied") return;
      showSummary(`The socket is closed: ${code}${reason ? `, ${reason}` : ""}. The URL is valid until the lease ends.`, "closed");
      report("closed");
    },
  });
  await own.subscribe(requestedLease());
  subscriber?.unsubscribe().catch(() => {});
  subscriber = own;
  byId("cast-log").replaceChildren();
  byId("cast-endpoint").textContent = own.redactedUrl;
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

/** Shows the remaining time of the lease. */
function showRemaining() {
  const isActive = ["live", "closed"].includes(document.documentElement.dataset.cast);
  const remaining = isActive ? Math.max(0, lease.end - Date.now()) : 0;
  byId("cast-left").textContent = isActive ? `${Math.ceil(remaining / 1000)} s` : "–";
  byId("cast-life").style.setProperty("--left", String(Math.min(1, remaining / (lease.seconds * 1000))));
}

function showSummary(text, state) {
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
  showRemaining();
  window.portcullisCast = { ...counts };
}
