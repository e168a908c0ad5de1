/** Talks to the service: one job at a time, followed by server-sent events. */

import type { About, ServiceEvent } from "./types";

/** A refusal, in the service's own sentence. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly detail = "",
  ) {
    super(message);
  }
}

const KEY = "llm-compiler-key";

export function key(): string {
  return sessionStorage.getItem(KEY) ?? "";
}

export function rememberKey(value: string): void {
  sessionStorage.setItem(KEY, value);
}

function headers(): Record<string, string> {
  const found: Record<string, string> = { "Content-Type": "application/json" };
  if (key()) found.Authorization = `Bearer ${key()}`;
  return found;
}

async function ask(path: string, options: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { ...options, headers: headers() });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused("The service does not answer: is it still running?", "offline");
  }
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => null)) as { error?: { code: string; message: string; detail?: string } } | null;
  const error = said?.error;
  throw new Refused(error?.message ?? `The service answers with status ${answer.status}`, error?.code ?? "failed", error?.detail);
}

export async function about(): Promise<About> {
  return (await ask("v1/about")).json();
}

export interface Running {
  id: string;
  cancel(): Promise<void>;
  /** Yields events; goes on where it was if the line is cut. */
  events(): AsyncGenerator<ServiceEvent>;
}

export async function submit(verb: string, request: object): Promise<Running> {
  const answer = await ask(`v1/${verb}`, { method: "POST", body: JSON.stringify(request) });
  const { id } = (await answer.json()) as { id: string };
  return {
    id,
    async cancel() {
      await ask(`v1/jobs/${id}`, { method: "DELETE" });
    },
    events: () => follow(id),
  };
}

const TRIES = 5;

async function* follow(id: string): AsyncGenerator<ServiceEvent> {
  let last = -1;
  for (let cut = 0; cut < TRIES; cut++) {
    const answer = await ask(`v1/jobs/${id}/events`);
    for await (const [number, event] of readEvents(answer)) {
      if (number <= last) continue;
      last = number;
      yield event;
      if (event.event === "end") return;
    }
    await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** cut));
  }
  throw new Refused("The line to the service was cut again and again", "offline");
}

async function* readEvents(answer: Response): AsyncGenerator<[number, ServiceEvent]> {
  if (answer.body === null) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const block = text.slice(0, end);
        text = text.slice(end + 2);
        const number = /^id: (\d+)$/m.exec(block);
        const data = /^data: (.*)$/m.exec(block);
        if (data) yield [Number(number?.[1] ?? 0), JSON.parse(data[1]) as ServiceEvent];
      }
    }
  } catch {
    // The line was cut: whoever follows asks again.
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}
