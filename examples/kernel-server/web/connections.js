// Who is connected, and which links are shared; and how one takes both back.

import * as api from "./api.js";
import { carrierName } from "./panels.js";

const REFRESH = 2000;

const byId = (id) => document.getElementById(id);

/** Shows who is connected, and keeps that true while it is open. */
export async function showPeople() {
  const dialog = byId("people-dialog");
  await listPeople();
  if (!dialog.open) dialog.showModal();
  byId("people-close").focus();
  const timer = setInterval(() => listPeople().catch(() => {}), REFRESH);
  dialog.addEventListener("close", () => clearInterval(timer), { once: true });
}

/** Shows the links that are shared. */
export async function listLinks() {
  const { links } = await api.links();
  byId("links-title").hidden = !links.length;
  const rows = links.map((link) => {
    const until = `until ${moment(link.expires_at)}`;
    const sockets = link.sockets === 1 ? "1 socket" : `${link.sockets} sockets`;
    const takeBack = button("Take back", async () => {
      await api.takeBack(link.id);
      await listLinks();
    });
    return row(link.guest, [`${sockets}, ${until}`], [takeBack]);
  });
  fill("links", rows, (element, index) => (element.dataset.guest = links[index].guest));
}

async function listPeople() {
  const { sessions } = await api.sessions();
  const rows = sessions.map((one) => {
    const what = one.kernel ? "With a kernel" : "With the events";
    const buttons = [button("Disconnect", () => revoke({ session: one.session }), `Close this socket of ${one.subject}, whose credential stays good`)];
    if (one.link) buttons.push(button("Take back", () => revoke({ subject: one.subject }), `Take back the link of ${one.subject}: it lets nobody in any more, and all its sockets close`));
    const lines = [
      `${what}, by ${carrierName(one.carrier)}, from ${one.peer ?? "somewhere"}`,
      `since ${moment(one.since)}, until ${moment(one.until)}`,
      ...(one.link ? [] : ["let in by the server's own token, which only a restart takes back"]),
    ];
    return row(one.subject, lines, buttons);
  });
  byId("people-count").textContent = rows.length === 1 ? "One socket is open on this server." : `${rows.length} sockets are open on this server.`;
  fill("people", rows, (element, index) => Object.assign(element.dataset, { session: sessions[index].session, subject: sessions[index].subject }));
}

async function revoke(what) {
  await api.revoke(what);
  await listPeople();
}

// A list that is built anew would take the focus away from who goes through it.
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

function button(label, act, meaning = label) {
  const element = Object.assign(document.createElement("button"), { type: "button", textContent: label, title: meaning });
  element.setAttribute("aria-label", meaning);
  element.addEventListener("click", () => act().catch((error) => (element.textContent = error.message)));
  return element;
}

function moment(text) {
  const time = new Date(text);
  const today = time.toDateString() === new Date().toDateString();
  return time.toLocaleString([], today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" });
}
