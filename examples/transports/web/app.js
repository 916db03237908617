// Tries every way to every target, one after the other, and shows what became of it.
//
// For tests: `document.documentElement.dataset.result` is "idle", "running", "pass" or "fail", and
// `window.portcullisResults` holds one object for each row that was tried, without token and ticket. `?ways=query,cookie` tries these
// alone.

import { me } from "./api.js";
import { attempt } from "./attempt.js";
import { withCookieFrame } from "./cookie-frame.js";
import { base64, base64url, percentEncoded } from "./encodings.js";
import { configuration, targets } from "./origins.js";
import { echoing } from "./talks.js";
import { WAYS } from "./ways.js";

const TOKEN = "portcullis.token";
const USER = "portcullis.user";
const byId = (id) => document.getElementById(id);

/** Whoever has no good token. */
const NOBODY = { scopes: [] };

let config;
/** Every row there is; those that apply to the server and to whose token it is are tried. */
let everyRow = [];
let rows = [];

begin().catch((error) => summarize("fail", `This page could not be set up: ${error.message}`));

async function begin() {
  byId("here").textContent = location.origin;
  config = await configuration();
  byId("user").replaceChildren(...config.users.map((name) => new Option(name, name)));
  byId("user").value = sessionStorage.getItem(USER) ?? config.users[0];
  byId("token").value = sessionStorage.getItem(TOKEN) ?? "";
  everyRow = targets(config).flatMap((target) => layOut({ ...target, allowed: config.allowed_origins?.includes(location.origin) ?? false }));
  choose(NOBODY);
  report("idle");

  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const [user, token] = [byId("user").value, byId("token").value];
    sessionStorage.setItem(USER, user);
    sessionStorage.setItem(TOKEN, token);
    byId("run").disabled = true;
    tryAll(user, token).finally(() => (byId("run").disabled = false));
  });
}

function layOut(target) {
  const section = byId("target-template").content.firstElementChild.cloneNode(true);
  section.id = `target-${target.key}`;
  section.querySelector("h2").textContent = `${target.title}: ${target.origin}`;
  section.querySelector("p").textContent = target.text;
  byId("targets").append(section);
  const wanted = new URLSearchParams(location.search).get("ways")?.split(",");
  const ways = WAYS.filter(({ key, only }) => (!only || only === target.key) && (wanted?.includes(key) ?? true));
  return ways.map((way) => {
    const element = byId("row-template").content.firstElementChild.cloneNode(true);
    element.id = `row-${way.key}-${target.key}`;
    element.querySelector("h3").textContent = way.title;
    element.querySelector(".code").textContent = way.shown("user", target);
    element.querySelector(".why").textContent = way.why({ ...target, config });
    section.querySelector("ol").append(element);
    return { way, target, element, result: null };
  });
}

function choose(me) {
  rows = everyRow.filter(({ way }) => way.applies?.({ me, config }) ?? true);
  for (const row of everyRow) row.element.hidden = !rows.includes(row);
}

async function tryAll(user, token) {
  choose(await me(token).catch(() => NOBODY));
  for (const row of rows) forget(row, user);
  report("running");
  const plain = rows.filter(({ way }) => !way.cookie);
  for (const row of plain) await tryOne(row, user, token);

  for (const target of new Set(rows.map((row) => row.target))) {
    await withCookieFrame(target.origin, async (frame) => {
      const stored = await frame.set(token);
      for (const row of rows) if (row.way.cookie && row.target === target) await tryOne(row, user, token, stored);
    });
  }
  report(rows.every(({ result }) => result.ok) ? "pass" : "fail");
}

async function tryOne(row, user, token, stored) {
  const { way, target } = row;
  let ticket;
  let result;
  try {
    ticket = await way.prepare?.(token);
    const { path, userInfo = "", protocols = [] } = way.request(user, token, ticket);
    const url = `${target.origin.replace(/^http/, "ws").replace("://", `://${userInfo}`)}${path}`;
    const talk = way.talk?.(token, ticket) ?? echoing();
    result = await attempt(url, protocols, talk, way.patience?.(config));
  } catch (error) {
    result = { outcome: "threw", error: error.message };
  }
  const complaints = judge(way, target, user, [token, ticket], result);
  row.result = {
    way: way.key,
    target: target.key,
    origin: target.origin,
    expected: way.opens(target) ? "opened" : "refused",
    ...result,
    subject: result.seen?.subject ?? null,
    carrier: result.seen?.carrier ?? null,
    scheme: result.seen?.scheme ?? null,
    stored: stored ?? null,
    complaints,
    ok: complaints.length === 0,
  };
  show(row);
  report("running");
}

// What is not as it should be, in words; nothing if all is.
function judge(way, target, user, credentials, result) {
  if (!way.opens(target)) return result.outcome === "refused" ? [] : ["It should have been refused."];
  if (result.outcome !== "opened") return ["It should have opened."];
  const { seen, protocol, spoke } = result;
  const secrets = credentials.filter(Boolean).flatMap((secret) => [secret, percentEncoded(secret), base64(secret), base64url(secret)]);
  const leaks = (text) => secrets.some((secret) => text.includes(secret));
  return [
    seen.subject !== user && `The subject should be ${user}.`,
    protocol !== way.protocol && `The subprotocol should be “${way.protocol}”.`,
    // A marker is answered for the handler, which then knows of no subprotocol.
    seen.protocol && seen.protocol !== protocol && "Handler and browser should see the same subprotocol.",
    !(seen.session && seen.expires_in >= 0) && "The handler should know the session and when it ends.",
    leaks(JSON.stringify({ ...seen, subject: "" })) && "The handler can see the token.",
    leaks(protocol) && "The token came back.",
    spoke,
  ].filter(Boolean);
}

function forget(row, user) {
  row.result = null;
  row.element.dataset.outcome = "waiting";
  delete row.element.dataset.ok;
  row.element.querySelector(".code").textContent = row.way.shown(user, row.target);
  row.element.querySelector(".outcome-text").textContent = "Trying";
  row.element.querySelector(".facts").replaceChildren();
  row.element.querySelector("details").hidden = true;
}

function show({ element, result, way }) {
  element.dataset.outcome = result.outcome;
  element.dataset.ok = String(result.ok);
  const verb = { opened: "Opened", refused: "Refused", threw: "Not even sent" }[result.outcome];
  element.querySelector(".outcome-text").textContent = `${verb}, ${result.ok ? "as it should be" : result.complaints.join(" ")}`;

  const facts =
    result.outcome === "opened"
      ? { Subject: result.subject, Carrier: [result.carrier, result.scheme].filter(Boolean).join(", "), Subprotocol: result.protocol || "none", ...result.facts }
      : { Code: result.code ?? result.error, Reason: result.reason || "none" };
  if (way.cookie && result.stored !== null) facts.Cookie = result.stored ? "kept by the frame" : "not kept by the frame";
  element.querySelector(".facts").replaceChildren(...Object.entries(facts).map(([name, value]) => fact(name, value)));

  if (!result.seen) return;
  element.querySelector(".seen").textContent = JSON.stringify(result.seen, null, 2);
  element.querySelector("details").hidden = false;
}

function fact(name, value) {
  const pair = document.createElement("div");
  pair.append(document.createElement("dt"), document.createElement("dd"));
  pair.firstChild.textContent = name;
  pair.lastChild.textContent = value;
  return pair;
}

function report(state) {
  const results = rows.map(({ result }) => result).filter(Boolean);
  const right = results.filter(({ ok }) => ok).length;
  const opened = results.filter(({ outcome }) => outcome === "opened").length;
  window.portcullisResults = results;
  const texts = {
    idle: `${rows.length} attempts are waiting for a token.`,
    running: `${results.length} of ${rows.length} tried …`,
    pass: `All ${rows.length} attempts ended as they should: ${opened} opened, ${results.length - opened} were refused.`,
    fail: `${rows.length - right} of ${rows.length} attempts ended otherwise than they should.`,
  };
  summarize(state, texts[state]);
}

function summarize(state, text) {
  document.documentElement.dataset.result = state;
  byId("summary").dataset.result = state;
  byId("summary").textContent = text;
}
