/** Predictions beside what the compiler makes, and sizes under recipes of one's own. */

import { bytes, element, percent } from "./dom";
import { showPair, showText } from "./editor";
import { tabs } from "./tabs";
import type { Emulated, Evaluated } from "./types";

const WORDS: Record<string, [string, string]> = {
  exact: ["exact", "the very text that the compiler makes"],
  same_code: ["same code", "other text, the same machine code"],
  tests_passed: ["tests passed", "does the same on every input that was tried"],
  compiles: ["compiles", "well-formed, and neither shown right nor wrong"],
  differs: ["differs", "does something else"],
  broken: ["broken", "not well-formed"],
  no_answer: ["no answer", "the code exceeds what the model can read or write"],
};

export function showEmulated(result: Emulated, isAssembly: boolean): HTMLElement[] {
  const { check } = result;
  const [word, meaning] = WORDS[check?.verdict ?? (result.code === null ? "no_answer" : "compiles")] ?? ["?", ""];
  const isGood = ["exact", "same_code", "tests_passed"].includes(check?.verdict ?? "");
  const found = [
    element(
      "section",
      { class: "card figure" },
      element("p", { class: `headline ${isGood ? "better" : ""}` }, word),
      element("p", { class: "sizes" }, `The model's prediction: ${meaning}`),
      (check?.reason || result.broken) && element("p", { class: "note" }, check?.reason || result.broken),
      numbers(result),
    ),
  ];
  const language = isAssembly ? "assembly" : "llvm-ir";
  if (result.code && check?.code) {
    const pair = { language, before: result.code, after: check.code, beforeLabel: "predicted", afterLabel: "compiler" };
    found.push(
      tabs("Code", [
        {
          title: "Prediction and compiler",
          show: (panel) => {
            panel.append(element("div", { class: "pair-head" }, element("span", {}, "predicted by the model"), element("span", {}, "made by the compiler")));
            const box = element("div", { class: "texts" });
            panel.append(box);
            return showPair(box, pair);
          },
        },
      ]),
    );
  } else if (check?.code || result.code) {
    const text = check?.code || result.code || "";
    const title = check?.code ? "Made by the compiler" : "Predicted by the model";
    found.push(tabs("Code", [{ title, show: (panel) => showText(panel, language, text, title) }]));
  }
  return found;
}

function numbers(result: Emulated): HTMLElement {
  const { check } = result;
  const row = (name: string, before: number, said: number | null, real?: number): HTMLElement =>
    element("tr", {}, element("th", { scope: "row" }, name), ...[before, said, real].map((value) => element("td", { class: "number" }, value === null || value === undefined ? "–" : bytes(value))));
  const head = ["", "before", "predicted", "compiler"].map((name) => element(name ? "th" : "td", name ? { scope: "col" } : {}, name));
  return element(
    "table",
    { class: "numbers" },
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, row("IR instructions", result.num_instructions_before, result.num_instructions, check?.num_instructions), row("bytes", result.size_bytes_before, result.size_bytes, check?.size_bytes)),
  );
}

/** A recipe, which may be broken after each comma, so that it is not broken in the middle of a name. */
function breakable(text: string): (string | HTMLElement)[] {
  return text.split(/(?<=,)/).flatMap((part, index) => (index ? [element("wbr"), part] : [part]));
}

export function showEvaluated(result: Evaluated): HTMLElement[] {
  const most = Math.max(result.baseline_bytes, ...result.rows.map((row) => row.size_bytes));
  const line = (name: string, value: number, verdict: string, detail: string): HTMLElement => {
    const bar = element("span", { class: `bar ${value < result.baseline_bytes ? "new" : value > result.baseline_bytes ? "cost" : "old"}` });
    bar.style.width = `${(100 * value) / most}%`;
    return element(
      "tr",
      {},
      element("th", { scope: "row", class: "recipe" }, element("code", {}, ...breakable(name)), detail && element("p", { class: "note" }, detail)),
      element("td", { class: "bars", "aria-hidden": "true" }, value > 0 && bar),
      element("td", { class: "number" }, value > 0 ? bytes(value) : "fails"),
      element("td", { class: "number" }, value > 0 ? percent(value - result.baseline_bytes, result.baseline_bytes) : ""),
      element("td", {}, verdict),
    );
  };
  const rows = [line("clang -Oz", result.baseline_bytes, "", ""), ...result.rows.map((row) => line(row.recipe, row.size_bytes, row.verdict, row.detail ?? ""))];
  const head = ["Recipe", "", "bytes", "", "verdict"].map((name) => element(name ? "th" : "td", name ? { scope: "col" } : {}, name));
  return [
    element(
      "section",
      { class: "card" },
      element("h3", {}, "Sizes under your recipes"),
      element("div", { class: "scroll whole", tabindex: "0", role: "region", "aria-label": "Sizes under your recipes" }, element("table", { class: "bar-table" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))),
    ),
  ];
}
