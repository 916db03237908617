// Runs operations with the npm package graphql-ws, and prints their results and the closed sockets.
//
// usage: node graphql.cjs JSON, with
//   url       the server; without one, the driver starts the server of graphql-control.cjs
//   control   the options of that server
//   payloads  the payloads of `connection_init` in order; the last one is repeated
//   query     whether to run `{ hello whoami }` first, on a separate connection
//   ticks     the number of ticks to receive on each of `connections` connections
//   then      a request to send at the first tick: { url, token, body }
'use strict';
const { createClient } = require('graphql-ws');
const { WebSocket } = require('ws');
const { startControl } = require('./graphql-control.cjs');
const { before, conclude } = require('./drive.cjs');

async function main({ url, control, payloads, query, ticks, connections = 1, then }) {
  const outcome = { attempts: 0, connected: 0, closed: [], payloads: 0, ticks: [] };
  const client = createClient({
    url: url ?? (await startControl(control)),
    webSocketImpl: WebSocket,
    connectionParams: () => payloads[Math.min(outcome.payloads++, payloads.length - 1)],
    retryAttempts: 2,
    retryWait: async () => {},
    on: {
      connecting: () => { outcome.attempts++; },
      connected: () => { outcome.connected++; outcome.ticks.push([]); },
      closed: ({ code, reason }) => outcome.closed.push({ code, reason }),
    },
  });
  try {
    if (query) outcome.query = await runQuery(client);
    if (ticks) await subscribe(client, outcome, ticks, connections, then);
  } catch (error) {
    outcome.error = described(error);
  }
  await client.dispose();
  return outcome;
}

async function runQuery(client) {
  for await (const result of client.iterate({ query: '{ hello whoami }' })) return result;
}

async function subscribe(client, outcome, ticks, connections, then) {
  const base = outcome.connected;
  for await (const { data, errors } of client.iterate({ query: 'subscription { ticks }' })) {
    if (errors) throw errors;
    const current = outcome.ticks.at(-1);
    current.push(data.ticks);
    if (then) {
      outcome.then = await post(then);
      then = undefined;
    }
    if (outcome.connected - base === connections && current.length === ticks) return;
  }
}

async function post({ url, token, body }) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

// The package throws the event of a close, an error, or a list of GraphQL errors.
function described(error) {
  const { code, reason, message } = error;
  return code ? { code, reason } : { message: message ?? JSON.stringify(error) };
}

conclude(before(60_000, () => main(JSON.parse(process.argv[2]))));
