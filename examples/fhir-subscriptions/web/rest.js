// A client of the REST API. Each request contains the user's token, and each error is an OperationOutcome.

const JSON_TYPE = "application/fhir+json";

export class Rest {
  #token;

  constructor(token) {
    this.#token = token;
  }

  subscribe({ topic, patient, content, heartbeat }) {
    const subscription = {
      resourceType: "Subscription",
      status: "requested",
      topic: `http://example.org/SubscriptionTopic/${topic}`,
      channelType: { system: "http://terminology.hl7.org/CodeSystem/subscription-channel-type", code: "websocket" },
      heartbeatPeriod: heartbeat,
      content,
    };
    if (patient) subscription.filterBy = [{ resourceType: "Encounter", filterParameter: "patient", value: patient }];
    return this.#request("POST", "Subscription", subscription);
  }

  unsubscribe(id) {
    return this.#request("DELETE", `Subscription/${id}`);
  }

  /** Requests a binding token. Resolves to the `token`, the time at which it `expires`, and the `url` of the socket. */
  async bindingToken(id) {
    const { parameter } = await this.#request("POST", `Subscription/${id}/$get-ws-binding-token`);
    const values = Object.fromEntries(parameter.map(({ name, ...value }) => [name, Object.values(value)[0]]));
    return { token: values.token, expires: Date.parse(values.expiration), url: values["websocket-url"] };
  }

  events(id, since, until) {
    return this.#request("GET", `Subscription/${id}/$events?eventsSinceNumber=${since}&eventsUntilNumber=${until}`);
  }

  admit(patient) {
    return this.#request("POST", "Encounter", { resourceType: "Encounter", status: "in-progress", subject: { reference: patient } });
  }

  discharge({ id, subject }) {
    return this.#request("PUT", `Encounter/${id}`, { resourceType: "Encounter", id, status: "completed", subject });
  }

  async #request(method, path, resource) {
    const response = await fetch(`/fhir/${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.#token}`, Accept: JSON_TYPE, ...(resource && { "Content-Type": JSON_TYPE }) },
      body: resource && JSON.stringify(resource),
      cache: "no-store",
    });
    if (response.status === 204) return null;
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.issue?.[0]?.diagnostics ?? `The server answered ${response.status}.`);
    return answer;
  }
}
