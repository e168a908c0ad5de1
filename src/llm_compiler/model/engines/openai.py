"""The openai engine: a model on an OpenAI-compatible completion server (vLLM, llama.cpp, TGI).

Our own models are asked by token ids (`LLM_COMPILER_API_TOKENIZER` names their tokenizer's folder),
all others by the paper's prompts as text. Which lists a table's ones beat is asked as exactly as
the server allows: by the log-probabilities of all of them (our models, servers that echo), by
answers that it holds to a choice (vLLM, llama.cpp), or by free answers of which the others are left
out. Nothing here is deterministic unless the server is. Not thread-safe.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final

from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.errors import CheckpointMismatch, ConfigError, InputError
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.model.configs import CONFIG_FILE, read_hf_config
from llm_compiler.model.engines.compact import MAX_NOVEL_PASSES
from llm_compiler.model.engines.completions import (
    ApiOptions,
    Completion,
    CompletionServer,
    Refused,
    ServedModel,
)
from llm_compiler.model.engines.engine import BaseEngine, Engine
from llm_compiler.model.engines.paper import (
    PaperEngine,
    PromptTooLong,
    WriteOptions,
    Written,
    answer_room,
)
from llm_compiler.model.engines.questions import (
    disassembly_question,
    emulation_question,
    flag_tuning_question,
)
from llm_compiler.model.engines.registry import LoadOptions
from llm_compiler.model.engines.requests import (
    Capability,
    CodeAnswer,
    Emulate,
    Lift,
    Proposal,
    Propose,
)
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts, load_prompts, parse_answer
from llm_compiler.model.ranking import TokenTrie
from llm_compiler.model.special import field_token
from llm_compiler.records import PassList

__all__ = ["CompactServerEngine", "ServerText", "load_by_options", "load_openai"]

_DRAWN_AT: Final = 1.0
"""The temperature of all answers but the first where none is asked for: servers have no beams."""
_CONTEXT: Final = 4096
"""Where neither the server nor the user says."""
_CHARACTERS_A_TOKEN: Final = 2.0
"""Of IR in Llama's tokens, at least: a guess that is made only without the model's tokenizer."""
_SCORED_AT_ONCE: Final = 16


def load_openai(options: ApiOptions) -> Engine:
    """Connect to a server and return its model as an engine.

    Raises:
        EngineError: the server does not answer, or has no such model.
        TokenizerMismatch: the tokenizer's folder holds none.
        ToolchainNotFound: urllib3 is not installed.
    """
    prompts = None if options.tokenizer is None else load_prompts(options.tokenizer)
    server = CompletionServer(options)
    try:
        model = server.find_model()
        context = options.context or model.context
        folder = options.tokenizer
        if not context and folder is not None and (folder / CONFIG_FILE).is_file():
            context = read_hf_config(folder).context
        if isinstance(prompts, CompactPrompts):
            return CompactServerEngine(server, model, prompts, context=context or _CONTEXT)
        text = ServerText(server, model, prompts, context=context or _CONTEXT)
    except BaseException:
        server.close()
        raise
    return PaperEngine(text, name="openai", model=_named(server, model))


def load_by_options(model: str | None, options: LoadOptions) -> Engine:
    """Connect to the server of a URL; for the registry.

    Raises:
        EngineError, TokenizerMismatch, ToolchainNotFound: as `load_openai`.
    """
    return load_openai(ApiOptions.from_environment(model))


def _named(server: CompletionServer, model: ServedModel) -> str:
    return f"{model.name} at {server.options.base_url}"


def _several(
    server: CompletionServer, model: str, prompt: str | Sequence[int], num: int, **settings: Any
) -> list[Completion]:
    """Return `num` answers, also of servers that give one at a time."""
    if num > 1:
        try:
            found = server.complete(model, prompt, num, **settings)
        except Refused as error:
            if error.is_too_long:
                raise
            found = []
        if len(found) >= num:
            return found[:num]
    else:
        found = []
    seed = settings.pop("seed", 0)
    while len(found) < num:
        found += server.complete(model, prompt, 1, seed=seed + len(found), **settings)
    return found[:num]


def _greedy_and_drawn(
    server: CompletionServer,
    model: str,
    prompt: str | Sequence[int],
    num: int,
    *,
    temperature: float,
    **settings: Any,
) -> list[Completion]:
    """Return the greedy answer, then drawn ones."""
    found = server.complete(model, prompt, 1, temperature=0.0, **settings)[:1]
    if num > 1:
        heat = temperature or _DRAWN_AT
        found += _several(server, model, prompt, num - 1, temperature=heat, **settings)
    return found


class ServerText:
    """A server's model as a `TextModel`, asked by text.

    Args:
        server: owned from here on.
        prompts: the model's tokenizer, to count tokens; None: their number is guessed.
    """

    def __init__(
        self,
        server: CompletionServer,
        model: ServedModel,
        prompts: PaperPrompts | None,
        *,
        context: int,
    ) -> None:
        self._server, self._model, self._prompts = server, model, prompts
        self.context, self.reader = context, None
        self._chooses = model.owner in ("vllm", "llamacpp")

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def write(self, prompt: str, num: int, options: WriteOptions) -> list[Written]:
        """Return up to `num` distinct answers; all but the first are drawn."""
        given, rest = _cut_opening(options.opening)
        prompt += given
        room = answer_room(self.context, self._count(prompt), options.max_tokens)
        stop = options.stop
        if stop and stop[0] not in rest:
            stop = stop[0]
        heat, seed = options.temperature, options.seed
        found = self._ask(prompt, num, room, temperature=heat, seed=seed, stop=stop)
        answers: dict[str, Written] = {}
        for completion in found:
            written = Written(
                text=(given + completion.text).removeprefix(" "),
                log_probability=completion.log_probability,
                num_tokens=len(completion.log_probabilities) or self._count(completion.text),
                finished=completion.finished,
            )
            answers.setdefault(written.text, written)
        return list(answers.values())

    def choose(
        self, prompt: str, answers: Sequence[str], num: int, *, opening: str, seed: int = 0
    ) -> list[tuple[int, float]] | None:
        """Return answers that the server was held to; None where it cannot be."""
        if not self._chooses:
            return None
        given, rest = _cut_opening(opening)
        prompt += given
        ends = [rest + answer[len(opening) :] for answer in answers]
        longest = max(map(self._count, ends)) + 1
        room = answer_room(self.context, self._count(prompt), longest)
        try:
            held = _choice(self._model.owner, ends)
            found = self._ask(prompt, num, room, temperature=_DRAWN_AT, seed=seed, **held)
        except Refused:
            self._chooses = False  # of an earlier version
            return None
        positions = {text.strip(): position for position, text in enumerate(ends)}
        chosen: dict[int, float] = {}
        for completion in found:
            if (position := positions.get(completion.text.strip())) is not None:
                chosen.setdefault(position, completion.log_probability)
        return sorted(chosen.items(), key=lambda pair: -pair[1]) if chosen else None

    def _ask(self, prompt: str, num: int, room: int, **settings: Any) -> list[Completion]:
        """Return answers of at most `room` tokens.

        Raises:
            PromptTooLong: the server says so.
            Refused: it does not take the settings.
        """
        name = self._model.name
        try:
            return _greedy_and_drawn(self._server, name, prompt, num, max_tokens=room, **settings)
        except Refused as error:
            if error.is_too_long:
                raise PromptTooLong(0.5) from error
            raise

    def _count(self, text: str) -> int:
        if self._prompts is not None:
            return len(self._prompts.prompt_ids(text))
        return math.ceil(len(text) / _CHARACTERS_A_TOKEN) + 1


def _cut_opening(opening: str) -> tuple[str, str]:
    """Return what of an answer's opening is given with the prompt, and what is to be written.

    Where a text is cut, its tokens are others than those that the model has learnt, unless the cut
    is before a blank.
    """
    opening = f" {opening}"
    position = opening.rfind(" ", 0, len(opening.rstrip(" ")))
    return opening[:position], opening[position:]


def _choice(owner: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return what holds a server to one of some texts."""
    if owner == "vllm":
        # By its name from version 0.12 on, and before; what it does not know it passes over.
        return {"structured_outputs": {"choice": list(texts)}, "guided_choice": list(texts)}
    quoted = " | ".join(json.dumps(text) for text in texts)
    return {"grammar": f"root ::= {quoted}"}


class CompactServerEngine(BaseEngine):
    """An `Engine` of a served model that reads compact prompts, asked by token ids.

    Args:
        server: owned from here on.
    """

    capabilities = frozenset({Capability.PROPOSE, Capability.LIFT, Capability.EMULATE})

    def __init__(
        self,
        server: CompletionServer,
        model: ServedModel,
        prompts: CompactPrompts,
        *,
        context: int,
    ) -> None:
        self.name, self.model = "openai", _named(server, model)
        self.context = context
        self._server, self._served, self._prompts = server, model, prompts
        self._echoes = True
        specials = [
            prompts.tokenizer.decode([id_]) for id_ in range(prompts.tokenizer.num_specials)
        ]
        self._special_ids = {name: id_ for id_, name in enumerate(specials)}
        longest_first = sorted(map(re.escape, specials), key=len, reverse=True)
        self._specials = re.compile("|".join(longest_first))

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def propose(self, request: Propose) -> list[Proposal]:
        """Return distinct pass lists: of `lists` the most probable if the server echoes."""
        num_candidates, lists = request.num_candidates, request.open_lists
        known = {each_recipe for each_recipe, _ in request.tried}
        if num_candidates < 1 or (lists is not None and not lists):
            return []
        opening = [self._special(field_token("passes"))]
        for recipe, size_bytes in reversed(request.tried):
            opening[:0] = self._prompts.round_ids(
                recipe.pipeline, size_bytes, request.oz_size_bytes
            )
        sample = flag_tuning_question(request.code, request.target_triple, request.oz_size_bytes)
        if lists is not None and self._echoes:
            ranked = self._ranked(sample, opening, lists)
            if ranked is not None:
                return ranked[:num_candidates]
        room = MAX_NOVEL_PASSES + 1
        ids = self._fitted(sample, opening, room)
        found = self._ask(ids, num_candidates + len(known), room, 0.0, request.seed)
        wanted = None if lists is None else set(lists)
        proposals: dict[PassList, Proposal] = {}
        for stated in found:
            passes = self._list_of(stated)
            if passes is None or passes in known or (wanted is not None and passes not in wanted):
                continue
            proposal = Proposal(passes=passes, log_probability=stated.log_probability)
            proposals.setdefault(passes, proposal)
        return sorted(proposals.values(), key=lambda each_proposal: -each_proposal.log_probability)[
            :num_candidates
        ]

    def lift(self, request: Lift) -> list[CodeAnswer]:
        """Return IR texts for assembly in normal form, distinct; the first is the greedy answer."""
        sample = disassembly_question(request.assembly, request.target_triple)
        return self._codes(sample, request.num_candidates, request.temperature, request.seed)

    def emulate(self, request: Emulate) -> list[CodeAnswer]:
        """Return the code that a pass list makes of a module, as the model predicts it."""
        return self._codes(emulation_question(request), 1, 0.0, 0)[:1]

    def _special(self, token: str) -> int:
        return self._prompts.tokenizer.special(token)

    def _fitted(self, sample: StageSample, opening: Sequence[int], answer: int) -> list[int]:
        try:
            prompt = self._prompts.fit_prompt(sample, self.context - len(opening) - answer)
        except ConfigError as error:
            raise CheckpointMismatch(f"{self.model}: {error}") from error
        return [*prompt, *opening]

    def _ranked(
        self, sample: StageSample, opening: Sequence[int], lists: Sequence[PassList]
    ) -> list[Proposal] | None:
        """Return all lists in the model's order, or None if the server does not echo.

        As on the embedded engine, the model chooses among the lists' passes only: at each node of
        their trie the children's probabilities are made to sum to 1.
        """
        size = self._special(field_token("size"))
        sequences = [[*self._prompts.pass_ids(recipe.pipeline)[1:], size] for recipe in lists]
        trie = TokenTrie(sequences)
        # One token is left for the answer, which servers insist on.
        prompt = self._fitted(sample, opening, trie.depth + 1)
        steps: dict[int, float] = {}
        for start in range(0, len(sequences), _SCORED_AT_ONCE):
            part = sequences[start : start + _SCORED_AT_ONCE]
            try:
                found = self._server.complete(
                    self._served.name,
                    [[*prompt, *group] for group in part],
                    max_tokens=1,
                    echo=True,
                )
            except Refused as error:
                if error.is_too_long:
                    raise
                found = []
            scores = [completion.log_probabilities[len(prompt) :] for completion in found]
            if len(scores) != len(part):
                self._echoes = False
                return None
            for sequence, values in zip(part, scores, strict=True):
                node = 0
                for id_, score in itertools.zip_longest(sequence, values[: len(sequence)]):
                    if score is None:
                        self._echoes = False
                        return None
                    node = trie.children[node][id_]
                    steps[node] = score
        totals = [math.nan] * len(lists)
        waiting = [(0, 0.0)]
        while waiting:
            node, total = waiting.pop()
            if node in trie.place:
                totals[trie.place[node]] = total
            children = list(trie.children[node].values())
            if children:
                best = max(steps[child] for child in children)
                norm = best + math.log(sum(math.exp(steps[child] - best) for child in children))
                waiting += [(child, total + steps[child] - norm) for child in children]
        ranked = [
            Proposal(passes=recipe, log_probability=total)
            for recipe, total in zip(lists, totals, strict=True)
            if not math.isnan(total)
        ]
        return sorted(ranked, key=lambda proposal: -proposal.log_probability)

    def _ask(
        self, ids: Sequence[int], num: int, max_tokens: int, temperature: float, seed: int
    ) -> list[Completion]:
        return _greedy_and_drawn(
            self._server,
            self._served.name,
            ids,
            num,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            # The fields are special tokens: vLLM leaves them out of texts by default.
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            return_token_ids=True,
        )

    def _ids(self, completion: Completion) -> list[int]:
        """Return an answer's ids, by its text if the server does not say them."""
        if completion.ids:
            return list(completion.ids)
        ids: list[int] = []
        start = 0
        for match in self._specials.finditer(completion.text):
            ids += self._prompts.tokenizer.encode(completion.text[start : match.start()])
            ids.append(self._special_ids[match[0]])
            start = match.end()
        return [*ids, *self._prompts.tokenizer.encode(completion.text[start:])]

    def _list_of(self, completion: Completion) -> PassList | None:
        ids = self._ids(completion)
        size = self._special(field_token("size"))
        if size not in ids:
            return None  # the list has no end
        opening = self._special(field_token("passes"))
        try:
            answer = parse_answer([opening, *ids[: ids.index(size)]], self._prompts.tokenizer)
        except InputError:
            return None
        return parse_pass_list(answer.passes)

    def _codes(
        self, sample: StageSample, num: int, temperature: float, seed: int
    ) -> list[CodeAnswer]:
        if num < 1:
            return []
        prompt = self._prompts.prompt(sample)
        try:
            room = answer_room(self.context, len(prompt), None)
            found = self._ask(prompt, num, room, temperature, seed)
        except PromptTooLong:
            return []
        except Refused as error:
            if error.is_too_long:
                return []
            raise
        answers: dict[str, CodeAnswer] = {}
        for completion in found:
            ids = self._ids(completion)
            # Servers leave the end out of what they return.
            end = self._prompts.tokenizer.end
            ids = [*ids, end] if completion.finished and end not in ids else ids
            try:
                parsed = parse_answer(ids, self._prompts.tokenizer)
            except InputError:
                continue
            if parsed.output_code is None:
                continue
            answer = CodeAnswer(
                code=parsed.output_code,
                log_probability=completion.log_probability,
                num_tokens=len(ids),
                num_instructions=parsed.num_instructions_after,
                size_bytes=parsed.size_bytes_after,
                text_data_bytes=parsed.text_data_bytes_after,
            )
            answers.setdefault(answer.code, answer)
        return list(answers.values())
