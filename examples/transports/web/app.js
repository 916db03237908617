// Runs every test case against every target, one after the other, and shows the results.
//
// For end-to-end tests: `document.documentElement.dataset.result` is "idle", "running", "pass" or "fail", and
// `window.portcullisResults` holds one object for each case that has run, without tokens and tickets. The query parameter
// `?ways=query,cookie` selects cases by their key.

import { me } from "./api.js";
import { attempt } from "./attempt.js";
import { CASES } from "./cases.js";
import { echo } from "./conversations.js";
import { withCookieFrame } from "./cookie-frame.js";
import { base64, base64url, percentEncoded } from "./encodings.js";
import { configuration, targets } from "./origins.js";

const TOKEN = "portcullis.token";
const USER = "portcullis.user";
const byId = (id) => document.getElementById(id);

/** The scopes of a user without a valid token. */
const ANONYMOUS = { scopes: [] };

let config;
let allRows = [];
/** The rows that apply to the user and the server. */
let rows = [];

start().catch((error) => showSummary("fail", `This page could not start: ${error.message}`));

async function start() {
  byId("here").textContent = location.origin;
  config = await configuration();
  byId("user").replaceChildren(...config.users.map((name) => new Option(name, name)));
  byId("user").value = sessionStorage.getItem(USER) ?? config.users[0];
  byId("token").value = sessionStorage.getItem(TOKEN) ?? "";
  const allowed = config.allowed_origins?.includes(location.origin) ?? false;
  allRows = targets(config).flatMap((target) => addSection({ ...target, allowed }));
  selectRows(ANONYMOUS);
  report("idle");

  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const [user, token] = [byId("user").value, byId("token").value];
    sessionStorage.setItem(USER, user);
    sessionStorage.setItem(TOKEN, token);
    byId("run").disabled = true;
    runAll(user, token).finally(() => (byId("run").disabled = false));
  });
}

/** Adds the section of a target, and returns its rows. */
function addSection(target) {
  const section = byId("target-template").content.firstElementChild.cloneNode(true);
  section.id = `target-${target.key}`;
  section.querySelector("h2").textContent = `${target.title}: ${target.origin}`;
  section.querySelector("p").textContent = target.text;
  byId("targets").append(section);
  const selected = new URLSearchParams(location.search).get("ways")?.split(",");
  const cases = CASES.filter(({ key, only }) => (!only || only === target.key) && (selected?.includes(key) ?? true));
  return cases.map((testCase) => {
    const element = byId("row-template").content.firstElementChild.cloneNode(true);
    element.id = `row-${testCase.key}-${target.key}`;
    element.querySelector("h3").textContent = testCase.title;
    element.querySelector(".code").textContent = testCase.example("user", target);
    element.querySelector(".explanation").textContent = testCase.explanation({ ...target, config });
    section.querySelector("ol").append(element);
    return { testCase, target, element, result: null };
  });
}

function selectRows(me) {
  rows = allRows.filter(({ testCase }) => testCase.applies?.({ me, config }) ?? true);
  for (const row of allRows) row.element.hidden = !rows.includes(row);
}

async function runAll(user, token) {
  selectRows(await me(token).catch(() => ANONYMOUS));
  for (const row of rows) reset(row, user);
  report("running");
  for (const row of rows) if (!row.testCase.cookie) await run(row, user, token);

  for (const target of new Set(rows.map((row) => row.target))) {
    await withCookieFrame(target.origin, async (frame) => {
      const stored = await frame.set(token);
      for (const row of rows) if (row.testCase.cookie && row.target === target) await run(row, user, token, stored);
    });
  }
  report(rows.every(({ result }) => result.ok) ? "pass" : "fail");
}

async function run(row, user, token, stored) {
  const { testCase, target } = row;
  let ticket;
  let result;
  try {
    ticket = await testCase.prepare?.(token);
    const { path, userInfo = "", protocols = [] } = testCase.request(user, token, ticket);
    const url = `${target.origin.replace(/^http/, "ws").replace("://", `://${userInfo}`)}${path}`;
    const conversation = testCase.conversation?.(token, ticket) ?? echo();
    result = await attempt(url, protocols, conversation, testCase.timeout?.(config));
  } catch (error) {
    result = { outcome: "threw", error: error.message };
  }
  const problems = check(testCase, target, user, [token, ticket], result);
  row.result = {
    way: testCase.key,
    target: target.key,
    origin: target.origin,
    expected: testCase.opens(target) ? "opened" : "refused",
    ...result,
    subject: result.seen?.subject ?? null,
    carrier: result.seen?.carrier ?? null,
    scheme: result.seen?.scheme ?? null,
    stored: stored ?? null,
    problems,
    ok: problems.length === 0,
  };
  show(row);
  report("running");
}

/** Returns the differences between the expected and the actual result. */
function check(testCase, target, user, credentials, result) {
  if (!testCase.opens(target)) return result.outcome === "refused" ? [] : ["expected a refusal"];
  if (result.outcome !== "opened") return ["expected an open socket"];
  const { seen, protocol, error } = result;
  const secrets = credentials.filter(Boolean).flatMap((secret) => [secret, percentEncoded(secret), base64(secret), base64url(secret)]);
  const leaks = (text) => secrets.some((secret) => text.includes(secret));
  return [
    seen.subject !== user && `the subject is not ${user}`,
    protocol !== testCase.protocol && `the subprotocol is not “${testCase.protocol}”`,
    // If the server selects a marker, the handler sees no subprotocol.
    seen.protocol && seen.protocol !== protocol && "the handler and the browser see different subprotocols",
    !(seen.session && seen.expires_in >= 0) && "the handler does not see the session and its expiry",
    leaks(JSON.stringify({ ...seen, subject: "" })) && "the handler sees the credential",
    leaks(protocol) && "the server echoed the credential",
    error,
  ].filter(Boolean);
}

function reset(row, user) {
  row.result = null;
  row.element.dataset.outcome = "waiting";
  delete row.element.dataset.ok;
  row.element.querySelector(".code").textContent = row.testCase.example(user, row.target);
  row.element.querySelector(".outcome-text").textContent = "Waiting";
  row.element.querySelector(".facts").replaceChildren();
  row.element.querySelector("details").hidden = true;
}

function show({ element, result, testCase }) {
  element.dataset.outcome = result.outcome;
  element.dataset.ok = String(result.ok);
  const outcome = { opened: "Opened", refused: "Refused", threw: "Not sent" }[result.outcome];
  element.querySelector(".outcome-text").textContent = result.ok ? `${outcome}, as expected` : `${outcome}: ${result.problems.join("; ")}`;

  const facts =
    result.outcome === "opened"
      ? { Subject: result.subject, Carrier: [result.carrier, result.scheme].filter(Boolean).join(", "), Subprotocol: result.protocol || "none", ...result.facts }
      : { Code: result.code ?? result.error, Reason: result.reason || "none" };
  if (testCase.cookie && result.stored !== null) facts.Cookie = result.stored ? "stored in the frame" : "not stored in the frame";
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
  const passed = results.filter(({ ok }) => ok).length;
  const opened = results.filter(({ outcome }) => outcome === "opened").length;
  window.portcullisResults = results;
  const texts = {
    idle: `${rows.length} tests are ready. Enter a token to run them.`,
    running: `${results.length} of ${rows.length} tests have run …`,
    pass: `All ${rows.length} tests passed: ${opened} sockets opened, ${results.length - opened} were refused.`,
    fail: `${rows.length - passed} of ${rows.length} tests failed.`,
  };
  showSummary(state, texts[state]);
}

function showSummary(state, text) {
  document.documentElement.dataset.result = state;
  byId("summary").dataset.result = state;
  byId("summary").textContent = text;
}
