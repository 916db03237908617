// Test cases with a credential in a message. The socket opens without a credential, and closes unless the client
// authenticates within a few seconds. `cases.js` documents the properties of a case.

import { ddp, fhir, firstMessage, graphql } from "./conversations.js";

export const MESSAGE_CASES = [
  {
    key: "first-message",
    title: "First message",
    example: () => `socket = new WebSocket("…/ws/first-message")\nsocket.onopen = () => socket.send(‹token›)`,
    request: () => ({ path: "/ws/first-message" }),
    conversation: (token) => firstMessage(token),
    opens: () => true,
    protocol: "",
    explanation: () => "The handler runs after the token has been verified, and does not receive the message that contains it.",
  },
  {
    key: "fhir",
    title: "FHIR: bind-with-token",
    example: () => `socket = new WebSocket("…/ws/fhir")\nsocket.onopen = () => socket.send("bind-with-token ‹token›")`,
    request: () => ({ path: "/ws/fhir" }),
    conversation: (token) => fhir(token),
    opens: () => true,
    protocol: "",
    explanation: () => "A FHIR R5 client binds a subscription to a socket. The server confirms the binding with a handshake Bundle. Another token on the same socket renews the session.",
  },
  {
    key: "graphql",
    title: "GraphQL: connection_init",
    example: () => `socket = new WebSocket("…/ws/graphql", ["graphql-transport-ws"])\nsocket.onopen = () => socket.send(JSON.stringify({\n  type: "connection_init", payload: { token: ‹token› },\n}))`,
    request: () => ({ path: "/ws/graphql", protocols: ["graphql-transport-ws"] }),
    conversation: (token) => graphql(token),
    opens: () => true,
    protocol: "graphql-transport-ws",
    explanation: () => "This is the protocol of the package graphql-ws. After the acknowledgement, this page sends a query and then subscribes to two ticks.",
  },
  {
    key: "ddp",
    title: "DDP: login with resume",
    example: () => `socket = new WebSocket("…/ws/ddp")\n// connect, and then\nsocket.send(JSON.stringify({\n  msg: "method", id: "1", method: "login", params: [{ resume: ‹token› }],\n}))`,
    request: () => ({ path: "/ws/ddp" }),
    conversation: (token) => ddp(token),
    opens: () => true,
    protocol: "",
    explanation: () => "A Meteor client resumes its login this way. The server answers an invalid token with the error that Meteor sends, and the client may try again.",
  },
];
