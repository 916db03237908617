// The messages that a test case exchanges on its socket.
//
// A conversation has three callbacks: `onOpen(send)`, `onMessage(data, send)`, and optionally `onClose(event)` for a socket that the
// server closes. `onMessage` and `onClose` may return `{ seen }`, the handler's description of the request, and
// `{ done: true, facts }` when the conversation is complete. Callbacks may be asynchronous, and throw if something is wrong.

const randomText = () => `echo ${Math.random()}`;

/**
 * Expects a description of the request as the first message, and then the echo of a message.
 *
 * `isDescription(message)` recognizes the description, if another message may precede it. `run({ seen, send })` is called in between,
 * and `onReply(data)` receives the one message that answers it. Both return facts to display.
 */
export function echo({ onOpen = () => {}, isDescription = () => true, run, onReply } = {}) {
  const text = randomText();
  let seen = null;
  let awaitsReply = false;
  let facts = {};
  const sendText = (send) => {
    send(text);
    return { seen };
  };
  return {
    onOpen,
    async onMessage(data, send) {
      if (!seen) {
        const message = JSON.parse(data);
        if (!isDescription(message)) return {};
        seen = message;
        facts = (await run?.({ seen, send })) ?? {};
        awaitsReply = Boolean(onReply);
        return awaitsReply ? { seen } : sendText(send);
      }
      if (awaitsReply) {
        awaitsReply = false;
        facts = onReply(data);
        return sendText(send);
      }
      if (data !== text) throw new Error("The server did not echo the message.");
      return { done: true, facts };
    },
  };
}

/** Sends the credential as the first message. */
export function firstMessage(credential) {
  return echo({ onOpen: (send) => send(credential) });
}

/** Binds a subscription. The server confirms the binding with a Bundle, before the description of the request. */
export function fhir(token) {
  let isBound = false;
  return echo({
    onOpen: (send) => send(`bind-with-token ${token}`),
    isDescription: ({ resourceType, entry }) => {
      if (resourceType !== "Bundle") {
        if (!isBound) throw new Error("The server did not confirm the binding.");
        return true;
      }
      isBound = entry[0].resource.type === "handshake";
      return false;
    },
  });
}

/** Runs a query, and a subscription that ends after two ticks. */
export function graphql(token) {
  const subscribe = (send, id, query) => send({ id, type: "subscribe", payload: { query } });
  const ticks = [];
  return {
    onOpen: (send) => send({ type: "connection_init", payload: { token } }),
    onMessage(data, send) {
      const { type, id, payload } = JSON.parse(data);
      if (type === "connection_ack") subscribe(send, "query", "{ whoami carrier session expiresIn }");
      if (type === "complete" && id === "query") subscribe(send, "ticks", "subscription { ticks(count: 2) }");
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

/** Connects, logs in, and calls the method `echo`. */
export function ddp(token) {
  const text = randomText();
  const call = (send, id, method, ...params) => send({ msg: "method", id, method, params });
  return {
    onOpen: (send) => send({ msg: "connect", version: "1", support: ["1"] }),
    onMessage(data, send) {
      const message = JSON.parse(data);
      if (message.msg === "connected") call(send, "login", "login", { resume: token });
      if (message.error) throw new Error(message.error.reason);
      if (message.msg === "result" && message.id === "echo") {
        if (message.result !== text) throw new Error("The method did not return its parameter.");
        return { done: true };
      }
      if (message.msg) return {};
      call(send, "echo", "echo", text);
      return { seen: message };
    },
  };
}

/** Calls `run({ seen })` after the description of the request, and expects that the server then closes the socket with `code`. */
export function expectClose(code, run = () => {}) {
  let openedAt;
  return {
    onOpen() {
      openedAt = performance.now();
    },
    async onMessage(data) {
      const seen = JSON.parse(data);
      await run({ seen });
      return { seen };
    },
    onClose(event) {
      if (event.code !== code) throw new Error(`The server closed the socket with ${event.code} instead of ${code}.`);
      const after = `${((performance.now() - openedAt) / 1000).toFixed(1)} s`;
      return { done: true, facts: { "Closed with": `${event.code}, ${event.reason}`, After: after } };
    },
  };
}
