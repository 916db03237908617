// Logs in with an npm client of DDP, calls methods, and prints the results.
//
// usage: node ddp.cjs ddp.js|simpleddp JSON, with
//   url              the server; without one, the driver starts the server of ddp-control.cjs
//   control          the options of that server
//   calls            the calls in order, each as [method, ...parameters]
//   closes           whether to wait until the server closes the socket
//   after_reconnect  a call after the client has reconnected, as [method, ...parameters]
'use strict';
const { WebSocket } = require('ws');
const { startControl } = require('./ddp-control.cjs');
const { before, conclude } = require('./drive.cjs');

const CLIENTS = { 'ddp.js': plain, simpleddp: simple };

async function main(name, { url, control, calls, closes, after_reconnect: afterReconnect }) {
  const closed = [];
  const isClosed = new EventTarget();
  class Recorded extends WebSocket {
    constructor(address) {
      super(address);
      this.addEventListener('close', ({ code, reason }) => {
        closed.push({ code, reason });
        isClosed.dispatchEvent(new Event('close'));
      });
    }
  }
  const options = {
    endpoint: url ?? (await startControl(control)),
    SocketConstructor: Recorded,
    autoReconnect: afterReconnect !== undefined,
    reconnectInterval: 10,
  };
  const client = CLIENTS[name](options);
  await client.isConnected();
  const results = [];
  for (const call of calls) {
    results.push(await client.call(...call).then((result) => ({ result }), (error) => ({ error })));
  }
  if (closes && closed.length === 0) {
    await new Promise((done) => isClosed.addEventListener('close', done, { once: true }));
  }
  const outcome = { results, closed: [...closed] };
  if (afterReconnect) {
    await client.isReconnected();
    outcome.after_reconnect = await client.call(...afterReconnect);
  }
  await client.end();
  return outcome;
}

/** ddp.js implements the protocol, and does not log in automatically. */
function plain(options) {
  const { default: DDP } = require('ddp.js');
  const client = new DDP(options);
  const next = (event) => new Promise((done) => client.once(event, done));
  const isConnected = next('connected');
  return {
    isConnected: () => isConnected,
    call: (method, ...parameters) => new Promise((resolve, reject) => {
      const id = client.method(method, parameters);
      client.on('result', function settle(message) {
        if (message.id !== id) return;
        client.off('result', settle);
        if (message.error) reject(message.error);
        else resolve(message.result);
      });
    }),
    end: async () => client.disconnect(),
  };
}

/** simpleddp with its plug-in logs in again automatically, with the token of the last login. */
function simple(options) {
  const SimpleDDP = require('simpleddp');
  const { simpleDDPLogin } = require('simpleddp-plugin-login');
  const client = new SimpleDDP({ ...options, autoConnect: false }, [simpleDDPLogin]);
  const isReconnected = new Promise((resolve, reject) => {
    client.on('loginResume', resolve);
    client.on('loginResumeFailed', reject);
  });
  isReconnected.catch(() => {});
  return {
    isConnected: () => client.connect(),
    isReconnected: () => isReconnected,
    call: (method, ...parameters) => (method === 'login'
      ? client.login(...parameters)
      : client.call(method, ...parameters)),
    end: () => client.disconnect(),
  };
}

const [name, scenario] = process.argv.slice(2);
conclude(before(60_000, () => main(name, JSON.parse(scenario))));
