// Numbers, sizes, times and payloads as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 3, minimumFractionDigits: 3 });
const large = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** How many there are. */
export function count(number) {
  return number < COMPACT_FROM ? whole.format(number) : large.format(number);
}

/** How many in a second. */
export function rate(number) {
  return number > 0 && number < 10 ? short.format(number) : count(number);
}

export function bytes(number) {
  let value = number;
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (value < 1024 || unit === "TiB") {
      const text = unit === "B" || value >= 100 ? whole.format(value) : short.format(value);
      return `${text} ${unit}`;
    }
    value /= 1024;
  }
  return "";
}

export function byteRate(number) {
  return `${bytes(number)}/s`;
}

/** A time that passed, by its two largest units. */
export function span(seconds) {
  if (seconds < 1) {
    return `${whole.format(Math.max(0, seconds) * 1000)} ms`;
  }
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([length]) => seconds >= length);
  const [length, unit] = units[first];
  const text = `${Math.floor(seconds / length)} ${unit}`;
  const [next, smaller] = units[first + 1] ?? [];
  const rest = next ? Math.floor((seconds % length) / next) : 0;
  return rest > 0 ? `${text} ${rest} ${smaller}` : text;
}

/** A short time, to the microsecond. */
export function latency(seconds) {
  return seconds < 1 ? `${fine.format(seconds * 1000)} ms` : span(seconds);
}

/** After how many seconds a session ends. */
export function expiry(seconds) {
  if (seconds === 0) {
    return "with the connection";
  }
  return seconds === null ? "never" : `${span(seconds)} without one`;
}

/** The time of day of a moment. */
export function clock(moment) {
  return new Date(moment).toLocaleTimeString("en-GB", { hour12: false });
}

/** A moment, in the reader's own time. */
export function moment(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? String(text) : date.toLocaleString("sv-SE");
}

export function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** Bytes of a text in base64. */
export function decoded(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** A payload: as JSON where it is, as text where it is that, and otherwise by its bytes. Of one with more than `most` bytes the beginning. */
export function payload(content, most = PAYLOAD_SHOWN_BYTES) {
  const shown = content.subarray(0, most);
  const cut = content.length > shown.length ? `\n… ${bytes(content.length - shown.length)} more` : "";
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(shown, { stream: cut !== "" });
  } catch {
    return { kind: "binary", text: hex(shown.subarray(0, HEX_SHOWN_BYTES)) + (content.length > HEX_SHOWN_BYTES ? "\n…" : "") };
  }
  if (/[\u0000-\u0008\u000e-\u001f]/u.test(text)) {
    return { kind: "binary", text: hex(shown.subarray(0, HEX_SHOWN_BYTES)) };
  }
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && value !== null) {
      const isLong = indentedLength(text) > INDENTED_GROWTH_MAX * most;
      return { kind: "JSON", text: isLong ? text : JSON.stringify(value, null, INDENT) };
    }
  } catch {
    // It is text, then.
  }
  return { kind: "text", text: text + cut };
}

/** How many letters a JSON text has at most once each value stands on a line of its own: with many levels far more than before. */
export function indentedLength(text) {
  let length = text.length;
  let depth = 0;
  for (const [part] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[[{\]},]/gu)) {
    if (part === "[" || part === "{") {
      depth += 1;
    } else if (part === "]" || part === "}") {
      depth -= 1;
    }
    length += part.length > 1 ? 0 : 1 + INDENT * depth;
  }
  return length;
}

/** Sixteen in a line, in groups of four. */
export function hex(content) {
  const digits = [...content].map((byte) => byte.toString(16).padStart(2, "0"));
  const lines = [];
  for (let at = 0; at < digits.length; at += 16) {
    const line = digits.slice(at, at + 16);
    lines.push([0, 4, 8, 12].map((group) => line.slice(group, group + 4).join(" ")).join("  ").trimEnd());
  }
  return lines.join("\n");
}

const COMPACT_FROM = 1_000_000;
const PAYLOAD_SHOWN_BYTES = 64 * 1024;
const HEX_SHOWN_BYTES = 1024;
const INDENT = 2;
/** Indented JSON may be so many times as long as what is shown of any other payload. */
const INDENTED_GROWTH_MAX = 4;
