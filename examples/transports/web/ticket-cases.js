// Test cases with tickets: a request with the token in a header mints a ticket, and the socket redeems it.
// `cases.js` documents the properties of a case.

import { mintTicket } from "./api.js";
import { firstMessage } from "./conversations.js";

const MINT = `const { ticket } = await (await fetch("/ticket", {\n  method: "POST", headers: { Authorization: "Bearer ‹token›" },\n})).json()`;

async function prepare(token) {
  const { status, body } = await mintTicket(token);
  if (status !== 200) throw new Error(`The server answered ${status} instead of minting a ticket.`);
  return body.ticket;
}

export const TICKET_CASES = [
  {
    key: "ticket-query",
    title: "Ticket as a query parameter",
    example: () => `${MINT}\nnew WebSocket(\`…/ws/ticket?ticket=\${ticket}\`)`,
    prepare,
    request: (user, token, ticket) => ({ path: `/ws/ticket?ticket=${ticket}` }),
    opens: () => true,
    protocol: "",
    explanation: () => "A ticket is valid for one handshake and for a few seconds, so it may appear in logs. The token itself is sent in a header only.",
  },
  {
    key: "ticket-subprotocol",
    title: "Ticket as a subprotocol",
    example: () => `${MINT}\nnew WebSocket("…/ws/ticket", ["v1.ticket", \`v1.ticket.\${ticket}\`])`,
    prepare,
    request: (user, token, ticket) => ({ path: "/ws/ticket", protocols: ["v1.ticket", `v1.ticket.${ticket}`] }),
    opens: () => true,
    protocol: "v1.ticket",
    explanation: () => "For applications in which not even a ticket may be part of a URL.",
  },
  {
    key: "ticket-message",
    title: "Ticket as the first message",
    example: () => `${MINT}\nsocket = new WebSocket("…/ws/first-message")\nsocket.onopen = () => socket.send(ticket)`,
    prepare,
    request: () => ({ path: "/ws/first-message" }),
    conversation: (token, ticket) => firstMessage(ticket),
    opens: () => true,
    protocol: "",
    explanation: () => "This route accepts a ticket as well as a token.",
  },
];
