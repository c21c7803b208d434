// Clients on MQTT.js that say who they are: what becomes of each visit that a file describes is one line of JSON.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import mqtt from "mqtt";

const CONTINUE_AUTHENTICATION = 24;
const NOT_AUTHORIZED = 135;
const PATIENCE_MS = 20_000;

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

/** A client of SCRAM-SHA-256, as RFC 5802 describes it. */
class Scram {
  constructor(user, password) {
    this.password = password;
    this.bare = `n=${user},r=${randomBytes(18).toString("base64")}`;
    this.verifier = null;
  }

  first() {
    return Buffer.from(`n,,${this.bare}`);
  }

  last(said) {
    const fields = Object.fromEntries(said.split(",").map((field) => [field[0], field.slice(2)]));
    const salted = pbkdf2Sync(this.password, Buffer.from(fields.s, "base64"), Number(fields.i), 32, "sha256");
    const withoutProof = `c=biws,r=${fields.r}`;
    const whole = [this.bare, said, withoutProof].join();
    const key = hmac(salted, "Client Key");
    const signature = hmac(createHash("sha256").update(key).digest(), whole);
    const proof = Buffer.from(key.map((byte, at) => byte ^ signature[at]));
    this.verifier = `v=${hmac(hmac(salted, "Server Key"), whole).toString("base64")}`;
    return Buffer.from(`${withoutProof},p=${proof.toString("base64")}`);
  }
}

function optionsOf(visit, scram) {
  const options = { protocolVersion: 5, reconnectPeriod: 0, connectTimeout: PATIENCE_MS, clientId: visit.client_id };
  if (visit.ca) {
    options.ca = readFileSync(visit.ca);
  }
  if (visit.certificate) {
    options.cert = readFileSync(visit.certificate);
    options.key = readFileSync(visit.key);
  }
  if (visit.user) {
    options.username = visit.user;
    options.password = visit.password;
  }
  if (visit.token) {
    options.properties = { authenticationMethod: "JWT", authenticationData: Buffer.from(visit.token) };
  }
  if (scram) {
    options.properties = { authenticationMethod: "SCRAM-SHA-256", authenticationData: scram.first() };
  }
  return options;
}

function open(visit, scram) {
  const url = visit.url.replace(/^unix:/, "mqtt+unix:").replace(/^tls:/, "mqtts:");
  const client = mqtt.connect(url, optionsOf(visit, scram));
  client.handleAuth = (packet, answer) => {
    const { authenticationMethod, authenticationData } = packet.properties;
    const properties = { authenticationMethod, authenticationData: scram.last(authenticationData.toString()) };
    answer(null, { cmd: "auth", reasonCode: CONTINUE_AUTHENTICATION, properties });
  };
  return client;
}

/** The CONNACK, or how it ended without one that lets the client in. */
function reached(client) {
  return new Promise((resolve) => {
    client.once("connect", (connack) => resolve({ connack }));
    client.on("error", (error) => resolve(typeof error.code === "number" ? { refused: error.code } : { cut: error.message }));
    client.once("close", () => resolve({ cut: "the connection was closed" }));
  });
}

async function writes(client, topic) {
  try {
    await client.publishAsync(topic, "m", { qos: 1 });
    return true;
  } catch (error) {
    if (error.code !== NOT_AUTHORIZED) {
      throw error;
    }
    return false;
  }
}

/** Who is in may write exactly one of its two topics, and gets back what it publishes there. */
async function topicOf(client, visit) {
  if (await writes(client, "of/somebody-else")) {
    throw new Error("it may write what is somebody else's");
  }
  const allowed = [];
  for (const topic of [visit.own, "open"]) {
    if (await writes(client, topic)) {
      allowed.push(topic);
    }
  }
  if (allowed.length !== 1) {
    throw new Error(`it may write ${allowed}`);
  }
  const [topic] = allowed;
  const back = new Promise((resolve) => client.once("message", (_, payload) => resolve(payload.toString())));
  await client.subscribeAsync(topic, { qos: 1 });
  await client.publishAsync(topic, "back", { qos: 1 });
  if ((await back) !== "back") {
    throw new Error("something else came back");
  }
  return topic;
}

async function come(visit) {
  const scram = visit.scram && new Scram(...visit.scram);
  const client = open(visit, scram);
  const { connack, ...failure } = await reached(client);
  if (!connack) {
    client.end(true);
    return failure;
  }
  if (scram && connack.properties.authenticationData.toString() !== scram.verifier) {
    throw new Error("the broker does not prove that it knows the password");
  }
  const topic = await topicOf(client, visit);
  await client.endAsync();
  return { in: topic };
}

for (const visit of JSON.parse(readFileSync(process.argv[2]))) {
  console.log(JSON.stringify(await come(visit)));
}
