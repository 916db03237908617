// What opens over the cells: who I am, the share link, a question, the keys.

const byId = (id) => document.getElementById(id);

const CARRIERS = {
  cookie: "a cookie, set when the link was opened",
  query: "the link itself (?token=…)",
  authorization: "an Authorization header",
  subprotocol: "a WebSocket subprotocol",
};

/** How a credential came, in words. */
export const carrierName = (carrier) => CARRIERS[carrier] ?? (carrier || "nothing");

/** Shows who is logged in, as `/api/me` told. */
export function showIdentity(me) {
  const identity = me.identity ?? {};
  const authenticated = me.authenticated ?? {};
  const name = identity.display_name || identity.name || identity.username || "Somebody";
  const carrier = String(authenticated.carrier ?? "").toLowerCase();
  const { dataset } = byId("identity");
  Object.assign(dataset, { username: identity.username ?? "", carrier, scheme: authenticated.scheme ?? "" });

  const short = identity.initials || initials(name);
  byId("identity-initials").textContent = short;
  byId("identity").setAttribute("aria-label", `${short}: who I am, ${name}`);
  byId("identity-name").textContent = name;
  byId("identity-username").textContent = identity.username && identity.username !== name ? identity.username : "";
  byId("identity-carrier").textContent = carrierName(carrier);
  byId("identity-scheme").textContent = authenticated.scheme || "–";
  byId("identity-expiry").textContent = expiry(authenticated.expires_at);
  const scopes = authenticated.scopes ?? [];
  byId("share").hidden = !scopes.includes("share");
  byId("people-open").hidden = !scopes.includes("admin");
}

/** Shows a link to be sent. */
export function showLink({ url, expires_in: seconds }) {
  byId("share-url").value = url;
  byId("share-copy").textContent = "Copy";
  byId("share-expiry").textContent = seconds ? `It works for ${duration(seconds)}.` : "It works until its token is taken back.";
  byId("share-dialog").showModal();
  byId("share-copy").focus();
}

/** Copies the shown link. */
export async function copyLink() {
  const field = byId("share-url");
  let copied = true;
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // Not allowed, or a page over plain http from another machine, which has no clipboard object.
    field.select();
    copied = document.execCommand("copy");
  }
  byId("share-copy").textContent = copied ? "Copied" : "Press Ctrl C";
}

/** Asks a question; true if the answer is yes. */
export function confirm(title, text, yes) {
  const dialog = byId("confirm-dialog");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  byId("confirm-yes").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Shows the keys. */
export function help() {
  byId("help-dialog").showModal();
}

/** Shows a message above the cells, with a button if there is something to do; nothing to take it away. */
export function notice(kind, text, action, act) {
  const box = byId("notice");
  const button = byId("notice-action");
  box.hidden = !kind;
  box.dataset.kind = kind ?? "";
  byId("notice-text").textContent = text ?? "";
  button.hidden = !action;
  button.textContent = action ?? "";
  button.onclick = act ?? null;
}

/** Shows how long the socket has left, if that is worth a look. */
export function countdown({ isShown, left, renewals }) {
  const button = byId("countdown");
  button.hidden = !isShown;
  button.dataset.renewals = renewals;
  const [minutes, seconds] = [Math.floor(left / 60), left % 60];
  byId("countdown-time").textContent = isShown ? `${minutes}:${String(seconds).padStart(2, "0")}` : "";
}

let announcement = 0;

/** Tells a screen reader, once things have calmed down. */
export function announce(text) {
  clearTimeout(announcement);
  announcement = setTimeout(() => (byId("announcer").textContent = text), 400);
}

function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  return words.slice(0, 2).map((word) => word[0].toUpperCase()).join("");
}

// Seconds since 1970, or a date as text.
function expiry(moment) {
  if (!moment) return "no end is set";
  const end = new Date(typeof moment === "number" ? moment * 1000 : moment);
  if (Number.isNaN(end.getTime())) return "unknown";
  const left = Math.max(0, (end - Date.now()) / 1000);
  return `${end.toLocaleString([], { dateStyle: "medium", timeStyle: "short" })} (${duration(left)} left)`;
}

function duration(seconds) {
  const units = [[86_400, "days"], [3_600, "hours"], [60, "minutes"]];
  const [size, unit] = units.find(([size]) => seconds >= 2 * size) ?? [1, "seconds"];
  return `${Math.round(seconds / size)} ${unit}`;
}
