"""A completion server over HTTP that runs a checkpoint: what tests of the openai engine talk to.

Speaks as vLLM, llama.cpp or TGI do, as far as the engine uses them, and fails on demand.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from llm_compiler.model.decoding import Decoder
from llm_compiler.model.generation import generate
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts
from llm_compiler.model.ranking import TokenTrie

SLOW_S = 1.5


class CompletionServer:
    """Serves a decoder, which stays the caller's.

    `faults` are what happens to the next requests for completions, one each: an HTTP status,
    ``drop``, ``half``, ``slow``, ``broken``, ``nonsense`` or ``ok``.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: CompactPrompts | PaperPrompts,
        *,
        kind: str = "vllm",
        key: str = "",
    ) -> None:
        self.decoder, self.prompts, self.kind, self.key = decoder, prompts, kind, key
        self.faults: deque[str | int] = deque()
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def models(self) -> dict[str, Any]:
        table: dict[str, Any] = {"id": "tiny", "object": "model", "owned_by": "somebody"}
        if self.kind == "vllm":
            table |= {"owned_by": "vllm", "max_model_len": self.decoder.context}
        if self.kind == "llamacpp":
            table |= {"owned_by": "llamacpp", "meta": {"n_ctx_train": 10 * self.decoder.context}}
        return {"object": "list", "data": [table]}

    def complete(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["model"] != "tiny":
            raise Refusal(404, f"The model `{asked['model']}` does not exist.")
        num = asked.get("n", 1)
        if self.kind == "llamacpp" and num != 1:
            raise Refusal(400, "Only one completion choice is allowed")
        if self.kind != "vllm" and asked.get("echo"):
            raise Refusal(400, "Only no echo is supported")
        choices = [
            self._choice(ids, asked, asked.get("seed", 0) + place)
            for ids in self._prompts_of(asked["prompt"])
            for place in range(1 if self.kind == "tgi" else num)
        ]
        for index, choice in enumerate(choices):
            choice["index"] = index
        return {"object": "text_completion", "model": "tiny", "choices": choices}

    def _prompts_of(self, prompt: Any) -> list[list[int]]:
        if isinstance(prompt, str):
            assert isinstance(self.prompts, PaperPrompts)
            return [self.prompts.prompt_ids(prompt)]
        if self.kind == "tgi":
            raise Refusal(422, "prompt: expected a string")
        return [list(item) for item in prompt] if isinstance(prompt[0], list) else [list(prompt)]

    def _choice(self, prompt: list[int], asked: dict[str, Any], seed: int) -> dict[str, Any]:
        room = self.decoder.context - len(prompt)
        if asked["max_tokens"] > room:
            raise Refusal(400, f"This model's maximum context length is {self.decoder.context}")
        temperature = asked["temperature"]
        constraint, start = self._constraint(prompt, asked)
        found = generate(
            self.decoder.start(start),
            2 if temperature else 1,
            end=self._end,
            max_tokens=asked["max_tokens"],
            constraint=constraint,
            temperature=temperature,
            seed=seed,
        )[-1]
        ids = list(found.ids)
        reason = "stop" if found.finished else "length"
        # What a constraint begins with may be of the prompt.
        text = self._text([*start, *ids])[len(self._text(prompt)) :]
        for stop in asked.get("stop") or ():
            if stop in text:
                text, reason = text[: text.index(stop)], "stop"
        choice: dict[str, Any] = {"text": text, "finish_reason": reason}
        if asked.get("echo"):
            ids = [*prompt, *ids]
            scores = self._scores(ids[:1], ids[1:])
            choice["logprobs"] = {"token_logprobs": [None, *scores]}
        elif self.kind == "vllm":
            choice["logprobs"] = {"token_logprobs": self._scores(start, ids)}
        elif self.kind == "llamacpp":
            pairs = zip(ids, self._scores(start, ids), strict=True)
            choice["logprobs"] = {
                "content": [{"id": id_, "logprob": number} for id_, number in pairs]
            }
        if self.kind == "vllm" and asked.get("return_token_ids"):
            choice["token_ids"] = ids
        return choice

    @property
    def _end(self) -> int:
        if isinstance(self.prompts, CompactPrompts):
            return self.prompts.tokenizer.end
        return self.prompts.end

    def _text(self, ids: Sequence[int]) -> str:
        if isinstance(self.prompts, PaperPrompts):
            return self.prompts.decode(ids)
        return self.prompts.tokenizer.decode([id_ for id_ in ids if id_ != self._end])

    def _scores(self, given: Sequence[int], ids: Sequence[int]) -> list[float]:
        """Log-probabilities of tokens that follow others."""
        state = self.decoder.start(given)
        rows = state.extend(ids[:-1], range(-1, len(ids) - 2))
        everything = np.concatenate([state.first[None], rows])
        return [float(row[id_]) for row, id_ in zip(everything, ids, strict=True)]

    def _constraint(
        self, prompt: list[int], asked: dict[str, Any]
    ) -> tuple[TokenTrie | None, list[int]]:
        texts = None
        if self.kind == "vllm" and "structured_outputs" in asked:
            texts = asked["structured_outputs"]["choice"]
        if self.kind == "llamacpp" and "grammar" in asked:
            grammar = asked["grammar"].removeprefix("root ::= ")
            texts = [json.loads(item) for item in re.findall(r'"(?:[^"\\]|\\.)*"', grammar)]
        if texts is None:
            return None, prompt
        assert isinstance(self.prompts, PaperPrompts)
        whole = [self.prompts.prompt_ids(asked["prompt"] + text) for text in texts]
        shared = 0
        while all(group[shared] == prompt[shared] for group in whole) and shared < len(prompt) - 1:
            shared += 1
        return TokenTrie([group[shared:] for group in whole]), prompt[:shared]


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _handler(server: CompletionServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def _answer(self, status: int, answer: Any, **headers: str) -> None:
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(data)

        def _allowed(self) -> bool:
            if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
                self._answer(401, {"error": {"message": "Incorrect API key provided"}})
                return False
            return True

        def do_GET(self) -> None:
            if not self._allowed():
                return
            if self.path == "/v1/models":
                self._answer(200, server.models())
            elif self.path == "/props" and server.kind == "llamacpp":
                props = {"default_generation_settings": {"n_ctx": server.decoder.context}}
                self._answer(200, props)
            else:
                self._answer(404, {"detail": "Not Found"})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self._allowed():
                return
            server.requests.append(asked)
            fault = server.faults.popleft() if server.faults else "ok"
            if isinstance(fault, int):
                headers = {"Retry_After": "0"} if fault == 429 else {}
                self._answer(fault, {"error": {"message": f"fault {fault}"}}, **headers)
            elif fault == "drop":
                self.close_connection = True
            elif fault == "half":
                self.close_connection = True
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"choices": [')
            elif fault == "broken":
                self._answer(200, b'{"choices": [{"text": "opt -p')
            elif fault == "nonsense":
                self._answer(200, {"choices": [{"message": "hello"}]})
            else:
                if fault == "slow":
                    time.sleep(SLOW_S)
                with server.lock:
                    try:
                        status, answer = 200, server.complete(asked)
                    except Refusal as error:
                        status, answer = error.status, {"error": {"message": str(error)}}
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self._answer(status, answer)

    return Handler


@contextlib.contextmanager
def serving(
    decoder: Decoder, prompts: CompactPrompts | PaperPrompts, *, kind: str = "vllm", key: str = ""
) -> Iterator[CompletionServer]:
    server = CompletionServer(decoder, prompts, kind=kind, key=key)
    try:
        yield server
    finally:
        server.close()
