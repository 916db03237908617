// One attempt to open a socket, as any page would make it.

const PATIENCE = 6_000;

/**
 * Ends in every case: `{ outcome: "opened", protocol, seen, spoke, facts }`, where `spoke` is null or what went wrong in the talk;
 * `{ outcome: "refused", code, reason, clean }` or `{ outcome: "threw", error }`.
 */
export function attempt(url, protocols, talk, patience = PATIENCE) {
  return new Promise((resolve) => {
    let socket;
    try {
      socket = new WebSocket(url, protocols);
    } catch (error) {
      return resolve({ outcome: "threw", error: `${error.name}: ${error.message}` });
    }

    let seen = null;
    // One after the other, also where a message makes the page wait.
    let work = Promise.resolve();
    const say = (message) => socket.send(typeof message === "string" ? message : JSON.stringify(message));
    const finish = (result) => {
      clearTimeout(timer);
      socket.onclose = socket.onmessage = null;
      socket.close();
      resolve(result);
    };
    const opened = (spoke, facts = {}) => finish({ outcome: "opened", protocol: socket.protocol, seen, spoke, facts });
    const refused = (code, reason, clean) => finish({ outcome: "refused", code, reason, clean });
    const step = (react) => {
      work = work.then(react).then(
        (told = {}) => {
          seen = told.seen ?? seen;
          if (told.done) opened(null, told.facts);
        },
        (error) => (seen ? opened(error.message) : refused(0, error.message, false)),
      );
    };
    const timer = setTimeout(() => (seen ? opened("There was no answer in time.") : refused(0, "no answer in time", false)), patience);

    socket.onopen = () => step(() => talk.open(say));
    socket.onmessage = ({ data }) => step(() => talk.hear(data, say));
    socket.onclose = (event) =>
      step(() => {
        if (!seen) return refused(event.code, event.reason, event.wasClean);
        if (talk.close) return talk.close(event);
        throw new Error(`It was closed with ${event.code}.`);
      });
  });
}
