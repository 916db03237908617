// The dialogs with the open connections and the share links.

import * as api from "./api.js";
import { carrierName } from "./panels.js";

const REFRESH = 2000;

const byId = (id) => document.getElementById(id);

/** Shows the open connections, and refreshes them until the dialog is closed. */
export async function showConnections() {
  const dialog = byId("people-dialog");
  await listConnections();
  if (!dialog.open) dialog.showModal();
  byId("people-close").focus();
  const timer = setInterval(() => listConnections().catch(() => {}), REFRESH);
  dialog.addEventListener("close", () => clearInterval(timer), { once: true });
}

/** Lists the share links. */
export async function listLinks() {
  const { links } = await api.links();
  byId("links-title").hidden = !links.length;
  const rows = links.map((link) => {
    const sockets = link.sockets === 1 ? "1 open socket" : `${link.sockets} open sockets`;
    const revokeLink = button("Revoke", async () => {
      await api.revokeLink(link.id);
      await listLinks();
    });
    return row(link.guest, [`${sockets}, expires ${dateTime(link.expires_at)}`], [revokeLink]);
  });
  fill("links", rows, (element, index) => (element.dataset.guest = links[index].guest));
}

async function listConnections() {
  const { sessions } = await api.sessions();
  const rows = sessions.map((session) => {
    const { subject } = session;
    const disconnect = button("Disconnect", () => revoke({ session: session.session }), `Close this socket of ${subject}. The credential stays valid.`);
    const revokeLink = button("Revoke", () => revoke({ subject }), `Revoke the link of ${subject} and close all its sockets.`);
    const lines = [
      `${session.kernel ? "Kernel" : "Events"}, from ${session.peer ?? "an unknown address"}`,
      `authenticated by ${carrierName(session.carrier)}`,
      `since ${dateTime(session.since)}, until ${dateTime(session.until)}`,
    ];
    if (!session.link) lines.push("uses the server's own token, which only a restart can revoke");
    return row(subject, lines, session.link ? [disconnect, revokeLink] : [disconnect]);
  });
  byId("people-count").textContent = rows.length === 1 ? "One socket is open on this server." : `${rows.length} sockets are open on this server.`;
  fill("people", rows, (element, index) => {
    const { session, subject } = sessions[index];
    Object.assign(element.dataset, { session, subject });
  });
}

async function revoke(what) {
  await api.revoke(what);
  await listConnections();
}

// Replaces the rows only if they have changed, so that a refresh does not move the focus.
function fill(id, rows, mark) {
  const list = byId(id);
  rows.forEach(mark);
  const same = (element, index) => element.isEqualNode(list.children[index]);
  if (rows.length === list.children.length && rows.every(same)) return;
  list.replaceChildren(...rows);
}

function row(name, lines, buttons) {
  const item = document.createElement("li");
  const text = document.createElement("div");
  const title = document.createElement("strong");
  title.textContent = name;
  text.append(title, ...lines.map((line) => Object.assign(document.createElement("span"), { textContent: line })));
  item.append(text, ...buttons);
  return item;
}

function button(label, action, description = label) {
  const element = Object.assign(document.createElement("button"), { type: "button", textContent: label, title: description });
  element.setAttribute("aria-label", description);
  element.addEventListener("click", () => action().catch((error) => (element.textContent = error.message)));
  return element;
}

function dateTime(text) {
  const time = new Date(text);
  const today = time.toDateString() === new Date().toDateString();
  return time.toLocaleString([], today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" });
}
