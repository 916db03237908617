// Runs a cell with the client of JupyterLab, the npm package @jupyterlab/services.
'use strict';
const { ServerConnection, KernelManager } = require('@jupyterlab/services');
const { before } = require('./drive.cjs');

const MARKER = 'v1.token.websocket.jupyter.org';

// The four ways to send the credential with the WebSocket. REST calls contain `Authorization: token …`
// in each of them, or no token if the browser has a cookie.
const WAYS = {
  // The default of the package: the token in the URL in Node and on a page of another origin, and a
  // cookie on a page of the server.
  default: () => ({}),
  url: () => ({ appendToken: true }),
  // Only outside a browser: `Socket` has to accept headers, as the npm package ws does.
  header: (Socket, token) => ({ appendToken: false, WebSocket: withHeader(Socket, token) }),
  subprotocol: (Socket, token) => ({ appendToken: false, WebSocket: withToken(Socket, token) }),
};

/** Returns a WebSocket class that offers the token as an additional subprotocol. */
function withToken(Socket, token) {
  return class extends Socket {
    constructor(url, protocols = []) {
      super(url, [...[].concat(protocols), MARKER, `${MARKER}.${encode(token)}`]);
    }
    // The marker is not a kernel protocol: JupyterLab would report a dead kernel.
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

// encodeURIComponent leaves five characters that are not valid in every subprotocol.
function encode(token) {
  const escape = (character) => '%' + character.charCodeAt(0).toString(16).toUpperCase();
  return encodeURIComponent(token).replace(/[!'()*]/g, escape);
}

/** Returns a WebSocket class that records in `seen` how each socket was opened. */
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

/** Starts a kernel, runs a cell, and shuts the kernel down. Returns the output and the sockets. */
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
    // The package retries a refused WebSocket indefinitely.
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
