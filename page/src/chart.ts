/** The chart of candidates: each one's size as it arrives, the best so far, and clang -Oz. */

import { bytes, element, percent, svg } from "./dom";
import type { Candidate } from "./types";

const WIDTH = 640;
const HEIGHT = 220;
const LEFT = 62;
const RIGHT = 14;
const TOP = 16;
const BOTTOM = 30;

export class CandidateChart {
  readonly node: HTMLElement;
  private readonly drawing: SVGElement;
  private readonly caption: HTMLElement;
  private readonly rows: HTMLElement;
  private readonly candidates: Candidate[] = [];
  private final: number | null = null;
  private waiting = false;

  constructor(
    private baseline: number,
    private expected: number,
    private readonly unit = "bytes",
  ) {
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart" });
    this.caption = element("figcaption", {});
    this.rows = element("tbody");
    const table = element(
      "table",
      {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "#"), element("th", { scope: "col" }, this.unit), element("th", { scope: "col" }, "recipe"))),
      this.rows,
    );
    const list = element("details", {}, element("summary", {}, "As a table"), element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Candidates" }, table));
    this.node = element("figure", { class: "card" }, element("h3", {}, "Candidates"), this.drawing, this.caption, list);
    this.draw();
  }

  add(candidate: Candidate): void {
    this.candidates.push(candidate);
    this.rows.append(
      element(
        "tr",
        {},
        element("td", {}, String(this.candidates.length)),
        element("td", { class: "number" }, candidate.ok ? bytes(candidate.value) : "fails"),
        element("td", { class: "recipe" }, candidate.recipe),
      ),
    );
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  expect(total: number): void {
    this.expected = Math.max(total, this.expected);
  }

  /** The size of what is handed out, which may be none of the candidates': functions have recipes of their own. */
  finish(value: number): void {
    this.final = value;
    this.draw();
  }

  private draw(): void {
    const good = this.candidates.map((one, index) => ({ ...one, index })).filter((one) => one.ok);
    const values = [...good.map((one) => one.value), this.baseline, ...(this.final === null ? [] : [this.final])];
    const low = Math.min(...values);
    // A few lists that make code much larger would press all others into a line.
    const sorted = good.map((one) => one.value).sort((one, other) => one - other);
    const usual = sorted[Math.floor(sorted.length * 0.85)] ?? this.baseline;
    const high = Math.max(this.baseline, Math.min(Math.max(...values), usual + (usual - low)));
    const room = Math.max(1, (high - low) * 0.12);
    const count = Math.max(this.expected, this.candidates.length, 1);
    const x = (index: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * (index + 0.5)) / count;
    const y = (value: number): number => {
      const place = (Math.min(value, high + room / 2) - low + room) / (high - low + 2 * room);
      return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * place;
    };
    const parts: SVGElement[] = [];
    for (const value of ticks(low, high)) {
      parts.push(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" }));
      parts.push(svg("text", { x: LEFT - 8, y: y(value) + 4, class: "tick", "text-anchor": "end" }, bytes(value)));
    }
    parts.push(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(this.baseline), y2: y(this.baseline), class: "baseline" }));
    parts.push(svg("text", { x: WIDTH - RIGHT, y: y(this.baseline) - 6, class: "baseline-label", "text-anchor": "end" }, `clang -Oz  ${bytes(this.baseline)}`));
    let best = this.baseline;
    let path = `M ${LEFT} ${y(best)}`;
    for (const one of good) {
      if (one.value < best) {
        path += ` H ${x(one.index)} V ${y(one.value)}`;
        best = one.value;
      }
    }
    if (good.length > 0) path += ` H ${x(this.candidates.length - 1)}`;
    parts.push(svg("path", { d: path, class: "best" }));
    const radius = Math.max(1.6, Math.min(4.5, 220 / count));
    for (const one of good) {
      const is = one.value < this.baseline ? "better" : one.value > this.baseline ? "worse" : "equal";
      const dot = svg("circle", { cx: x(one.index), cy: y(one.value), r: radius, class: `dot ${is}` });
      dot.append(svg("title", {}, `${bytes(one.value)} ${this.unit} (${percent(one.value - this.baseline, this.baseline)})\n${one.recipe}`));
      parts.push(dot);
    }
    if (this.final !== null && this.final < this.baseline) {
      parts.push(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(this.final), y2: y(this.final), class: "final" }));
      parts.push(svg("text", { x: LEFT + 6, y: y(this.final) + 14, class: "final-label" }, `handed out  ${bytes(this.final)}`));
    }
    parts.push(svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, class: "tick", "text-anchor": "middle" }, "recipes tried, in this order"));
    this.drawing.replaceChildren(...parts);
    const reached = Math.min(best, this.final ?? best);
    const said =
      `${this.candidates.length} of ${count} recipes compiled; the best has ${bytes(reached)} ${this.unit}, ` +
      `clang -Oz ${bytes(this.baseline)} (${percent(reached - this.baseline, this.baseline)})`;
    this.drawing.setAttribute("aria-label", said);
    this.caption.textContent = said;
  }
}

function ticks(low: number, high: number): number[] {
  const span = Math.max(1, high - low);
  const raw = span / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(1, [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw) ?? raw);
  const found: number[] = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}
