// The broker's HTTP API, as the page asks it: with the token, with a time limit, and with every failure as sentences.

/** The broker answered, and said no. */
export class Refusal extends Error {
  constructor(status, problems) {
    super(problems.join(" "));
    this.status = status;
    this.problems = problems;
  }

  /** This broker has no such operation. */
  get isAbsent() {
    return this.status === 404 || this.status === 405;
  }
}

/** Nobody answered. */
export class Silence extends Error {}

/** Tells `lost` and `back` when the broker is gone and there again, and `unknown` when it does not take the token. */
export const news = new EventTarget();

let token = sessionStorage.getItem("iothub.token") ?? "";
let isLost = false;

export function hasToken() {
  return token !== "";
}

/** Kept until the tab is closed, and nowhere else. */
export function setToken(text) {
  token = text;
  if (text === "") {
    sessionStorage.removeItem("iothub.token");
  } else {
    sessionStorage.setItem("iothub.token", text);
  }
}

export function get(path, query, signal) {
  return ask("GET", path, { query, signal });
}

/** Asks about one client, or does something to it. Its id stands in the body: not every one can stand in an address. */
export function askClient(act, clientId, more, signal) {
  return ask("POST", `/v1/client${act}`, { body: { client_id: clientId, ...more }, signal });
}

/** Asks, and gives the answer's JSON. */
export async function ask(method, path, { query, body, signal } = {}) {
  const response = await request(method, path, { query, body, signal, limit: AbortSignal.timeout(ANSWER_MAX_MS) });
  const answer = await content(response);
  if (response.ok) {
    return answer;
  }
  throw refusal(response.status, answer);
}

/** Lines of an answer that goes on, until the signal ends it. */
export async function* stream(path, query, signal) {
  const response = await request("GET", path, { query, signal });
  if (!response.ok) {
    throw refusal(response.status, await content(response));
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      yield* lines;
    }
  } catch (error) {
    throw signal.aborted ? error : lost();
  }
}

async function request(method, path, { query, body, signal, limit }) {
  const signals = [signal, limit].filter(Boolean);
  const headers = { Authorization: `Bearer ${token}` };
  if (method !== "GET") {
    headers["Content-Type"] = "application/json";
  }
  try {
    const response = await fetch(path + queryOf(query), {
      method,
      headers,
      body: method === "GET" ? undefined : JSON.stringify(body ?? {}),
      signal: AbortSignal.any(signals),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    found();
    return response;
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    throw lost();
  }
}

async function content(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}

function refusal(status, answer) {
  const problems = answer.problems ?? [`The broker answered with the status ${status}.`];
  if (status === 401) {
    news.dispatchEvent(new CustomEvent("unknown", { detail: problems }));
  }
  return new Refusal(status, problems);
}

function lost() {
  if (!isLost) {
    isLost = true;
    news.dispatchEvent(new Event("lost"));
  }
  return new Silence("The broker does not answer.");
}

function found() {
  if (isLost) {
    isLost = false;
    news.dispatchEvent(new Event("back"));
  }
}

/** What is empty is not asked. */
function queryOf(query) {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length > 0 ? `?${new URLSearchParams(pairs)}` : "";
}

/** A path with parts that may be anything but dots, which browsers leave out of a path however they are written. */
export function path(parts) {
  const dots = parts.find((part) => part === "." || part === "..");
  if (dots) {
    throw new Refusal(400, [`A page cannot ask for the name ${dots}: use the command iothub instead.`]);
  }
  return `/v1/${parts.map(encodeURIComponent).join("/")}`;
}

const ANSWER_MAX_MS = 35_000;
