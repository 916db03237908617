// One attempt to open a socket, as any page would make it.

const PATIENCE = 6_000;

/**
 * Ends in every case: `{ outcome: "opened", protocol, seen, echoed }`, `{ outcome: "refused", code, reason, clean }` or
 * `{ outcome: "threw", error }`.
 */
export function attempt(url, protocols) {
  return new Promise((resolve) => {
    let socket;
    try {
      socket = new WebSocket(url, protocols);
    } catch (error) {
      return resolve({ outcome: "threw", error: `${error.name}: ${error.message}` });
    }

    const question = `echo ${Math.random()}`;
    let seen = null;
    const finish = (result) => {
      clearTimeout(timer);
      socket.onclose = socket.onmessage = null;
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => finish({ outcome: "refused", code: 0, reason: "no answer in time", clean: false }), PATIENCE);

    // The first frame tells what the handler saw; after it, everything comes back as it went.
    socket.onmessage = ({ data }) => {
      if (seen) return finish({ outcome: "opened", protocol: socket.protocol, seen, echoed: data === question });
      seen = JSON.parse(data);
      socket.send(question);
    };
    socket.onclose = ({ code, reason, wasClean }) => finish({ outcome: "refused", code, reason, clean: wasClean });
  });
}
