/** The page: what is asked, what is answered, and the way between. */

import { CandidateChart } from "./chart";
import { byId, bytes, element } from "./dom";
import { Editor } from "./editor";
import { EXAMPLES, RECIPES } from "./examples";
import { showLifted } from "./lifted";
import { showOptimized } from "./optimized";
import { showEmulated, showEvaluated } from "./predicted";
import { Refused, type Running, about, key, rememberKey, submit } from "./service";
import { type Shared, link, read } from "./share";
import type { About, Answer, Candidate, Disassembled, Emulated, Evaluated, Optimized, ServiceEvent, Verb } from "./types";

const VERBS: { verb: Verb; title: string; run: string; languages: string[] }[] = [
  { verb: "optimize", title: "Optimise", run: "Optimise", languages: ["c", "c++", "llvm-ir"] },
  { verb: "disassemble", title: "Lift", run: "Lift to IR", languages: ["assembly", "c", "c++", "llvm-ir"] },
  { verb: "emulate", title: "Predict", run: "Predict", languages: ["c", "c++", "llvm-ir"] },
  { verb: "evaluate", title: "Compare", run: "Compare recipes", languages: ["c", "c++", "llvm-ir"] },
];
const NAMES: Record<string, string> = { c: "C", "c++": "C++", "llvm-ir": "LLVM-IR", assembly: "Assembly" };
const STAGES: Record<string, string> = {
  compiled: "Compiled; lifting",
  texts: "Replaying the result",
  model: "The model is writing",
};

const language = byId<HTMLSelectElement>("language");
const target = byId<HTMLSelectElement>("target");
const effort = byId<HTMLSelectElement>("effort");
const flags = byId<HTMLInputElement>("flags");
const passes = byId<HTMLInputElement>("passes");
const assembly = byId<HTMLInputElement>("assembly");
const recipes = byId<HTMLTextAreaElement>("recipes");
const runButton = byId<HTMLButtonElement>("run");
const cancelButton = byId<HTMLButtonElement>("cancel");
const status = byId("status");
const error = byId("error");
const answer = byId("answer");
const keyInput = byId<HTMLInputElement>("key");

let verb: Verb = "optimize";
let running: Running | null = null;
let last: Answer | undefined;
let limits: About["limits"] | null = null;

const editor = new Editor(byId("editor"), () => void run(), () => (last = undefined));

// -- what is asked -------------------------------------------------------------------------------

function setUp(): void {
  const group = byId("verbs");
  for (const one of VERBS) {
    const input = element("input", { type: "radio", name: "verb", value: one.verb });
    input.addEventListener("change", () => chooseVerb(one.verb));
    group.append(element("label", {}, input, element("span", {}, one.title)));
  }
  const examples = byId<HTMLSelectElement>("example");
  examples.append(element("option", { value: "" }, "choose …"), ...EXAMPLES.map((one, index) => element("option", { value: String(index) }, one.title)));
  examples.addEventListener("change", () => {
    const chosen = EXAMPLES[Number(examples.value)];
    if (examples.value === "" || !chosen) return;
    chooseVerb(chosen.verb ?? (verb === "disassemble" && chosen.language === "llvm-ir" ? "optimize" : verb), chosen.language);
    editor.text = chosen.source;
    clear();
  });
  language.addEventListener("change", () => chooseLanguage(language.value));
  runButton.addEventListener("click", () => void run());
  cancelButton.addEventListener("click", () => void running?.cancel().catch(fail));
  byId("share").addEventListener("click", () => void share());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.defaultPrevented) void run();
    if (event.key === "Escape" && running) void running.cancel().catch(fail);
  });
  keyInput.value = key();
  keyInput.addEventListener("change", () => rememberKey(keyInput.value.trim()));
  window.addEventListener("hashchange", () => void openLink());
  recipes.value = RECIPES;
  setUpTheme();
}

function chooseVerb(wanted: Verb, wantedLanguage = language.value): void {
  verb = wanted;
  const entry = VERBS.find((one) => one.verb === verb) ?? VERBS[0];
  for (const input of document.querySelectorAll<HTMLInputElement>("input[name=verb]")) input.checked = input.value === verb;
  language.replaceChildren(...entry.languages.map((name) => element("option", { value: name }, NAMES[name])));
  chooseLanguage(entry.languages.includes(wantedLanguage) ? wantedLanguage : entry.languages[0]);
  runButton.textContent = entry.run;
  for (const part of document.querySelectorAll<HTMLElement>("[data-for]")) part.hidden = part.dataset.for !== verb;
}

function chooseLanguage(wanted: string): void {
  language.value = wanted;
  editor.setLanguage(wanted);
  const parts = document.querySelectorAll<HTMLElement>("[data-not]");
  for (const part of parts) part.hidden = part.dataset.not === `${verb}-${wanted}`;
}

function setUpTheme(): void {
  const root = document.documentElement;
  const stored = localStorage.getItem("llm-compiler-theme");
  if (stored === "dark" || stored === "light") root.dataset.theme = stored;
  byId("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem("llm-compiler-theme", root.dataset.theme);
  });
}

function request(): object {
  const common = { language: language.value, source: editor.text, flags: verb === "disassemble" && language.value === "assembly" ? "" : flags.value, target_triple: target.value };
  switch (verb) {
    case "optimize":
      return { ...common, effort: effort.value, explain: true };
    case "emulate":
      return { ...common, passes: passes.value, assembly: assembly.checked, check: true };
    case "evaluate":
      return { ...common, recipes: recipes.value.split("\n").map((line) => line.trim()).filter(Boolean) };
    case "disassemble":
      return common;
  }
}

// -- what is answered ----------------------------------------------------------------------------

function clear(): void {
  status.replaceChildren();
  error.replaceChildren();
  answer.replaceChildren();
  editor.markLine(0);
}

function fail(reason: unknown): void {
  const refused = reason instanceof Refused ? reason : new Refused(String(reason), "failed");
  const where = /input\.\w+:(\d+):(\d+)/.exec(refused.message) ?? /line (\d+)/.exec(refused.message);
  if (where) editor.markLine(Number(where[1]));
  const sentence = refused.message.charAt(0).toUpperCase() + refused.message.slice(1);
  error.replaceChildren(
    element(
      "div",
      { class: "card refusal" },
      element("p", {}, element("strong", {}, sentence)),
      hint(refused.code) && element("p", { class: "note" }, hint(refused.code)),
      refused.detail && element("pre", { tabindex: "0", "aria-label": "The compiler's words" }, refused.detail),
    ),
  );
  if (refused.code === "key") {
    byId("key-label").hidden = false;
    keyInput.focus();
  }
}

function hint(code: string): string {
  const hints: Record<string, string> = {
    time: "Try a lower effort, or less code at once.",
    memory: "Try less code at once.",
    rate: "Every client has its share, so that all are served.",
    queue: "Jobs run in turn, one client after the other.",
    offline: "Your code is still in the editor, and a shared link keeps it.",
    lost: "Your code is still in the editor.",
  };
  return hints[code] ?? "";
}

function say(text: string, share?: number): void {
  const bar = element("progress", { max: "1", "aria-label": "Progress" });
  if (share !== undefined) bar.value = share;
  status.replaceChildren(element("span", {}, text), bar);
}

async function run(): Promise<void> {
  if (running) return;
  clear();
  last = undefined;
  if (!editor.text.trim()) return fail(new Refused("There is no code to work on", "input"));
  const size = new Blob([editor.text]).size;
  if (limits && size > limits.source_bytes) {
    return fail(new Refused(`The code has ${bytes(size)} bytes: this service takes at most ${bytes(limits.source_bytes)}`, "size"));
  }
  runButton.disabled = true;
  cancelButton.hidden = false;
  say("Sending");
  const asked = verb;
  const isAssembly = assembly.checked;
  let chart: CandidateChart | null = null;
  const candidates: Candidate[] = [];
  try {
    running = await submit(asked, request());
    for await (const event of running.events()) {
      if (event.event === "baseline" && asked === "optimize") {
        chart = new CandidateChart(event.size_bytes ?? 0, 16);
        answer.replaceChildren(chart.node);
      } else if (event.event === "candidate") {
        const one: Candidate = { number: event.number ?? 0, ok: event.ok ?? false, value: event.value ?? event.size_bytes ?? 0, recipe: event.recipe ?? "" };
        candidates.push(one);
        chart?.add(one);
      } else if (event.event === "end") {
        if (event.result === undefined) throw new Refused(event.error?.message ?? `The job is ${event.status}`, event.error?.code ?? "", event.error?.detail);
        show(asked, event.result, isAssembly, chart);
        status.replaceChildren(element("span", {}, event.cached ? "Done: known from before" : "Done"));
      } else {
        progress(event, chart);
      }
    }
  } catch (reason) {
    status.replaceChildren();
    if (chart === null || candidates.length === 0) answer.replaceChildren();
    fail(reason);
  } finally {
    running = null;
    runButton.disabled = false;
    cancelButton.hidden = true;
  }
}

function progress(event: ServiceEvent, chart: CandidateChart | null): void {
  if (event.event === "waiting") say(`Waiting${(event.position ?? 1) > 1 ? `: ${event.position} jobs wait` : ""}`);
  else if (event.event === "running") say("Compiling");
  else if (event.event === "stage") say(STAGES[event.stage ?? ""] ?? "Working");
  else if (event.event === "progress" && event.total) {
    chart?.expect(event.total);
    const done = event.done ?? 0;
    const what = event.name ? `Lifting ${event.name}` : done < event.total ? "Trying recipes" : "Rebuilding the best and checking";
    say(`${what}: ${done} of ${event.total}`, done / event.total);
  }
}

function show(asked: Verb, result: Answer, isAssembly: boolean, chart: CandidateChart | null): void {
  last = result;
  if (asked === "optimize") chart?.finish((result as Optimized).optimized_value);
  const parts = {
    optimize: () => showOptimized(result as Optimized, chart),
    disassemble: () => showLifted(result as Disassembled),
    emulate: () => showEmulated(result as Emulated, isAssembly),
    evaluate: () => showEvaluated(result as Evaluated),
  }[asked]();
  answer.replaceChildren(...parts);
}

// -- links ---------------------------------------------------------------------------------------

async function share(): Promise<void> {
  const shared: Shared = {
    verb,
    language: language.value,
    source: editor.text,
    target: target.value,
    effort: effort.value,
    flags: flags.value,
    passes: passes.value,
    assembly: assembly.checked,
    recipes: recipes.value,
    answer: last,
  };
  const text = await link(shared);
  if (text === null) return fail(new Refused("This code is too long for a link: save it as a file instead", "size"));
  history.replaceState(null, "", `#${text}`);
  const copied = await navigator.clipboard.writeText(location.href).then(
    () => true,
    () => false,
  );
  const what = last ? "code and result" : "code";
  status.replaceChildren(element("span", {}, copied ? `Link copied: it holds ${what}, and no server keeps it` : `The address holds ${what} now: copy it from there`));
}

async function openLink(): Promise<boolean> {
  let shared: Partial<Shared> | null;
  try {
    shared = await read(location.hash);
  } catch {
    fail(new Refused("This link is damaged: a part of it may be missing at its end", "link"));
    return false;
  }
  if (shared === null) return false;
  clear();
  const wanted = VERBS.find((one) => one.verb === shared.verb)?.verb ?? "optimize";
  chooseVerb(wanted, String(shared.language ?? "c"));
  editor.text = String(shared.source ?? "");
  target.value = String(shared.target ?? "");
  effort.value = String(shared.effort ?? "default");
  flags.value = String(shared.flags ?? "");
  passes.value = String(shared.passes ?? passes.value);
  assembly.checked = shared.assembly === true;
  recipes.value = String(shared.recipes ?? RECIPES);
  if (shared.answer) {
    try {
      show(wanted, shared.answer, assembly.checked, null);
      status.replaceChildren(element("span", {}, "As shared: this result came with the link and was not computed here"));
    } catch {
      answer.replaceChildren();
      fail(new Refused("The result in this link cannot be shown: run it again", "link"));
    }
  }
  return true;
}

/** What stands where the result will be, until there is one. */
function welcome(): void {
  const tries: [string, string, () => void][] = [
    ["Optimise", "Many recipes are compiled beside clang -Oz, some fixed, some chosen by a small model. The smallest object wins, if its recipe is known to keep meaning; else clang's own stands.", () => begin("optimize", 0)],
    ["Lift", "Assembly becomes LLVM-IR. Every function is compiled again and compared or tested: exact, tests passed, or refuted with the input that shows it.", () => begin("disassemble", 3)],
    ["Predict", "The model writes what a pass list would make of code; the compiler says how right it is.", () => begin("emulate", 4)],
    ["Compare", "Your own recipes, one on each line, compiled by the stock tools.", () => begin("evaluate", 0)],
  ];
  const items = tries.map(([title, text, act]) => {
    const button = element("button", { type: "button" }, `Try it: ${title}`);
    button.addEventListener("click", () => {
      act();
      void run();
    });
    return element("li", { class: "card" }, element("h3", {}, title), element("p", {}, text), button);
  });
  answer.replaceChildren(
    element("p", { class: "lead" }, "Paste a function, get the smallest object that the real compiler can be led to."),
    element("ul", { class: "welcome" }, ...items),
  );
}

function begin(wanted: Verb, example: number): void {
  const chosen = EXAMPLES[example];
  chooseVerb(wanted, chosen.language);
  editor.text = chosen.source;
}

async function start(): Promise<void> {
  setUp();
  chooseVerb("optimize", "c");
  if (!(await openLink())) {
    editor.text = editor.text || EXAMPLES[0].source;
    welcome();
  }
  try {
    const found = await about();
    limits = found.limits;
    byId("key-label").hidden = !found.needs_key;
    byId("about").replaceChildren(
      `LLM Compiler ${found.version} · LLVM ${found.llvm_version} · ${found.has_model ? "with its model" : "without a model"} · `,
      `${found.sandboxed ? "each job in a sandbox of its own" : "jobs run without a sandbox"} · `,
      `up to ${bytes(found.limits.source_bytes / 1024)} KiB and ${found.limits.seconds} s a job · `,
      element("a", { href: "openapi.json" }, "interface"),
    );
  } catch (reason) {
    fail(reason);
  }
}

void start();
