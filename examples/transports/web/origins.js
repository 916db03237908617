// The origins of this example: two ports, and two host names of the same machine.

/** Fetches the configuration of the server, which contains no secret. */
export async function configuration() {
  const response = await fetch("/config.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`/config.json answered ${response.status}`);
  return response.json();
}

/** Returns every combination of host name and port. */
export function allOrigins(config) {
  const known = [config.cross_origin, config.localhost_origin, location.origin].map((origin) => new URL(origin));
  const hosts = [...new Set(known.map((url) => url.hostname))];
  const ports = [...new Set(known.map((url) => url.port))];
  return hosts.flatMap((host) => ports.map((port) => `${location.protocol}//${host}${port && `:${port}`}`));
}

/** Returns the three origins to which the page opens sockets: its own, one with another port, and one with another host name. */
export function targets(config) {
  const page = new URL(location.origin);
  const others = allOrigins(config).filter((origin) => origin !== page.origin);
  const otherPort = others.find((origin) => new URL(origin).hostname === page.hostname);
  const otherName = others.find((origin) => new URL(origin).hostname !== page.hostname && new URL(origin).port === page.port);
  return [
    { key: "self", origin: page.origin, title: "This origin", text: "The socket has the same scheme, host and port as the page." },
    { key: "port", origin: otherPort, title: "Another port", text: "A different origin but the same site, since cookies ignore ports." },
    { key: "name", origin: otherName, title: "Another host name", text: "A different site to the browser, although it is the same machine." },
  ].filter(({ origin }) => origin);
}
