// A GraphQL server by the package graphql-ws itself, in the process of the driver. The driver is known
// to be good by what it says of this one.
'use strict';
const { buildSchema } = require('graphql');
const { useServer } = require('graphql-ws/use/ws');
const { WebSocketServer } = require('ws');

const schema = buildSchema(`
  type Query { hello: String! whoami: String! }
  type Subscription { ticks: Int! }
`);

/**
 * @param users whom each token belongs to
 * @param refusal the code that a wrong token is answered with
 * @param lifetime after how many milliseconds a connection is closed with 4403
 * @returns its address
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
