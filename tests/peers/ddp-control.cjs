// The little of DDP that a login needs, answered as Meteor answers it, in the process of the driver.
// The driver is known to be good by what it says of this one.
'use strict';
const { WebSocketServer } = require('ws');

/**
 * @param users whom each token belongs to
 * @param lifetime after how many milliseconds a login ends, and its connection with it
 * @returns its address
 */
async function startControl({ users, lifetime }) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  server.on('connection', (socket) => {
    const say = (message) => socket.send(JSON.stringify(message));
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
      if (msg === 'connect') say({ msg: 'connected', session: 's1' });
      if (msg !== 'method') return;
      try {
        say({ msg: 'result', id, result: methods[method](...params) });
      } catch (error) {
        say({ msg: 'result', id, error });
      }
      say({ msg: 'updated', methods: [id] });
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
