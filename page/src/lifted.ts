/** Lifted code: each function's verdict, its assembly and IR, and the input that refutes it. */

import { download, element } from "./dom";
import { showText } from "./editor";
import { tabs } from "./tabs";
import type { Disassembled, Lifted } from "./types";

const WORDS: Record<Lifted["verdict"], [string, string]> = {
  exact: ["exact", "lowers to the very same code"],
  tests_passed: ["tests passed", "does the same on every input that was tried"],
  unproved: ["unproved", "well-formed, and neither shown right nor wrong"],
  refuted: ["refuted", "does something else on the input below"],
  no_answer: ["no answer", "no well-formed IR was found"],
};

export function showLifted(result: Disassembled): HTMLElement[] {
  const counts = Object.keys(WORDS).map((verdict) => [verdict, result.functions.filter((one) => one.verdict === verdict).length] as const);
  const good = result.functions.filter((one) => one.verdict === "exact" || one.verdict === "tests_passed").length;
  const head = element(
    "section",
    { class: "card figure" },
    element("p", { class: "headline better" }, `${good} of ${result.functions.length}`),
    element("p", { class: "sizes" }, "functions lifted with proof or tests"),
    element(
      "p",
      { class: "chips" },
      ...counts.filter(([, count]) => count > 0).map(([verdict, count]) => element("span", { class: `chip verdict-${verdict}` }, `${count} ${WORDS[verdict as Lifted["verdict"]][0]}`)),
      element("span", { class: "chip" }, result.target_triple),
      element("span", { class: `chip ${result.is_whole ? "good" : ""}` }, result.is_whole ? "the module can take the file's place" : "not the whole file"),
    ),
  );
  const found: HTMLElement[] = [head];
  for (const warning of result.warnings ?? []) found.push(element("p", { class: "warning" }, warning));
  if (result.obstacle) found.push(element("p", { class: "warning" }, result.obstacle));
  found.push(...result.functions.map((one, index) => card(one, index === 0)));
  if (result.module) {
    const save = element("button", { type: "button" }, "Save lifted.ll");
    save.addEventListener("click", () => download("lifted.ll", result.module));
    const entries = [{ title: "Lifted module", show: (panel: HTMLElement) => showText(panel, "llvm-ir", result.module, "Lifted module") }];
    if (result.compiled) entries.push({ title: "What was lifted", show: (panel) => showText(panel, "assembly", result.compiled, "Assembly that was lifted") });
    found.push(tabs("Whole file", entries), element("p", {}, save));
  }
  return found;
}

function card(one: Lifted, open: boolean): HTMLElement {
  const [word, meaning] = WORDS[one.verdict];
  const box = element(
    "details",
    { class: "card function", ...(open ? { open: "" } : {}) },
    element(
      "summary",
      {},
      element("code", {}, one.name),
      " ",
      element("span", { class: `chip verdict-${one.verdict}` }, word),
      " ",
      element("span", { class: "note" }, meaning + (one.source ? `, by ${one.source === "rules" ? "rules" : "the model"}` : "")),
    ),
  );
  if (one.reason) box.append(element("p", {}, one.reason));
  if (one.num_inputs > 0) {
    box.append(element("p", { class: "note" }, `${one.num_completed} of ${one.num_inputs} inputs ran to their end; ${one.num_covered} of ${one.num_blocks} blocks were reached`));
  }
  if (one.counterexample) {
    box.append(
      element(
        "div",
        { class: "counterexample" },
        element("h4", {}, "Counter-example"),
        element("p", {}, "Arguments: ", ...one.counterexample.arguments.map((text) => element("code", { class: "chip" }, text))),
        element("pre", { tabindex: "0" }, one.counterexample.difference),
      ),
    );
  }
  const fill = (): void => {
    if (!box.open || box.querySelector(".two") || !(one.assembly || one.ir)) return;
    const [left, right] = [element("div"), element("div")];
    box.append(element("div", { class: "two" }, left, right));
    if (one.assembly) showText(left, "assembly", one.assembly, `Assembly of ${one.name}`);
    if (one.ir) showText(right, "llvm-ir", one.ir, `IR of ${one.name}`);
  };
  box.addEventListener("toggle", fill);
  if (open) requestAnimationFrame(fill);
  return box;
}
