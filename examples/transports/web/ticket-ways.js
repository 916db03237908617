// Tickets: a request with a header gets one, and the handshake spends it.

import { mintTicket } from "./api.js";
import { firstMessage } from "./talks.js";

const MINTED = `const { ticket } = await (await fetch("/ticket", {\n  method: "POST", headers: { Authorization: "Bearer ‹token›" },\n})).json()`;

async function prepare(token) {
  const { status, body } = await mintTicket(token);
  if (status !== 200) throw new Error(`There was no ticket: ${status}`);
  return body.ticket;
}

export const TICKET_WAYS = [
  {
    key: "ticket-query",
    title: "Ticket in the address",
    shown: () => `${MINTED}\nnew WebSocket(\`…/ws/ticket?ticket=\${ticket}\`)`,
    prepare,
    request: (user, token, ticket) => ({ path: `/ws/ticket?ticket=${ticket}` }),
    opens: () => true,
    protocol: "",
    why: () => "It is good for one handshake and for seconds, so a log may have it. The token itself goes into a header and no further.",
  },
  {
    key: "ticket-subprotocol",
    title: "Ticket as a subprotocol",
    shown: () => `${MINTED}\nnew WebSocket("…/ws/ticket", ["v1.ticket", \`v1.ticket.\${ticket}\`])`,
    prepare,
    request: (user, token, ticket) => ({ path: "/ws/ticket", protocols: ["v1.ticket", `v1.ticket.${ticket}`] }),
    opens: () => true,
    protocol: "v1.ticket",
    why: () => "The same where not even a ticket shall stand in an address.",
  },
  {
    key: "ticket-message",
    title: "Ticket as the first message",
    shown: () => `${MINTED}\nsocket = new WebSocket("…/ws/first-message")\nsocket.onopen = () => socket.send(ticket)`,
    prepare,
    request: () => ({ path: "/ws/first-message" }),
    talk: (token, ticket) => firstMessage(ticket),
    opens: () => true,
    protocol: "",
    why: () => "Whoever listens to the socket takes a ticket as it takes a token.",
  },
];
