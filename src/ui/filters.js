// What may be subscribed and published to: what breaks the rules ends the connection, so that it is better not sent.

/** Why this is no topic filter, in a sentence. Null: it is one. */
export function problemOfFilter(text) {
  const [, group, shared] = /^\$share\/([^/]*)(\/.*)?$/s.exec(text) ?? [];
  if (group !== undefined && (group === "" || /[+#]/.test(group) || !shared)) {
    return "a shared subscription is $share/NAME/FILTER, with neither + nor # in its name";
  }
  const filter = shared?.slice(1) ?? text;
  const levels = filter.split("/");
  if (levels.some((level) => level.length > 1 && /[+#]/.test(level))) {
    return "+ and # stand alone between slashes, as in house/+/light and house/#";
  }
  if (levels.slice(0, -1).includes("#")) {
    return "# stands at the end, as in house/#";
  }
  return problemOfText(filter, "a topic filter");
}

/** Why nobody can publish to this. Null: it is a topic. */
export function problemOfTopic(text) {
  return /[+#]/.test(text) ? "a message goes to one topic: neither + nor # may stand in it" : problemOfText(text, "a topic");
}

function problemOfText(text, what) {
  if (text === "") {
    return `${what} has at least one letter`;
  }
  return text.includes("\0") ? `${what} has no letter with the number zero` : null;
}
