// Opens one socket and runs a conversation on it.

const TIMEOUT = 6_000;

/**
 * Opens a socket and runs `conversation` on it; see `conversations.js`.
 *
 * The promise is never rejected. It resolves to one of these:
 *
 * - `{ outcome: "opened", protocol, seen, error, facts }`. `error` is null, or the message of what failed after the socket was open.
 * - `{ outcome: "refused", code, reason, clean }`.
 * - `{ outcome: "threw", error }`: the browser did not accept the arguments.
 */
export function attempt(url, protocols, conversation, timeout = TIMEOUT) {
  return new Promise((resolve) => {
    let socket;
    try {
      socket = new WebSocket(url, protocols);
    } catch (error) {
      return resolve({ outcome: "threw", error: `${error.name}: ${error.message}` });
    }

    let seen = null;
    // Callbacks may be asynchronous. They run one after the other.
    let queue = Promise.resolve();
    const send = (message) => socket.send(typeof message === "string" ? message : JSON.stringify(message));
    const finish = (result) => {
      clearTimeout(timer);
      socket.onclose = socket.onmessage = null;
      socket.close();
      resolve(result);
    };
    const opened = (error, facts = {}) => finish({ outcome: "opened", protocol: socket.protocol, seen, error, facts });
    const refused = (code, reason, clean) => finish({ outcome: "refused", code, reason, clean });
    const enqueue = (callback) => {
      queue = queue.then(callback).then(
        (progress = {}) => {
          seen = progress.seen ?? seen;
          if (progress.done) opened(null, progress.facts);
        },
        (error) => (seen ? opened(error.message) : refused(0, error.message, false)),
      );
    };
    const timer = setTimeout(() => (seen ? opened("The conversation timed out.") : refused(0, "timed out", false)), timeout);

    socket.onopen = () => enqueue(() => conversation.onOpen(send));
    socket.onmessage = ({ data }) => enqueue(() => conversation.onMessage(data, send));
    socket.onclose = (event) =>
      enqueue(() => {
        if (!seen) return refused(event.code, event.reason, event.wasClean);
        if (conversation.onClose) return conversation.onClose(event);
        throw new Error(`The server closed the socket with ${event.code}.`);
      });
  });
}
