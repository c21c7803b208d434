// A peer of the end-to-end tests on MQTT.js: publishes and ends, or subscribes and prints.

import { once } from "node:events";

import mqtt from "mqtt";

const SESSION_EXPIRY_S = 600;
const VERSIONS = { 31: 3, 311: 4, 5: 5 };

function open(port, version, aliasesFromBroker, session) {
  const options = { protocolVersion: VERSIONS[version], reconnectPeriod: 0 };
  if (version === "31") {
    options.protocolId = "MQIsdp";
  }
  if (version === "5") {
    options.properties = { topicAliasMaximum: aliasesFromBroker };
    if (session) {
      options.properties.sessionExpiryInterval = SESSION_EXPIRY_S;
    }
    options.autoUseTopicAlias = true;
    options.autoAssignTopicAlias = true;
  }
  if (session) {
    options.clientId = session;
    options.clean = false;
  }
  // A port of this machine, or a URL.
  return mqtt.connect(port.includes("://") ? port : `mqtt://127.0.0.1:${port}`, options);
}

async function publish(port, version, qosList, topic, payload) {
  const client = open(port, version, 0);
  await once(client, "connect");
  for (const qos of qosList.split(",")) {
    const options = { qos: Number(qos) };
    if (version === "5") {
      options.properties = {
        contentType: "text/plain",
        responseTopic: "reply/here",
        correlationData: Buffer.from("request-7"),
        userProperties: { colour: ["blue", "green"] },
      };
    }
    await client.publishAsync(topic, `${payload}-${qos}`, options);
  }
  await client.endAsync();
}

async function subscribe(port, version, qos, filter, count, session) {
  // MQTT.js forgets the topic behind an alias between PUBLISH and PUBREL, so at QoS 2 it must be sent none.
  const client = open(port, version, qos === "2" ? 0 : 10, session);
  let left = Number(count);
  const done = new Promise((resolve, reject) => {
    client.on("message", (topic, payload, packet) => {
      console.log(lineOf(topic, payload, packet));
      left -= 1;
      if (left === 0) {
        resolve();
      }
    });
    client.on("close", () => reject(new Error("the connection was lost")));
  });
  // Once nobody waits for it any more, its end is no error.
  done.catch(() => {});
  // Messages of a session that was there before can come with the CONNACK: the handlers stand already.
  await once(client, "connect");
  const granted = await client.subscribeAsync(filter, { qos: Number(qos) });
  if (granted.some((grant) => grant.qos >= 0x80)) {
    throw new Error("not subscribed");
  }
  console.log("subscribed");
  if (count !== "0") {
    await done;
  }
  await client.endAsync();
}

function lineOf(topic, payload, packet) {
  const properties = packet.properties ?? {};
  const pairs = Object.entries(properties.userProperties ?? {}).flatMap(([name, values]) =>
    [values].flat().map((value) => `${name}:${value}`),
  );
  const fields = [
    topic,
    packet.qos,
    Number(packet.retain),
    payload.toString(),
    properties.contentType ?? "",
    properties.responseTopic ?? "",
    properties.correlationData?.toString() ?? "",
    pairs.join(" "),
  ];
  return fields.join("\t");
}

const commands = { pub: publish, sub: subscribe };
const [command, ...rest] = process.argv.slice(2);
await commands[command](...rest);
