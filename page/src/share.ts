/** A link that holds everything: what is in the editor and what came of it, compressed, after the #. */

import type { Answer, Verb } from "./types";

export interface Shared {
  verb: Verb;
  language: string;
  source: string;
  target: string;
  effort: string;
  flags: string;
  passes: string;
  assembly: boolean;
  recipes: string;
  /** What came of it, so that the link shows it without any service. */
  answer?: Answer;
}

const VERSION = "v1.";
/** Longer links are cut by chats and mails: the answer's texts stay out of them. */
const LONGEST_WITH_TEXTS = 24_000;
const LONGEST = 200_000;

async function squeezed(text: string): Promise<string> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const data = new Uint8Array(await new Response(stream).arrayBuffer());
  let binary = "";
  for (const one of data) binary += String.fromCharCode(one);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

async function unfolded(text: string): Promise<string> {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const data = Uint8Array.from(binary, (one) => one.charCodeAt(0));
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
}

function withoutTexts(answer: Answer): Answer {
  const dropped = new Set(["ir", "assembly", "object_base64", "replay", "diagnostics", "module", "compiled", "lowered", "code"]);
  return JSON.parse(JSON.stringify(answer, (name, value) => (dropped.has(name) ? undefined : value))) as Answer;
}

/** Returns what follows the #, with as much of the answer as fits; null where even the code does not. */
export async function link(shared: Shared): Promise<string | null> {
  const tries: [Shared, number][] = [[shared, LONGEST_WITH_TEXTS]];
  if (shared.answer) tries.push([{ ...shared, answer: withoutTexts(shared.answer) }, LONGEST_WITH_TEXTS]);
  tries.push([{ ...shared, answer: undefined }, LONGEST]);
  for (const [one, longest] of tries) {
    const text = VERSION + (await squeezed(JSON.stringify(one)));
    if (text.length <= longest) return text;
  }
  return null;
}

/** Reads a link; null: there is none. Throws where it is damaged. */
export async function read(hash: string): Promise<Partial<Shared> | null> {
  const text = hash.replace(/^#/, "");
  if (!text.startsWith(VERSION)) return null;
  const found: unknown = JSON.parse(await unfolded(text.slice(VERSION.length)));
  if (typeof found !== "object" || found === null) throw new Error("no object");
  return found as Partial<Shared>;
}
