// A chart of a few lines over time, as SVG, with the same in words for whoever does not see it.

import { fill, h, s } from "./dom.js";
import { byteRate, clock } from "./format.js";

/**
 * Lines are `{ name, value(sample) }`, of which the first is drawn in the accent; `format` writes values. Where a value is undefined there
 * is a gap. A sample stands where its time is: `at` in milliseconds, and `moment` as a clock has it.
 */
export function chart({ title, lines, format }) {
  const paths = lines.map((_, at) => s("path", { class: `line line-${at}` }));
  const area = s("path", { class: "area" });
  const cursor = s("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
  const grid = [1, 2, 3].map((quarter) => s("line", { class: "grid", x1: 0, x2: WIDTH, y1: (HEIGHT * quarter) / 4, y2: (HEIGHT * quarter) / 4 }));
  const drawing = s(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    grid, area, paths, cursor,
  );
  const values = lines.map(() => h("b", null, "–"));
  const key = h("p", { class: "key" }, lines.map((line, at) => h("span", null, h("i", { class: `swatch line-${at}` }), `${line.name} `, values[at])));
  const top = h("span", { class: "top" });
  const begin = h("span", null);
  const end = h("span", null);
  const figure = h(
    "figure",
    { class: "chart" },
    h("figcaption", null, h("h2", null, title), key),
    h("div", { class: "plot" }, top, drawing),
    h("div", { class: "axis", "aria-hidden": "true" }, begin, end),
  );
  let shown = [];
  let places = [];
  let pointed = null;

  const write = () => {
    const sample = pointed === null ? shown.at(-1) : shown[pointed];
    lines.forEach((line, at) => {
      const value = sample && line.value(sample);
      fill(values[at], value === undefined ? "–" : format(value));
    });
    fill(end, sample ? clock(sample.moment) : "");
  };
  const point = (event) => {
    const box = drawing.getBoundingClientRect();
    pointed = nearest(places, ((event.clientX - box.left) / box.width) * WIDTH);
    const x = pointed === null ? 0 : places[pointed];
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", pointed === null ? "hidden" : "visible");
    write();
  };
  drawing.addEventListener("pointermove", point);
  drawing.addEventListener("pointerleave", () => {
    pointed = null;
    cursor.setAttribute("visibility", "hidden");
    write();
  });

  const show = (samples) => {
    shown = samples;
    const span = spanOf(samples);
    places = samples.map((sample) => placeOf(sample, samples.at(-1), span));
    pointed = pointed !== null && pointed < places.length ? pointed : null;
    const series = lines.map((line) => samples.map((sample) => line.value(sample)));
    const high = Math.max(0, ...series.flat().filter((value) => value !== undefined));
    const ceiling = format === byteRate ? ceilingOfBytes(high) : ceilingOf(high);
    series.forEach((one, at) => paths[at].setAttribute("d", pathOf(one, ceiling, places)));
    area.setAttribute("d", areaOf(series[0], ceiling, places));
    fill(top, high > 0 ? format(ceiling) : "");
    fill(begin, samples.length > 1 ? clock(samples.at(-1).moment - span) : "");
    const now = lines.map((line, at) => `${line.name} ${inWords(series[at].at(-1), format)}, at most ${inWords(Math.max(0, ...series[at].filter(Number.isFinite)), format)}`);
    drawing.setAttribute("aria-label", `${title}. ${now.join("; ")}.`);
    write();
  };
  return { element: figure, show };
}

/** What the charts cannot tell. */
export function sinceWhen() {
  return h("p", { class: "quiet" }, "Charts begin when this page is loaded, and have the last five minutes from then on.");
}

function inWords(value, format) {
  return value === undefined ? "unknown" : format(value);
}

/** From the left end to the right one, in milliseconds. */
function spanOf(samples) {
  return samples.length > 0 ? Math.max(SPAN_MIN_MS, samples.at(-1).at - samples[0].at) : SPAN_MIN_MS;
}

/** The newest stands at the right end, however few there are. */
function placeOf(sample, newest, span) {
  return WIDTH - ((newest.at - sample.at) / span) * WIDTH;
}

/** The one at this place, or beside it. */
function nearest(places, x) {
  let found = null;
  places.forEach((place, at) => {
    if (found === null || Math.abs(place - x) < Math.abs(places[found] - x)) {
      found = at;
    }
  });
  return found;
}

function pathOf(values, ceiling, places) {
  let path = "";
  let isGap = true;
  values.forEach((value, at) => {
    if (value === undefined) {
      isGap = true;
      return;
    }
    // One alone is a dot.
    const isAlone = isGap && values[at + 1] === undefined;
    path += `${isGap ? "M" : "L"}${places[at].toFixed(1)} ${heightOf(value, ceiling).toFixed(1)}${isAlone ? "h0.01" : ""}`;
    isGap = false;
  });
  return path;
}

/** One for each piece of the line. */
function areaOf(values, ceiling, places) {
  let path = "";
  let first = 0;
  while (first < values.length) {
    const gap = values.indexOf(undefined, first);
    const end = gap < 0 ? values.length : gap;
    if (end > first) {
      const [left, right] = [places[first], places[end - 1]].map((place) => place.toFixed(1));
      path += `${pathOf(values.slice(first, end), ceiling, places.slice(first, end))}L${right} ${HEIGHT}L${left} ${HEIGHT}Z`;
    }
    first = end + 1;
  }
  return path;
}

function heightOf(value, ceiling) {
  return HEIGHT - 1 - (value / ceiling) * (HEIGHT - 2);
}

/** The next round number: 1, 2 or 5 and zeros. */
function ceilingOf(value) {
  if (value <= 0) {
    return 1;
  }
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((round) => round >= value);
}

/** Round in the unit that the number is shown in. */
function ceilingOfBytes(value) {
  const unit = 1024 ** Math.max(0, Math.floor(Math.log2(value) / 10));
  const round = ceilingOf(value / unit);
  return unit * (round > 1000 ? 1024 : round);
}

/** A minute: with less the line would jump. */
const SPAN_MIN_MS = 60_000;
/** Of the drawing, which is stretched to its place. */
const WIDTH = 600;
const HEIGHT = 120;
