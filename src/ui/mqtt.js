// A client of MQTT 5 over WebSocket, for the page that publishes and subscribes: QoS 0 and 1, one connection, no reconnecting.

import * as wire from "./packet.js";

/** Tells `open`, `message` and `closed`, each with a detail. */
export class Client extends EventTarget {
  #socket = null;
  #received = new Uint8Array();
  #waiting = new Map();
  #nextId = 0;
  #pings = null;
  #isOpen = false;
  #why = "";

  /** Rejects with a sentence where the broker does not let it in. */
  connect({ url, clientId, user, password }) {
    return new Promise((resolve, reject) => {
      this.#waiting.set("connack", { resolve, reject });
      this.#socket = new WebSocket(url, "mqtt");
      this.#socket.binaryType = "arraybuffer";
      this.#socket.onopen = () =>
        this.#send(wire.connect({ clientId, user, password, keepAlive_s: KEEP_ALIVE_S, packetBytesMax: PACKET_BYTES_MAX }));
      this.#socket.onmessage = (event) => this.#receive(new Uint8Array(event.data));
      this.#socket.onclose = () => this.#close();
      setTimeout(() => this.#isOpen || this.#fail(`nobody answered at ${url} in time`), CONNECT_MAX_MS);
    });
  }

  /** The QoS that was granted. */
  async subscribe(filter, qos) {
    const packetId = this.#id();
    const { reason, why } = await this.#ask(packetId, wire.subscribe({ packetId, filter, qos }));
    return granted(reason, why);
  }

  async unsubscribe(filter) {
    const packetId = this.#id();
    await this.#ask(packetId, wire.unsubscribe({ packetId, filter }));
  }

  /** At QoS 1 it is done when the broker has said so. */
  async publish({ topic, payload, qos, retain }) {
    if (qos === 0) {
      this.#send(wire.publish({ topic, payload, qos, retain }));
      return;
    }
    const packetId = this.#id();
    const { reason, why } = await this.#ask(packetId, wire.publish({ packetId, topic, payload, qos, retain }));
    granted(reason, why);
  }

  disconnect() {
    if (this.#isOpen) {
      this.#send(wire.disconnect());
    }
    this.#why = "you left";
    this.#socket?.close();
  }

  #ask(packetId, packet) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(packetId, { resolve, reject });
      this.#send(packet);
    });
  }

  #id() {
    do {
      this.#nextId = (this.#nextId % 65535) + 1;
    } while (this.#waiting.has(this.#nextId));
    return this.#nextId;
  }

  #send(packet) {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      throw new Error("there is no connection");
    }
    this.#socket.send(packet);
  }

  #ping() {
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#send(wire.pingreq());
    }
  }

  #receive(bytes) {
    const all = new Uint8Array(this.#received.length + bytes.length);
    all.set(this.#received);
    all.set(bytes, this.#received.length);
    this.#received = all;
    try {
      for (let found = wire.decode(this.#received); found; found = wire.decode(this.#received)) {
        this.#received = found.rest;
        this.#handle(found.packet);
      }
    } catch (error) {
      this.#fail(`the other side sent ${error.message}`);
    }
  }

  #handle(packet) {
    switch (packet.kind) {
      case wire.CONNACK:
        this.#onConnack(packet);
        break;
      case wire.PUBLISH:
        if (packet.qos > 0) {
          this.#send(wire.puback(packet.packetId));
        }
        this.#tell("message", packet);
        break;
      case wire.PUBACK:
      case wire.SUBACK:
      case wire.UNSUBACK:
        this.#waiting.get(packet.packetId)?.resolve(packet);
        this.#waiting.delete(packet.packetId);
        break;
      case wire.DISCONNECT:
        this.#fail(`the broker ended it: ${reasonText(packet.reason, packet.why)}`);
        break;
      default:
    }
  }

  #onConnack(packet) {
    if (packet.reason !== 0) {
      this.#fail(`the broker does not let this client in: ${reasonText(packet.reason, packet.why)}`);
      return;
    }
    this.#isOpen = true;
    const keepAlive_s = packet.keepAlive_s ?? KEEP_ALIVE_S;
    if (keepAlive_s > 0) {
      this.#pings = setInterval(() => this.#ping(), (keepAlive_s * 1000) / 2);
    }
    this.#waiting.get("connack").resolve(packet);
    this.#waiting.delete("connack");
    this.#tell("open", packet);
  }

  #fail(why) {
    this.#why ||= why;
    this.#socket.close();
    // Where the other side does not answer to that, either, it is over all the same.
    this.#close();
  }

  #close() {
    if (this.#socket.onclose === null) {
      return;
    }
    this.#socket.onclose = this.#socket.onmessage = null;
    clearInterval(this.#pings);
    const why = this.#why || (this.#isOpen ? "the connection broke" : "no WebSocket could be opened there: the browser does not tell pages why");
    this.#isOpen = false;
    for (const { reject } of this.#waiting.values()) {
      reject(new Error(why));
    }
    this.#waiting.clear();
    this.#tell("closed", why);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function granted(reason, why) {
  if (reason >= 0x80) {
    throw new Error(`the broker said no: ${reasonText(reason, why)}`);
  }
  return reason;
}

/** What a reason code means, and what the broker adds to it. */
export function reasonText(code, why) {
  const number = `0x${code.toString(16).padStart(2, "0")}`;
  const text = REASONS[code] ? `${REASONS[code]} (${number})` : `reason ${number}`;
  return why && why !== REASONS[code] ? `${text}: ${why}` : text;
}

/** By the specification's names. */
const REASONS = {
  0x10: "no matching subscribers",
  0x80: "unspecified error",
  0x81: "malformed packet",
  0x82: "protocol error",
  0x83: "implementation specific error",
  0x84: "unsupported protocol version",
  0x85: "client identifier not valid",
  0x86: "bad user name or password",
  0x87: "not authorized",
  0x88: "server unavailable",
  0x89: "server busy",
  0x8a: "banned",
  0x8b: "server shutting down",
  0x8d: "keep alive timeout",
  0x8e: "session taken over",
  0x8f: "topic filter invalid",
  0x90: "topic name invalid",
  0x91: "packet identifier in use",
  0x93: "receive maximum exceeded",
  0x95: "packet too large",
  0x96: "message rate too high",
  0x97: "quota exceeded",
  0x98: "administrative action",
  0x99: "payload format invalid",
  0x9a: "retain not supported",
  0x9b: "QoS not supported",
  0x9e: "shared subscriptions not supported",
  0x9f: "connection rate exceeded",
  0xa0: "maximum connect time",
  0xa2: "wildcard subscriptions not supported",
};

const KEEP_ALIVE_S = 60;
const CONNECT_MAX_MS = 10_000;
const PACKET_BYTES_MAX = 1024 * 1024;
