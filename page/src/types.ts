/** What the service answers with, as far as the page shows it (docs/service.md). */

export type Verb = "optimize" | "disassemble" | "emulate" | "evaluate";

export interface Candidate {
  number: number;
  ok: boolean;
  value: number;
  recipe: string;
}

export interface Contribution {
  kind: string;
  element: string;
  saved_bytes: number;
  sections: Record<string, number>;
}

export interface Recipe {
  passes: string;
  attributes: string[];
  options: string[];
  functions: Record<string, Recipe>;
}

export interface Optimized {
  input: string;
  target_triple: string;
  llvm_version: string;
  baseline_bytes: number;
  optimized_bytes: number;
  objective: string;
  baseline_value: number;
  optimized_value: number;
  passes: string | null;
  recipe: Recipe | null;
  replay: string[];
  proposer: string;
  verdict: string;
  num_evaluations: number;
  seconds: number;
  warnings: string[];
  diagnostics: string;
  candidates: Candidate[];
  baseline_sections: Record<string, number>;
  optimized_sections: Record<string, number>;
  explain?: { elements: Contribution[] };
  ir: { unoptimized: string; baseline: string; optimized: string };
  assembly: { baseline: string; optimized: string };
  replay_makes_same_object: boolean;
  object_base64: string;
}

export interface Counterexample {
  arguments: string[];
  difference: string;
  seed: number;
  number: number;
}

export interface Lifted {
  name: string;
  verdict: "exact" | "tests_passed" | "unproved" | "refuted" | "no_answer";
  reason: string;
  source: string;
  num_inputs: number;
  num_completed: number;
  num_blocks: number;
  num_covered: number;
  counterexample: Counterexample | null;
  assembly: string;
  lowered: string;
  ir: string;
}

export interface Disassembled {
  target_triple: string;
  functions: Lifted[];
  is_whole: boolean;
  obstacle: string;
  module: string;
  compiled: string;
  warnings: string[];
  seconds: number;
}

export interface Emulated {
  passes: string;
  model: string;
  code: string | null;
  broken: string;
  num_instructions_before: number;
  size_bytes_before: number;
  num_instructions: number | null;
  size_bytes: number | null;
  check: {
    verdict: string;
    reason: string;
    code: string;
    num_instructions: number;
    size_bytes: number;
    functions: Record<string, string>;
  } | null;
  seconds: number;
}

export interface EvaluatedRow {
  recipe: string;
  ok: boolean;
  size_bytes: number;
  text_data_bytes?: number;
  sections?: Record<string, number>;
  verdict: string;
  detail?: string;
}

export interface Evaluated {
  baseline_bytes: number;
  rows: EvaluatedRow[];
}

export type Answer = Optimized | Disassembled | Emulated | Evaluated;

export interface ServiceEvent {
  event: string;
  status?: string;
  position?: number;
  done?: number;
  total?: number;
  name?: string;
  number?: number;
  ok?: boolean;
  value?: number;
  size_bytes?: number;
  recipe?: string;
  stage?: string;
  cached?: boolean;
  error?: { code: string; message: string; detail?: string };
  result?: Answer;
}

export interface About {
  version: string;
  llvm_version: string;
  has_model: boolean;
  sandboxed: boolean;
  machine: string;
  needs_key: boolean;
  limits: { source_bytes: number; seconds: number };
}
