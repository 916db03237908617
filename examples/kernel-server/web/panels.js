// The panels, dialogs and notices over the cells.

const byId = (id) => document.getElementById(id);

const CARRIERS = {
  cookie: "the cookie that the link has set",
  query: "a token in the URL (?token=…)",
  authorization: "an Authorization header",
  subprotocol: "a WebSocket subprotocol",
};

/** Returns the description of a carrier. */
export const carrierName = (carrier) => CARRIERS[carrier] ?? (carrier || "no credential");

/** Shows the identity of the user, the response of `/api/me`. */
export function showIdentity(me) {
  const identity = me.identity ?? {};
  const authenticated = me.authenticated ?? {};
  const name = identity.display_name || identity.name || identity.username || "Unknown user";
  const carrier = String(authenticated.carrier ?? "").toLowerCase();
  const { dataset } = byId("identity");
  Object.assign(dataset, { username: identity.username ?? "", carrier, scheme: authenticated.scheme ?? "" });

  const short = identity.initials || initials(name);
  byId("identity-initials").textContent = short;
  byId("identity").setAttribute("aria-label", `${short}: account of ${name}`);
  byId("identity-name").textContent = name;
  byId("identity-username").textContent = identity.username && identity.username !== name ? identity.username : "";
  byId("identity-carrier").textContent = carrierName(carrier);
  byId("identity-scheme").textContent = authenticated.scheme || "–";
  byId("identity-expiry").textContent = expiry(authenticated.expires_at);
  const scopes = authenticated.scopes ?? [];
  byId("share").hidden = !scopes.includes("share");
  byId("people-open").hidden = !scopes.includes("admin");
}

/** Shows a new share link. */
export function showLink({ url, expires_in: seconds }) {
  byId("share-url").value = url;
  byId("share-copy").textContent = "Copy";
  byId("share-expiry").textContent = seconds ? `It is valid for ${duration(seconds)}.` : "It is valid until it is revoked.";
  byId("share-dialog").showModal();
  byId("share-copy").focus();
}

/** Copies the share link to the clipboard. */
export async function copyLink() {
  const field = byId("share-url");
  let copied = true;
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // Not permitted, or not available, because the page was loaded over plain HTTP.
    field.select();
    copied = document.execCommand("copy");
  }
  byId("share-copy").textContent = copied ? "Copied" : "Press Ctrl C";
}

/** Asks for confirmation. Resolves to true if the user confirms. */
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

/** Shows the keyboard shortcuts. */
export function help() {
  byId("help-dialog").showModal();
}

/**
 * Shows a notice above the cells, with a button if there is an action. Hides it without arguments.
 */
export function notice(kind, text, label, action) {
  const box = byId("notice");
  const button = byId("notice-action");
  box.hidden = !kind;
  box.dataset.kind = kind ?? "";
  byId("notice-text").textContent = text ?? "";
  button.hidden = !label;
  button.textContent = label ?? "";
  button.onclick = action ?? null;
}

/** Shows the time until the session expires. */
export function countdown({ isShown, left, renewals }) {
  const button = byId("countdown");
  button.hidden = !isShown;
  button.dataset.renewals = renewals;
  const [minutes, seconds] = [Math.floor(left / 60), left % 60];
  byId("countdown-time").textContent = isShown ? `${minutes}:${String(seconds).padStart(2, "0")}` : "";
}

let announcement = 0;

/**
 * Announces a text to screen readers. Of several in quick succession, only the last one is
 * announced.
 */
export function announce(text) {
  clearTimeout(announcement);
  announcement = setTimeout(() => (byId("announcer").textContent = text), 400);
}

function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  return words.slice(0, 2).map((word) => word[0].toUpperCase()).join("");
}

// `moment` is a Unix time in seconds, or a date as text.
function expiry(moment) {
  if (!moment) return "does not expire";
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
