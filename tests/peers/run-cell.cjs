// Runs a cell with JupyterLab's own client, the npm package @jupyterlab/services.
'use strict';
const { ServerConnection, KernelManager } = require('@jupyterlab/services');
const { before } = require('./drive.cjs');

const MARKER = 'v1.token.websocket.jupyter.org';

// The four ways in which the credential can reach the WebSocket. With each of them the REST calls
// carry `Authorization: token …`, unless there is no token because a cookie stands for it.
const WAYS = {
  // What the package does by itself: the token in the address under Node and on a foreign page, a
  // cookie on the server's own page.
  default: () => ({}),
  url: () => ({ appendToken: true }),
  // Only outside a browser: `Socket` has to take headers, as the npm package ws does.
  header: (Socket, token) => ({ appendToken: false, WebSocket: withHeader(Socket, token) }),
  subprotocol: (Socket, token) => ({ appendToken: false, WebSocket: withToken(Socket, token) }),
};

/** A WebSocket class that offers the token as a subprotocol beside those it is asked for. */
function withToken(Socket, token) {
  return class extends Socket {
    constructor(url, protocols = []) {
      super(url, [...[].concat(protocols), MARKER, `${MARKER}.${encode(token)}`]);
    }
    // The marker is no protocol of kernels: JupyterLab would declare the kernel dead.
    get protocol() {
      return super.protocol === MARKER ? '' : super.protocol;
    }
  };
}

function withHeader(Socket, token) {
  return class extends Socket {
    constructor(url, protocols = []) {
      super(url, protocols, { headers: { Authorization: `token ${token}` } });
    }
  };
}

// encodeURIComponent leaves five characters that are no part of a subprotocol, or not everywhere.
function encode(token) {
  const escape = (character) => '%' + character.charCodeAt(0).toString(16).toUpperCase();
  return encodeURIComponent(token).replace(/[!'()*]/g, escape);
}

/** A WebSocket class that remembers in `seen` how each of its sockets was opened. */
function recording(Socket, seen) {
  return class extends Socket {
    constructor(url, protocols = [], ...rest) {
      super(url, protocols, ...rest);
      const socket = { url: String(url), offered: [].concat(protocols), protocol: null };
      seen.push(socket);
      this.addEventListener('open', () => { socket.protocol = super.protocol; });
    }
  };
}

/** Starts a kernel, runs a cell, shuts the kernel down. Says what came out and how it got there. */
async function runCell({ base, token, way, Socket, code = 'print(6*7)', limit = 60_000 }) {
  const seen = [];
  const settings = {
    baseUrl: base,
    wsUrl: base.replace(/^http/, 'ws'),
    token,
    WebSocket: recording(Socket, seen),
  };
  Object.assign(settings, WAYS[way](settings.WebSocket, token));
  const manager = new KernelManager({
    serverSettings: ServerConnection.makeSettings(settings),
    standby: 'never',
  });
  let kernel;
  try {
    // Refused at the WebSocket, the package would try again for ever.
    const text = await before(limit, async () => {
      kernel = await manager.startNew({ name: 'python3' });
      return run(kernel, code);
    });
    await kernel.shutdown();
    return { text, sockets: seen };
  } finally {
    manager.dispose();
  }
}

async function run(kernel, code) {
  let text = '';
  const future = kernel.requestExecute({ code });
  future.onIOPub = (message) => {
    if (message.header.msg_type === 'stream') text += message.content.text;
  };
  const { content } = await future.done;
  if (content.status !== 'ok') throw new Error(`the cell ended with ${JSON.stringify(content)}`);
  return text;
}

module.exports = { runCell, withToken };
