// The socket opens for anybody, and the client has a few seconds to say who it is.

import { ddp, fhir, firstMessage, graphql } from "./talks.js";

export const MESSAGE_WAYS = [
  {
    key: "first-message",
    title: "The first message",
    shown: () => `socket = new WebSocket("…/ws/first-message")\nsocket.onopen = () => socket.send(‹token›)`,
    request: () => ({ path: "/ws/first-message" }),
    talk: (token) => firstMessage(token),
    opens: () => true,
    protocol: "",
    why: () => "The application hears nothing of the socket before the token stands, and nothing of the token after it.",
  },
  {
    key: "fhir",
    title: "FHIR: bind-with-token",
    shown: () => `socket = new WebSocket("…/ws/fhir")\nsocket.onopen = () => socket.send("bind-with-token ‹token›")`,
    request: () => ({ path: "/ws/fhir" }),
    talk: (token) => fhir(token),
    opens: () => true,
    protocol: "",
    why: () => "How a subscription of FHIR R5 is bound to a socket. The answer is a Bundle with the handshake; a further token on the same socket renews it.",
  },
  {
    key: "graphql",
    title: "GraphQL: connection_init",
    shown: () => `socket = new WebSocket("…/ws/graphql", ["graphql-transport-ws"])\nsocket.onopen = () => socket.send(JSON.stringify({\n  type: "connection_init", payload: { token: ‹token› },\n}))`,
    request: () => ({ path: "/ws/graphql", protocols: ["graphql-transport-ws"] }),
    talk: (token) => graphql(token),
    opens: () => true,
    protocol: "graphql-transport-ws",
    why: () => "As the package graphql-ws does it. After the acknowledgement this page asks a query and then subscribes to two ticks.",
  },
  {
    key: "ddp",
    title: "DDP: login with resume",
    shown: () => `socket = new WebSocket("…/ws/ddp")\n// connect, and then\nsocket.send(JSON.stringify({\n  msg: "method", id: "1", method: "login", params: [{ resume: ‹token› }],\n}))`,
    request: () => ({ path: "/ws/ddp" }),
    talk: (token) => ddp(token),
    opens: () => true,
    protocol: "",
    why: () => "As a Meteor client resumes its login. A wrong token is answered with Meteor's own error, and the client may try again.",
  },
];
