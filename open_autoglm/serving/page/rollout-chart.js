// A small chart: a mean and its interval over the number of compared requests, with the limit of its rule.

import { readable } from "./rollout-figures.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320;
const HEIGHT = 132;
const LEFT = 56;
const BOTTOM = 20;
const TOP = 8;

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The chart of `name` over `moments`, [{compared, figures}]; `limit` is drawn where its rule has one. */
export function chart(title, moments, name, limit) {
  const rows = moments.map(({ compared, figures }) => ({ compared, ...figures[name] }));
  const made = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img" });
  const last = rows.at(-1);
  made.append(element("title", {}, `${title} over ${last?.compared ?? 0} compared requests`));
  if (!last) return made;
  const reach = extent(rows, limit);
  const across = (compared) => LEFT + ((WIDTH - LEFT - 4) * compared) / last.compared;
  const down = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (reach - Math.max(-reach, Math.min(reach, value)))) / (2 * reach);
  for (const value of [reach, 0, -reach]) {
    made.append(element("line", { class: value ? "rim" : "zero", x1: LEFT, x2: WIDTH - 4, y1: down(value), y2: down(value) }));
    made.append(element("text", { class: "tick", x: LEFT - 6, y: down(value) + 4, "text-anchor": "end" }, readable(name, value)));
  }
  const points = (key) => rows.map((row) => `${across(row.compared).toFixed(1)},${down(row[key]).toFixed(1)}`);
  made.append(element("polygon", { class: "band", points: [...points("high"), ...points("low").reverse()].join(" ") }));
  made.append(element("polyline", { class: "mean", points: points("mean").join(" ") }));
  if (limit !== undefined && Number.isFinite(limit) && limit !== 0)
    made.append(element("line", { class: "limit", x1: LEFT, x2: WIDTH - 4, y1: down(limit), y2: down(limit) }));
  made.append(element("text", { class: "tick", x: LEFT, y: HEIGHT - 4 }, "0"));
  made.append(element("text", { class: "tick", x: WIDTH - 4, y: HEIGHT - 4, "text-anchor": "end" }, `${last.compared} compared`));
  return made;
}

/** How far up and down the chart reaches: what the latter half of it needs, for the first intervals are as wide as can be. */
function extent(rows, limit) {
  const late = rows.slice(Math.floor(rows.length / 2));
  const most = Math.max(...late.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]), 1.5 * Math.abs(limit || 0));
  return Math.min(1, most * 1.1) || 1;
}
