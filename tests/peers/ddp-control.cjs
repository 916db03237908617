// A server with the part of DDP that a login needs, which behaves as Meteor does. It runs in the process
// of the driver, and shows that the driver works.
'use strict';
const { WebSocketServer } = require('ws');

/**
 * @param users the user of each token
 * @param lifetime the milliseconds until the server closes a connection after a login
 * @returns the address of the server
 */
async function startControl({ users, lifetime }) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  server.on('connection', (socket) => {
    const send = (message) => socket.send(JSON.stringify(message));
    let user;
    const methods = {
      login: ({ resume }) => {
        if (!(resume in users)) throw LOGGED_OUT;
        user = users[resume];
        if (lifetime) setTimeout(() => socket.close(1000), lifetime);
        return { id: user, token: resume, tokenExpires: { $date: Date.now() + 60_000 }, type: 'resume' };
      },
      whoami: () => user,
    };
    socket.on('message', (data) => {
      const { msg, method, id, params } = JSON.parse(data);
      if (msg === 'connect') send({ msg: 'connected', session: 's1' });
      if (msg !== 'method') return;
      try {
        send({ msg: 'result', id, result: methods[method](...params) });
      } catch (error) {
        send({ msg: 'result', id, error });
      }
      send({ msg: 'updated', methods: [id] });
    });
  });
  await new Promise((listens) => server.once('listening', listens));
  return `ws://127.0.0.1:${server.address().port}/`;
}

const LOGGED_OUT = {
  error: 403,
  reason: "You've been logged out by the server. Please log in again.",
  errorType: 'Meteor.Error',
};

module.exports = { startControl };
