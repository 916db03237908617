// What is said on a socket of each way.
//
// A talk has `open(say)`, called when the socket is open; `hear(data, say)`, called for each message; and `close(event)`, called if
// the server closes the socket. `hear` and `close` may return `{ seen }` once it is known what the handler sees, and
// `{ done: true, facts }` when all is said. They may be asynchronous, and throw what is wrong.

const question = () => `echo ${Math.random()}`;

/** The first message tells what the handler saw; then something may `begin`; after that, everything comes back as it went. */
export function echoing({ open = () => {}, isHello = () => true, begin, hear } = {}) {
  const asked = question();
  let seen = null;
  let begun = !begin;
  let facts = {};
  const ask = (say) => {
    begun = true;
    say(asked);
    return { seen };
  };
  return {
    open,
    async hear(data, say) {
      if (!seen) {
        const message = JSON.parse(data);
        if (!isHello(message)) return {};
        seen = message;
        if (!begin) return ask(say);
        facts = (await begin({ seen, say })) ?? {};
        return hear ? { seen } : ask(say);
      }
      if (!begun) {
        facts = hear(data);
        return ask(say);
      }
      if (data !== asked) throw new Error("The socket did not echo.");
      return { done: true, facts };
    },
  };
}

/** The first message is the credential. */
export function firstMessage(credential) {
  return echoing({ open: (say) => say(credential) });
}

/** Before the handler's own, there is the Bundle that says that the subscription is bound. */
export function fhir(token) {
  let handshake = false;
  return echoing({
    open: (say) => say(`bind-with-token ${token}`),
    isHello: ({ resourceType, entry }) => {
      if (resourceType !== "Bundle") {
        if (!handshake) throw new Error("There was no handshake.");
        return true;
      }
      handshake = entry[0].resource.type === "handshake";
      return false;
    },
  });
}

/** A query, and two ticks of a subscription. */
export function graphql(token) {
  const ask = (say, id, query) => say({ id, type: "subscribe", payload: { query } });
  const ticks = [];
  return {
    open: (say) => say({ type: "connection_init", payload: { token } }),
    hear(data, say) {
      const { type, id, payload } = JSON.parse(data);
      if (type === "connection_ack") ask(say, "who", "{ whoami carrier session expiresIn }");
      if (type === "complete" && id === "who") ask(say, "ticks", "subscription { ticks(count: 2) }");
      if (type === "complete" && id === "ticks") return { done: true, facts: { Ticks: ticks.join(", ") } };
      if (type === "error") throw new Error(payload[0].message);
      if (type !== "next") return {};
      if (id === "ticks") {
        ticks.push(payload.data.ticks);
        return {};
      }
      const { whoami, carrier, session, expiresIn } = payload.data;
      return { seen: { subject: whoami, carrier, session, expires_in: expiresIn } };
    },
  };
}

/** `connect`, `login`, and a method that gives back what it is given. */
export function ddp(token) {
  const asked = question();
  const call = (say, id, method, ...params) => say({ msg: "method", id, method, params });
  return {
    open: (say) => say({ msg: "connect", version: "1", support: ["1"] }),
    hear(data, say) {
      const message = JSON.parse(data);
      if (message.msg === "connected") call(say, "login", "login", { resume: token });
      if (message.error) throw new Error(message.error.reason);
      if (message.msg === "result" && message.id === "echo") {
        if (message.result !== asked) throw new Error("The method did not echo.");
        return { done: true };
      }
      if (message.msg) return {};
      call(say, "echo", "echo", asked);
      return { seen: message };
    },
  };
}

/** Once the socket is open and something has `begun`, the server is expected to close it with a code. */
export function expiring(code, begin = () => {}) {
  let opened;
  return {
    open() {
      opened = performance.now();
    },
    async hear(data) {
      const seen = JSON.parse(data);
      await begin({ seen });
      return { seen };
    },
    close(event) {
      if (event.code !== code) throw new Error(`It was closed with ${event.code} and not with ${code}.`);
      const after = `${((performance.now() - opened) / 1000).toFixed(1)} s`;
      return { done: true, facts: { "Closed with": `${event.code}, ${event.reason}`, After: after } };
    },
  };
}
