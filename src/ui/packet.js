// Packets of MQTT 5, as far as the page's own client sends and understands them: bytes to objects and back. No sockets.

export const CONNECT = 1;
export const CONNACK = 2;
export const PUBLISH = 3;
export const PUBACK = 4;
export const SUBSCRIBE = 8;
export const SUBACK = 9;
export const UNSUBSCRIBE = 10;
export const UNSUBACK = 11;
export const PINGREQ = 12;
export const PINGRESP = 13;
export const DISCONNECT = 14;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function connect({ clientId, user, password, keepAlive_s, packetBytesMax }) {
  const flags = 0x02 | (user ? 0x80 : 0) | (password ? 0x40 : 0);
  // Receive Maximum and Maximum Packet Size.
  const properties = [0x21, ...u16(RECEIVE_MAXIMUM), 0x27, ...u32(packetBytesMax)];
  return packet(CONNECT << 4, [
    ...string("MQTT"), 5, flags, ...u16(keepAlive_s), ...varint(properties.length), ...properties,
    ...string(clientId), ...(user ? string(user) : []), ...(password ? string(password) : []),
  ]);
}

export function subscribe({ packetId, filter, qos }) {
  return packet((SUBSCRIBE << 4) | 2, [...u16(packetId), 0, ...string(filter), qos]);
}

export function unsubscribe({ packetId, filter }) {
  return packet((UNSUBSCRIBE << 4) | 2, [...u16(packetId), 0, ...string(filter)]);
}

export function publish({ packetId, topic, payload, qos, retain }) {
  const head = [...string(topic), ...(qos > 0 ? u16(packetId) : []), 0];
  return packet((PUBLISH << 4) | (qos << 1) | (retain ? 1 : 0), head, encoder.encode(payload));
}

export function puback(packetId) {
  return packet(PUBACK << 4, u16(packetId));
}

export function pingreq() {
  return packet(PINGREQ << 4, []);
}

export function disconnect() {
  return packet(DISCONNECT << 4, []);
}

/** The first packet of these bytes and what is left of them. Null: it is not all there. What is no packet throws. */
export function decode(bytes) {
  const length = lengthOf(bytes);
  if (length === null || bytes.length < length.end + length.value) {
    return null;
  }
  const body = bytes.subarray(length.end, length.end + length.value);
  return { packet: understood(bytes[0], new Reader(body)), rest: bytes.subarray(length.end + length.value) };
}

function understood(first, reader) {
  const kind = first >> 4;
  switch (kind) {
    case CONNACK: {
      reader.u8();
      const reason = reader.u8();
      return { kind, reason, ...reader.properties() };
    }
    case PUBLISH: {
      const qos = (first >> 1) & 3;
      const topic = reader.string();
      const packetId = qos > 0 ? reader.u16() : 0;
      reader.properties();
      return { kind, topic, qos, packetId, retain: (first & 1) === 1, payload: reader.rest() };
    }
    case PUBACK: {
      const packetId = reader.u16();
      return { kind, packetId, reason: reader.isAtEnd ? 0 : reader.u8() };
    }
    case SUBACK:
    case UNSUBACK: {
      const packetId = reader.u16();
      const properties = reader.properties();
      return { kind, packetId, reason: reader.u8(), ...properties };
    }
    case DISCONNECT:
      return { kind, reason: reader.isAtEnd ? 0 : reader.u8(), ...(reader.isAtEnd ? {} : reader.properties()) };
    default:
      return { kind };
  }
}

/** Reads fields one after the other. */
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  get isAtEnd() {
    return this.at >= this.bytes.length;
  }

  take(length) {
    if (this.at + length > this.bytes.length) {
      throw new Error("a packet that ends too early");
    }
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  u8() {
    return this.take(1)[0];
  }

  u16() {
    const [high, low] = this.take(2);
    return high * 256 + low;
  }

  u32() {
    return this.u16() * 65536 + this.u16();
  }

  string() {
    return decoder.decode(this.take(this.u16()));
  }

  varint() {
    let value = 0;
    for (let factor = 1; factor <= 128 ** 3; factor *= 128) {
      const byte = this.u8();
      value += (byte & 127) * factor;
      if (byte < 128) {
        return value;
      }
    }
    throw new Error("a length of more than four bytes");
  }

  rest() {
    return this.take(this.bytes.length - this.at);
  }

  /** Those that the page wants to know; the others are passed over by the length of all. */
  properties() {
    const reader = new Reader(this.take(this.varint()));
    const found = {};
    while (!reader.isAtEnd) {
      const id = reader.u8();
      const read = PROPERTIES[id];
      if (!read) {
        return found;
      }
      const [name, value] = read(reader);
      found[name] = value;
    }
    return found;
  }
}

/** By their identifiers, as they are read. */
const PROPERTIES = {
  0x01: (reader) => ["payloadFormat", reader.u8()],
  0x02: (reader) => ["expiry_s", reader.u32()],
  0x03: (reader) => ["contentType", reader.string()],
  0x08: (reader) => ["responseTopic", reader.string()],
  0x09: (reader) => ["correlation", reader.take(reader.u16())],
  0x0b: (reader) => ["subscriptionId", reader.varint()],
  0x11: (reader) => ["sessionExpiry_s", reader.u32()],
  0x12: (reader) => ["clientId", reader.string()],
  0x13: (reader) => ["keepAlive_s", reader.u16()],
  0x15: (reader) => ["method", reader.string()],
  0x16: (reader) => ["data", reader.take(reader.u16())],
  0x1a: (reader) => ["responseInformation", reader.string()],
  0x1c: (reader) => ["server", reader.string()],
  0x1f: (reader) => ["why", reader.string()],
  0x21: (reader) => ["receiveMaximum", reader.u16()],
  0x22: (reader) => ["topicAliasMaximum", reader.u16()],
  0x23: (reader) => ["topicAlias", reader.u16()],
  0x24: (reader) => ["qosMax", reader.u8()],
  0x25: (reader) => ["hasRetain", reader.u8()],
  0x26: (reader) => ["user", [reader.string(), reader.string()]],
  0x27: (reader) => ["packetBytesMax", reader.u32()],
  0x28: (reader) => ["hasWildcards", reader.u8()],
  0x29: (reader) => ["hasSubscriptionIds", reader.u8()],
  0x2a: (reader) => ["hasShared", reader.u8()],
};

function lengthOf(bytes) {
  let value = 0;
  for (let at = 1; at <= 4; at += 1) {
    if (at >= bytes.length) {
      return null;
    }
    value += (bytes[at] & 127) * 128 ** (at - 1);
    if (bytes[at] < 128) {
      return { value, end: at + 1 };
    }
  }
  throw new Error("a length of more than four bytes");
}

function packet(first, head, payload = new Uint8Array()) {
  const length = varint(head.length + payload.length);
  const whole = new Uint8Array(1 + length.length + head.length + payload.length);
  whole.set([first, ...length]);
  whole.set(head, 1 + length.length);
  whole.set(payload, 1 + length.length + head.length);
  return whole;
}

function varint(value) {
  const bytes = [];
  let rest = value;
  do {
    bytes.push((rest % 128) + (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return bytes;
}

function u16(value) {
  return [value >> 8, value & 255];
}

function u32(value) {
  return [...u16(value >>> 16), ...u16(value & 0xffff)];
}

function string(text) {
  const bytes = encoder.encode(text);
  if (bytes.length > 65535) {
    throw new Error("a text of more than 65,535 bytes");
  }
  return [...u16(bytes.length), ...bytes];
}

/** Messages at QoS 1 that may be on their way to the page. */
const RECEIVE_MAXIMUM = 100;
