// Where clients reach this broker: what its listeners say, as a page of another machine can use it.

let listeners = [];

/** As the broker names them. */
export function learn(urls) {
  listeners = urls ?? [];
}

/** A command line for one of mosquitto's clients, with the host and the port of a listener that it can speak to. None: there is no such listener. */
export function commandOf(program, rest) {
  const found = listeners.map(doorOf).filter(Boolean).sort((one, other) => Number(one.isTls) - Number(other.isTls));
  if (found.length === 0) {
    return null;
  }
  const [{ host, port, isTls }] = found;
  return `${program} -h ${host} -p ${port}${isTls ? " --capath /etc/ssl/certs" : ""} ${rest}`;
}

/** One that listens on this machine alone is reached from there alone, whatever the page is called. */
function doorOf(url) {
  const [, scheme, host, port] = /^(tcp|any|tls):\/\/(.*):(\d+)/.exec(url) ?? [];
  if (!scheme) {
    return null;
  }
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  const isEverywhere = bare === "0.0.0.0" || bare === "::";
  return { host: isEverywhere ? location.hostname.replace(/^\[(.*)\]$/, "$1") : bare, port, isTls: scheme === "tls" };
}

/** Where a page can reach the broker by WebSocket, the best first: with TLS where the page itself has it. */
export function addressesOf(urls) {
  const isSafe = location.protocol === "https:";
  const found = [];
  for (const url of urls) {
    const [, scheme, host, port, path] = /^(ws|wss|any):\/\/(.*):(\d+)(\/.*)?$/.exec(url) ?? [];
    if (scheme) {
      const isOpen = /^(0\.0\.0\.0|\[::\]|127\..*|\[::1\]|localhost)$/.test(host);
      const word = scheme === "any" ? (isSafe ? "wss" : "ws") : scheme;
      found.push(`${word}://${isOpen ? location.hostname : host}:${port}${path ?? "/mqtt"}`);
    }
  }
  return found.sort((one, other) => Number(other.startsWith("wss")) * (isSafe ? 1 : -1) - Number(one.startsWith("wss")) * (isSafe ? 1 : -1));
}

/**
 * What to write at the end of the broker's configuration for a WebSocket on this machine. Listeners that the file does not name give way to
 * one that it does, and are named with it.
 */
export function webSocketBeside(urls, areDefault) {
  let port = WEB_SOCKET_PORT;
  while (urls.some((url) => url.includes(`:${port}`))) {
    port += 1;
  }
  const all = [...(areDefault ? urls : []), `ws://127.0.0.1:${port}`];
  return all.map((url) => `[[listener]]\naddress = "${url}"`).join("\n\n");
}

/** What an address without a port means. */
const WEB_SOCKET_PORT = 8083;
