/** What became of an optimisation: the figure, the recipe, its parts, and all texts side by side. */

import { contributionBars, sectionBars } from "./bars";
import { CandidateChart } from "./chart";
import { bytes, download, element, percent } from "./dom";
import { showPair } from "./editor";
import { type Tab, tabs } from "./tabs";
import type { Optimized, Recipe } from "./types";

const PROPOSERS: Record<string, string> = {
  model: "chosen by the model",
  coreset: "of the fixed coreset",
  search: "found by search",
  store: "found earlier",
  baseline: "clang -Oz stands",
};
const VERDICTS: Record<string, string> = {
  passed: "recipe passed the self-testing programs",
  unchecked: "recipe not checked",
  baseline: "clang's own object",
};

export function showOptimized(result: Optimized, chart: CandidateChart | null): HTMLElement[] {
  const found: HTMLElement[] = [figure(result)];
  for (const warning of result.warnings ?? []) found.push(element("p", { class: "warning" }, warning));
  if (result.diagnostics) {
    found.push(element("details", { class: "card" }, element("summary", {}, "clang's warnings"), element("pre", {}, result.diagnostics)));
  }
  found.push(chart?.node ?? drawn(result).node);
  found.push(sectionBars(result.baseline_sections, result.optimized_sections));
  if (result.explain && result.explain.elements.length > 0) found.push(contributionBars(result.explain.elements));
  found.push(texts(result));
  return found;
}

function drawn(result: Optimized): CandidateChart {
  const chart = new CandidateChart(result.baseline_value, result.num_evaluations);
  for (const one of result.candidates) chart.add(one);
  chart.finish(result.optimized_value);
  return chart;
}

function figure(result: Optimized): HTMLElement {
  const saved = result.baseline_bytes - result.optimized_bytes;
  const chips = [
    element("span", { class: `chip ${result.verdict === "unchecked" ? "unsure" : "good"}` }, VERDICTS[result.verdict] ?? result.verdict),
    element("span", { class: "chip" }, PROPOSERS[result.proposer] ?? result.proposer),
    element("span", { class: "chip" }, `${result.num_evaluations} recipes in ${result.seconds.toFixed(1)} s`),
    element("span", { class: "chip" }, `LLVM ${result.llvm_version}, ${result.target_triple}`),
  ];
  if (result.replay_makes_same_object) chips.push(element("span", { class: "chip good" }, "replayed to the same bytes"));
  const value = saved > 0 ? percent(-saved, result.baseline_bytes) : "±0";
  return element(
    "section",
    { class: "card figure" },
    element("p", { class: saved > 0 ? "headline better" : "headline" }, value),
    element(
      "p",
      { class: "sizes" },
      element("span", { class: "old" }, bytes(result.baseline_bytes)),
      " → ",
      element("strong", {}, `${bytes(result.optimized_bytes)} bytes`),
      element("span", { class: "note" }, saved > 0 ? ` ${bytes(saved)} fewer than clang -Oz` : " nothing smaller passed: this is clang -Oz's own object"),
    ),
    element("p", { class: "chips" }, ...chips),
  );
}

function texts(result: Optimized): HTMLElement {
  const entries: Tab[] = [];
  if (result.assembly) {
    const { assembly, ir } = result;
    const pair = { beforeLabel: "clang -Oz", afterLabel: "ours" };
    entries.push({ title: "Assembly", show: (panel) => compare(panel, { ...pair, language: "assembly", before: tidy(assembly.baseline), after: tidy(assembly.optimized) }) });
    entries.push({ title: "IR", show: (panel) => compare(panel, { ...pair, language: "llvm-ir", before: ir.baseline, after: ir.optimized }) });
    entries.push({
      title: "IR, unoptimised",
      show: (panel) => compare(panel, { language: "llvm-ir", before: ir.unoptimized, after: ir.optimized, beforeLabel: "before all passes", afterLabel: "ours" }),
    });
  }
  entries.push({ title: "Recipe", show: (panel) => panel.append(recipe(result)) });
  return tabs("Texts", entries);
}

/** Leaves out what says nothing about code: names of files and compilers, the compiler's remarks. */
function tidy(text: string): string {
  const found: string[] = [];
  for (const line of text.split("\n")) {
    if (/^\s*\.(file|ident|addrsig\w*)\b/.test(line) || /^\s*\.section\s+"?\.note\.GNU-stack/.test(line)) continue;
    const isBlock = /^\s*(#|\/\/) %bb/.test(line);
    const kept = (isBlock ? line.replace(/^(\s*(?:#|\/\/) %bb\S*).*$/, "$1") : line.replace(/\s*(?:#(?!\d|-)|\/\/).*$/, "")).trimEnd();
    if (kept !== "") found.push(kept);
  }
  return found.join("\n");
}

function compare(panel: HTMLElement, pair: Parameters<typeof showPair>[1]): () => void {
  const lines = (text: string): number => text.split("\n").length;
  panel.append(
    element(
      "div",
      { class: "pair-head" },
      element("span", {}, `${pair.beforeLabel} · ${lines(pair.before)} lines`),
      element("span", {}, `${pair.afterLabel} · ${lines(pair.after)} lines`),
    ),
  );
  const box = element("div", { class: "texts" });
  panel.append(box);
  return showPair(box, pair);
}

function recipe(result: Optimized): HTMLElement {
  const box = element("div", { class: "recipe-panel" });
  if (result.recipe === null) {
    box.append(element("p", {}, "clang -Oz's own object stands: no verified recipe made a smaller one."));
  } else {
    box.append(one("For the unit", result.recipe));
    const own = Object.entries(result.recipe.functions ?? {});
    if (own.length > 0) {
      const list = own.map(([name, inner]) => one(name, inner));
      box.append(element("details", {}, element("summary", {}, own.length === 1 ? "1 function with a recipe of its own" : `${own.length} functions with recipes of their own`), ...list));
    }
  }
  if (result.replay) {
    const text = result.replay.join("\n");
    const copy = element("button", { type: "button", class: "quiet" }, "Copy");
    copy.addEventListener("click", () => void navigator.clipboard.writeText(text).then(() => (copy.textContent = "Copied")));
    box.append(element("h4", {}, "Commands that make it again ", copy), element("pre", { tabindex: "0" }, text));
  }
  if (result.object_base64) {
    const save = element("button", { type: "button" }, "Save output.o");
    save.addEventListener("click", () => {
      const data = Uint8Array.from(atob(result.object_base64), (byte) => byte.charCodeAt(0));
      download("output.o", data, "application/octet-stream");
    });
    box.append(element("p", {}, save));
  }
  return box;
}

function one(name: string, recipe: Recipe): HTMLElement {
  const passes = splitPasses(recipe.passes);
  const items = passes.map((pass) => element("li", {}, element("code", {}, pass)));
  const settings = [...(recipe.attributes ?? []).map((text) => `+${text}`), ...(recipe.options ?? []).map((text) => `--${text}`)];
  return element(
    "div",
    { class: "recipe-one" },
    element("h4", {}, name),
    element("ol", { class: "passes" }, ...items),
    settings.length > 0 && element("p", {}, ...settings.map((text) => element("code", { class: "chip" }, text))),
  );
}

/** Splits at commas outside of brackets. */
export function splitPasses(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  for (let place = 0; place <= text.length; place++) {
    const mark = text[place];
    if (mark === "(" || mark === "<") depth++;
    if (mark === ")" || mark === ">") depth--;
    if (place === text.length || (mark === "," && depth === 0)) {
      if (place > start) found.push(text.slice(start, place));
      start = place + 1;
    }
  }
  return found;
}

