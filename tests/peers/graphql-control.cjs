// A GraphQL server of the package graphql-ws. It runs in the process of the driver, and shows that the
// driver works.
'use strict';
const { buildSchema } = require('graphql');
const { useServer } = require('graphql-ws/use/ws');
const { WebSocketServer } = require('ws');

const schema = buildSchema(`
  type Query { hello: String! whoami: String! }
  type Subscription { ticks: Int! }
`);

/**
 * @param users the user of each token
 * @param refusal the close code for a wrong token
 * @param lifetime the milliseconds until the server closes a connection with 4403
 * @returns the address of the server
 */
async function startControl({ users, refusal = 4403, lifetime }) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  const tokenOf = ({ token, Authorization } = {}) => token ?? Authorization?.replace(/^Bearer /, '');
  useServer({
    schema,
    onConnect: ({ connectionParams, extra: { socket } }) => {
      const known = tokenOf(connectionParams) in users;
      if (!known && refusal !== 4403) socket.close(refusal, 'Unauthorized');
      if (known && lifetime) setTimeout(() => socket.close(4403, 'Forbidden'), lifetime);
      return known;
    },
    roots: {
      query: { hello: 'Hello!', whoami: (_, { whoami }) => whoami },
      subscription: { ticks: count },
    },
    context: ({ connectionParams }) => ({ whoami: users[tokenOf(connectionParams)] }),
  }, server);
  await new Promise((listens) => server.once('listening', listens));
  return `ws://127.0.0.1:${server.address().port}/`;
}

async function* count() {
  for (let ticks = 0; ; ticks++) {
    yield { ticks };
    await new Promise((done) => setTimeout(done, 20));
  }
}

module.exports = { startControl };
