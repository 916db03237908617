// The addresses under which this example can be reached: two ports, and two names for the same machine.

/** What the server tells about itself; nothing in it is secret. */
export async function configuration() {
  const response = await fetch("/config.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`/config.json answered ${response.status}`);
  return response.json();
}

/** Every origin this example has. */
export function everyOrigin(config) {
  const known = [config.cross_origin, config.localhost_origin, location.origin].map((origin) => new URL(origin));
  const hosts = [...new Set(known.map((url) => url.hostname))];
  const ports = [...new Set(known.map((url) => url.port))];
  return hosts.flatMap((host) => ports.map((port) => `${location.protocol}//${host}${port && `:${port}`}`));
}

/** The three that the page tries, as seen from where the page itself is. */
export function targets(config) {
  const [own, ...others] = [location.origin, ...everyOrigin(config).filter((origin) => origin !== location.origin)];
  const here = new URL(own);
  const port = others.find((origin) => new URL(origin).hostname === here.hostname);
  const name = others.find((origin) => new URL(origin).hostname !== here.hostname && new URL(origin).port === here.port);
  return [
    { key: "self", origin: own, title: "This origin", text: "Page and socket share scheme, name and port." },
    { key: "port", origin: port, title: "Another port", text: "Another origin, but the same site: cookies do not look at ports." },
    { key: "name", origin: name, title: "Another name", text: "Another site to the browser, though it is the same machine." },
  ].filter(({ origin }) => origin);
}
