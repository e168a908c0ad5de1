/** Bars: sections before and after, and what each element of a recipe saves. */

import { bytes, element, percent } from "./dom";
import type { Contribution } from "./types";

function bar(value: number, most: number, kind: string): HTMLElement {
  const width = most === 0 ? 0 : (100 * Math.abs(value)) / most;
  const made = element("span", { class: `bar ${kind}` });
  made.style.width = `${width}%`;
  return made;
}

export function sectionBars(before: Record<string, number>, after: Record<string, number>): HTMLElement {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  names.sort((one, other) => (before[other] ?? 0) - (before[one] ?? 0));
  const most = Math.max(1, ...names.flatMap((name) => [before[name] ?? 0, after[name] ?? 0]));
  const rows = names.map((name) => {
    const [old, now] = [before[name] ?? 0, after[name] ?? 0];
    return element(
      "tr",
      {},
      element("th", { scope: "row", class: "name" }, element("code", {}, name)),
      element("td", { class: "bars", "aria-hidden": "true" }, bar(old, most, "old"), bar(now, most, now > old ? "cost" : "new")),
      element("td", { class: "number" }, bytes(old)),
      element("td", { class: "number" }, bytes(now)),
      element("td", { class: "number" }, old === now ? "=" : percent(now - old, old || now)),
    );
  });
  const head = ["Section", "", "clang -Oz", "ours", ""].map((name) => element(name ? "th" : "td", name ? { scope: "col" } : {}, name));
  return element(
    "section",
    { class: "card" },
    element("h3", {}, "Sections"),
    element("table", { class: "bar-table" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)),
  );
}

export function contributionBars(elements: Contribution[]): HTMLElement {
  const most = Math.max(1, ...elements.map((one) => Math.abs(one.saved_bytes)));
  const rows = elements.map((one) => {
    const where = Object.entries(one.sections)
      .map(([name, count]) => `${name} ${count < 0 ? "+" : "−"}${bytes(Math.abs(count))}`)
      .join(", ");
    const said = one.saved_bytes > 0 ? `−${bytes(one.saved_bytes)}` : one.saved_bytes < 0 ? `+${bytes(-one.saved_bytes)}` : "0";
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("code", {}, one.element), element("span", { class: "kind" }, one.kind)),
      element("td", { class: "bars", "aria-hidden": "true" }, bar(one.saved_bytes, most, one.saved_bytes < 0 ? "cost" : "new")),
      element("td", { class: "number" }, said),
      element("td", { class: "where" }, where),
    );
  });
  return element(
    "section",
    { class: "card" },
    element("h3", {}, "What each element saves"),
    element("p", { class: "note" }, "Each one left out once. They work together, so their bytes do not add up."),
    element(
      "table",
      { class: "bar-table" },
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Element"), element("td"), element("th", { scope: "col" }, "bytes"), element("th", { scope: "col", class: "where" }, "where"))),
      element("tbody", {}, ...rows),
    ),
  );
}
