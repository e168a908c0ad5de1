"""Talks to a completion server: the part of OpenAI's protocol that vLLM, llama.cpp and TGI share.

One request at a time over kept connections. What may pass by itself (no connection, 408, 429, 5xx)
is tried again with growing pauses; a server that is silent for too long is not asked again.
Everything else that goes wrong is one `EngineError`. Knows nothing of prompts. Needs urllib3, which
is imported inside functions.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from llm_compiler.errors import ConfigError, EngineError
from llm_compiler.extras import require

__all__ = ["ApiOptions", "Completion", "CompletionServer", "Refused", "ServedModel"]

_RETRIED: Final = frozenset((408, 429, 500, 502, 503, 504))
_LONGEST_PAUSE_S: Final = 30.0
_MAX_SHOWN: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """Where a server is, and how patiently it is asked.

    Raises:
        ConfigError: a value makes no sense.
    """

    base_url: str
    """``http://host:8000/v1``; ``/v1`` is added to an address without a path."""
    key: str = field(default="", repr=False)
    """Sent as a bearer token; empty: none."""
    model: str = ""
    """As the server calls it; empty: the first one that it serves."""
    tokenizer: Path | None = None
    """A folder with the model's tokenizer. With ours the server is asked in compact prompts."""
    context: int = 0
    """Tokens; 0: as the server says."""
    timeout_s: float = 120.0
    """Of silence, until an answer is given up."""
    retries: int = 4
    pause_s: float = 0.5
    """Before the second retry; each further one waits twice as long, up to 30 s."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"'{self.base_url}' is no address of a server (http://HOST:PORT/v1)")
        if parts.username is not None:
            raise ConfigError("an address has no user and password: set OPENAI_API_KEY")
        if parts.query or parts.fragment:
            raise ConfigError(f"'{self.base_url}': an address ends with its path")
        if self.timeout_s <= 0 or self.retries < 0 or self.context < 0 or self.pause_s < 0:
            raise ConfigError("a server's time-out, retries, pause and context cannot be negative")
        path = parts.path.rstrip("/") or "/v1"
        address = f"{parts.scheme}://{parts.netloc}{path}"
        object.__setattr__(self, "base_url", address)

    @classmethod
    def from_environment(
        cls, base_url: str | None = None, environment: Mapping[str, str] | None = None
    ) -> ApiOptions:
        """Read LLM_COMPILER_API_* and OPENAI_API_KEY (docs/engines.md).

        Args:
            base_url: goes before LLM_COMPILER_API_BASE.

        Raises:
            ConfigError: there is no address, or a value is no number.
        """
        variables = os.environ if environment is None else environment

        def number(name: str, default: float) -> float:
            text = variables.get(name, "").strip()
            try:
                return float(text) if text else default
            except ValueError:
                raise ConfigError(f"{name} is '{text}', which is no number") from None

        base_url = base_url or variables.get("LLM_COMPILER_API_BASE", "")
        if not base_url:
            raise ConfigError(
                "no server is named: give its address with --model http://HOST:PORT/v1, or set "
                "LLM_COMPILER_API_BASE"
            )
        tokenizer = variables.get("LLM_COMPILER_API_TOKENIZER", "")
        return cls(
            base_url=base_url,
            key=variables.get("OPENAI_API_KEY", ""),
            model=variables.get("LLM_COMPILER_API_MODEL", ""),
            tokenizer=Path(tokenizer) if tokenizer else None,
            context=int(number("LLM_COMPILER_API_CONTEXT", 0)),
            timeout_s=number("LLM_COMPILER_API_TIMEOUT", 120.0),
            retries=int(number("LLM_COMPILER_API_RETRIES", 4)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model as its server lists it."""

    name: str
    owner: str = ""
    """``vllm``, ``llamacpp``, or whatever the server says."""
    root: str = ""
    """Where the server has it from, if it says: a path or a name on the hub."""
    context: int = 0
    """Tokens; 0: the server does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer of a server."""

    text: str = field(repr=False)
    finished: bool = True
    """Whether it ended by itself or at a stop string."""
    log_probabilities: tuple[float | None, ...] = ()
    """Of each token, in nats; with `echo` the prompt's too, whose first one has none. Empty: the
    server does not say."""
    ids: tuple[int, ...] = ()
    """Empty: the server does not say."""

    @property
    def log_probability(self) -> float:
        """Of all tokens together; 0 if it is not known."""
        return sum(probability for probability in self.log_probabilities if probability is not None)


class Refused(EngineError):
    """The server does not do what was asked: 400, 404, 413, 422 and the like."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_too_long(self) -> bool:
        """Whether the prompt seems to be what the server objects to."""
        words = ("context", "too long", "too large", "maximum", "exceed", "max_total_tokens")
        return self.status == 413 or any(word in str(self).lower() for word in words)


class CompletionServer:
    """A server. Not thread-safe; close it.

    Raises:
        ToolchainNotFound: urllib3 is not installed.
    """

    def __init__(self, options: ApiOptions) -> None:
        self.options = options
        self._http, self._urllib3 = _make_pool(options)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if options.key:
            self._headers["Authorization"] = f"Bearer {options.key}"

    def close(self) -> None:
        """Close the connections; twice does no harm."""
        self._http.clear()

    def find_model(self) -> ServedModel:
        """Return the model that is asked: the one of the options, or the first that is served.

        Raises:
            EngineError: the server does not answer, or has no such model.
        """
        wanted = self.options.model
        try:
            answer = self.request("GET", "/models")
        except Refused:
            if wanted:
                return ServedModel(name=wanted)  # not every server has a list
            raise
        models = [entry for entry in _list(answer.get("data")) if isinstance(entry, dict)]
        found = [model for model in models if not wanted or model.get("id") == wanted]
        if not found or not isinstance(found[0].get("id"), str):
            has = ", ".join(str(model.get("id")) for model in models[:5]) or "none"
            what = f"the model '{wanted}'" if wanted else "any model"
            raise EngineError(f"{self.options.base_url} does not serve {what} (it has: {has})")
        table = found[0]
        owner = str(table.get("owned_by", ""))
        return ServedModel(
            name=table["id"],
            owner=owner,
            root=str(table.get("root") or ""),
            context=self._context(table, owner),
        )

    def complete(
        self,
        model: str,
        prompt: str | Sequence[int] | Sequence[Sequence[int]],
        num: int = 1,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        stop: str = "",
        echo: bool = False,
        **more: Any,
    ) -> list[Completion]:
        """Return `num` answers to each prompt, in the order of the prompts.

        Args:
            prompt: a text, token ids, or several prompts of token ids.
            more: what only some servers know; the others pass it over.

        Raises:
            Refused: the server does not do this.
            EngineError: it does not answer, or not with completions.
        """
        body = {
            "model": model,
            "prompt": prompt,
            "n": num,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "logprobs": 1,
            **({"stop": [stop]} if stop else {}),
            **({"echo": True} if echo else {}),
            **more,
        }
        answer = self.request("POST", "/completions", body)
        choices = _list(answer.get("choices"))
        if not choices:
            raise self._nonsense(json.dumps(answer))
        positions = {id(choice): place for place, choice in enumerate(choices)}

        def order(table: Any) -> int:
            index = table.get("index") if isinstance(table, dict) else None
            return index if isinstance(index, int) else positions[id(table)]

        return [self._completion(choice) for choice in sorted(choices, key=order)]

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Return what the server answers, which is a JSON object.

        Raises:
            Refused, EngineError: as `complete`.
        """
        url = path if path.startswith("http") else self.options.base_url + path
        errors = self._urllib3.exceptions
        try:
            response = self._http.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=self._headers,
            )
        except errors.TimeoutError as error:
            raise EngineError(
                f"{self.options.base_url} gave no answer within {self.options.timeout_s:g} s"
            ) from error
        except errors.HTTPError as error:
            reason = _shown(str(getattr(error, "reason", None) or error))
            raise EngineError(
                f"{self.options.base_url} does not answer ({_tries(self.options)}): {reason}"
            ) from error
        text = response.data.decode("utf-8", "replace")
        if response.status >= 400:
            message = f"{self.options.base_url} answers {response.status}: {_message(text)}"
            if response.status in _RETRIED:
                raise EngineError(f"{message} ({_tries(self.options)})")
            raise Refused(message, status=response.status)
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            raise self._nonsense(text) from None
        if response.status != 200 or not isinstance(answer, dict):
            raise self._nonsense(text)
        return answer

    def _completion(self, choice: Any) -> Completion:
        if not isinstance(choice, dict) or not isinstance(choice.get("text"), str):
            raise self._nonsense(json.dumps(choice))
        logprobs = choice.get("logprobs")
        logprobs = logprobs if isinstance(logprobs, dict) else {}
        values: Any = logprobs.get("token_logprobs")
        ids: Any = choice.get("token_ids")
        # llama.cpp writes them as chats have them.
        if content := _list(logprobs.get("content")):
            tokens = [table if isinstance(table, dict) else {} for table in content]
            values = values or [token.get("logprob") for token in tokens]
            ids = ids or [token.get("id") for token in tokens]
        return Completion(
            text=choice["text"],
            finished=choice.get("finish_reason") != "length",
            log_probabilities=tuple(values) if _are(values, float | int | None) else (),
            ids=tuple(ids) if _are(ids, int) else (),
        )

    def _context(self, listed: dict[str, Any], owner: str) -> int:
        """Return a model's context as vLLM, llama.cpp and others tell it."""
        meta = listed.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        found = [listed.get("max_model_len"), meta.get("n_ctx"), listed.get("context_length")]
        if owner == "llamacpp":
            # What the server was started with may be less than what the model was trained with.
            with contextlib.suppress(EngineError):
                root = self.options.base_url.removesuffix("/v1")
                props = self.request("GET", f"{root}/props").get("default_generation_settings")
                found.append(props.get("n_ctx") if isinstance(props, dict) else None)
            found.append(meta.get("n_ctx_train"))
        return next((index for index in found if isinstance(index, int) and index > 0), 0)

    def _nonsense(self, text: str) -> EngineError:
        return EngineError(
            f"{self.options.base_url} answers what is no completion: {_shown(text) or 'nothing'}"
        )


def _make_pool(options: ApiOptions) -> tuple[Any, Any]:
    urllib3 = require("urllib3", extra="openai")

    class Retry(urllib3.Retry):  # type: ignore[name-defined, misc, unused-ignore]
        """Patient with busy servers, but only once with silent ones."""

        def get_retry_after(self, response: Any) -> float | None:
            seconds = super().get_retry_after(response)
            return None if seconds is None else min(seconds, _LONGEST_PAUSE_S)

        def increment(
            self,
            method: str | None = None,
            url: str | None = None,
            response: Any = None,
            error: Exception | None = None,
            _pool: Any = None,
            _stacktrace: Any = None,
        ) -> Any:
            if isinstance(error, urllib3.exceptions.ReadTimeoutError):
                raise error
            return super().increment(method, url, response, error, _pool, _stacktrace)

    retries = Retry(
        total=options.retries,
        status_forcelist=_RETRIED,
        allowed_methods=None,
        backoff_factor=options.pause_s,
        backoff_max=_LONGEST_PAUSE_S,
        redirect=False,
        raise_on_status=False,
    )
    timeout = urllib3.Timeout(connect=min(10.0, options.timeout_s), read=options.timeout_s)
    return urllib3.PoolManager(retries=retries, timeout=timeout), urllib3


def _message(text: str) -> str:
    """Return what an error's body says, in its own words."""
    with contextlib.suppress(ValueError):
        message = json.loads(text)
        while isinstance(message, dict):
            message = next(
                (message[key] for key in ("error", "message", "detail") if key in message), text
            )
        if isinstance(message, str):
            return _shown(message)
    return _shown(text) or "nothing"


def _tries(options: ApiOptions) -> str:
    return "one try" if not options.retries else f"{options.retries + 1} tries"


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _are(values: Any, kind: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, kind) and not isinstance(value, bool) for value in values
    )
