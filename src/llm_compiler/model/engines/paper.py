"""Answers of models that are asked in the paper's words, such as Meta's LLM Compiler FTD.

`PaperEngine` is whole but for what writes text: `DecoderText` on a loaded model, `openai` on a
server. Pass lists: the model's own wording up to the list is learnt from one fixed question; it is
then given, and only the list is asked for. So lists that must be of a table are chosen by the
model among exactly these, spelled as `opt` reads them. Knows nothing of weights or LLVM.
Not thread-safe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Protocol, TypeVar

import numpy as np

from llm_compiler.dataset.stage_sample import StageSample, render_paper
from llm_compiler.errors import CheckpointMismatch
from llm_compiler.model.decoding import Decoder, IdArray
from llm_compiler.model.engines.answers import PaperAnswer, parse_answer_text
from llm_compiler.model.engines.engine import BaseEngine, Reader
from llm_compiler.model.engines.questions import (
    disassembly_question,
    emulation_question,
    flag_tuning_question,
)
from llm_compiler.model.engines.requests import (
    Capability,
    CodeAnswer,
    Emulate,
    Lift,
    Proposal,
    Propose,
)
from llm_compiler.model.generation import generate
from llm_compiler.model.prompts import PaperPrompts
from llm_compiler.model.ranking import TokenTrie, most_probable
from llm_compiler.records import PassList

__all__ = [
    "PROBE",
    "DecoderText",
    "PaperEngine",
    "PromptTooLong",
    "TextModel",
    "WriteOptions",
    "Written",
    "answer_room",
    "spellings",
]

_LIST_TOKENS: Final = 512
"""Of an answer, up to the end of its list: Meta's lists have at most 50 passes."""
_OPENING: Final = ("opt -p '", "' ")
"""Before and after a list, where a model does not show its own."""
_MAX_OPENING: Final = 200
_MIN_CODE: Final = 64
PROBE: Final = """target triple = "x86_64-unknown-linux-gnu"

define i32 @f(i32 noundef %0, i32 noundef %1) #0 {
  %3 = alloca i32, align 4
  %4 = alloca i32, align 4
  store i32 %0, ptr %3, align 4
  store i32 %1, ptr %4, align 4
  %5 = load i32, ptr %3, align 4
  %6 = load i32, ptr %4, align 4
  %7 = add nsw i32 %5, %6
  ret i32 %7
}

attributes #0 = { minsize nounwind optsize }
"""
"""The module whose answer shows a model's wording."""

Result = TypeVar("Result")


class PromptTooLong(Exception):
    """A prompt and the answer that is asked for exceed the context.

    `share` says how much of the prompt would fit, about.
    """

    def __init__(self, share: float) -> None:
        super().__init__(f"{share:.0%} of the prompt would fit")
        self.share = share


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An answer as text."""

    text: str = field(repr=False)
    """With the opening that was given, without the character that it stopped at."""
    log_probability: float = 0.0
    """In nats, of what was written; 0 where it is not known."""
    num_tokens: int = 0
    finished: bool = True
    """Whether it ended by itself or at `stop`, and not at a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How answers are written."""

    opening: str = ""
    """How all of them begin."""
    stop: str = ""
    """They end at its first character, if it follows the opening; the second one is what mostly
    stands after it, and tells it from others. Empty: none."""
    max_tokens: int | None = None
    """Of what is written; None: what a text about as long as the prompt may take."""
    temperature: float = 0.0
    """Of all but the first; 0: by beams, where the model has them."""
    seed: int = 0


class TextModel(Protocol):
    """What answers prompts with text."""

    @property
    def reader(self) -> Reader | None:
        """Return the model and its prompts, where they are here; None: a server has them."""
        ...

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        ...

    def write(self, prompt: str, num: int, options: WriteOptions) -> list[Written]:
        """Return up to `num` distinct answers; the first is the greedy answer.

        Raises:
            PromptTooLong: the context does not hold prompt, opening and `max_tokens`.
            EngineError: the model failed.
        """
        ...

    def choose(
        self, prompt: str, answers: Sequence[str], num: int, *, opening: str, seed: int = 0
    ) -> list[tuple[int, float]] | None:
        """Return which of some answers the model prefers, the most probable first.

        Args:
            answers: distinct texts, none of which begins another; each begins with `opening`.

        Returns:
            At most `num` places in `answers`, with log-probabilities in nats; None: it cannot be
            made to choose.

        Raises:
            PromptTooLong, EngineError: as `write`.
        """
        ...

    def close(self) -> None:
        """Free the model; twice does no harm."""
        ...


def answer_room(context: int, num_prompt: int, max_tokens: int | None) -> int:
    """Return how many tokens an answer may have.

    Raises:
        PromptTooLong: there is no room.
    """
    room = context - num_prompt
    if room < (max_tokens or 2):
        raise PromptTooLong((context - (max_tokens or 2)) / num_prompt)
    # A text that is much longer than its prompt has lost its way.
    return max_tokens or min(room, 512 + 6 * num_prompt)


def spellings(passes: PassList) -> tuple[str, ...]:
    """Return how a list may be written for `opt`: as we do, and with `module` said everywhere.

    >>> spellings(PassList(("globaldce", "function(adce)")))
    ('globaldce,function(adce)', 'module(globaldce),function(adce)')
    """
    nested = ("function(", "cgscc(", "loop(")
    said = ",".join(
        element if element.startswith(nested) else f"module({element})"
        for element in passes.elements
    )
    return (passes.pipeline,) if said == passes.pipeline else (passes.pipeline, said)


class PaperEngine(BaseEngine):
    """An `Engine` of a model that reads the paper's prompts.

    Args:
        text: the model, owned from here on: `close` closes it.
        name: of the engine.
        model: names the weights.
    """

    capabilities = frozenset(
        {Capability.PROPOSE, Capability.LIFT, Capability.EMULATE, Capability.ASSEMBLY}
    )

    def __init__(self, text: TextModel, *, name: str, model: str) -> None:
        self.name, self.model = name, model
        self._text = text
        self._wording: tuple[str, str] | None = None
        self.context, self.reader = text.context, text.reader

    def close(self) -> None:
        """Free the model."""
        self._text.close()

    def propose(self, request: Propose) -> list[Proposal]:
        """Return distinct pass lists, the most probable first.

        Of what was tried the model knows nothing; it is left out. Without `lists`, elements that
        are unknown here or not safe are left out of what the model writes.
        """
        num, lists = request.num_candidates, request.open_lists
        known = {recipe for recipe, _ in request.tried}
        if num < 1 or (lists is not None and not lists):
            return []
        sample = flag_tuning_question(request.code, request.target_triple)
        opening, stop = self.wording()
        if lists is not None:
            chosen = self._chosen(sample, lists, num, request.seed)
            if chosen is not None:
                return chosen
        options = WriteOptions(
            opening=opening, stop=stop, max_tokens=self._list_tokens, seed=request.seed
        )
        written = self._fitted(
            sample, lambda prompt: self._text.write(prompt, num + len(known), options)
        )
        wanted = None if lists is None else set(lists)
        found: dict[PassList, float] = {}
        for each_written in written:
            stated = parse_answer_text(
                each_written.text, finished=each_written.finished
            ).stated_list
            if stated is None or stated.passes in known:
                continue
            if wanted is None or stated.passes in wanted:
                found.setdefault(stated.passes, each_written.log_probability)
        return _ranked(found, num)

    def lift(self, request: Lift) -> list[CodeAnswer]:
        """Return IR texts for assembly in normal form, distinct; the first is the greedy answer."""
        sample = disassembly_question(request.assembly, request.target_triple)
        return self._codes(sample, request.num_candidates, request.temperature, request.seed)

    def emulate(self, request: Emulate) -> list[CodeAnswer]:
        """Return the code that a pass list makes of a module, as the model predicts it."""
        return self._codes(emulation_question(request), 1, 0.0, 0)[:1]

    def wording(self) -> tuple[str, str]:
        """Return what the model writes before a list, and the two characters after it.

        Learnt from its answer to one fixed question, so that it depends on the model alone.
        """
        if self._wording is None:
            prompt, _ = render_paper(flag_tuning_question(PROBE, ""))
            try:
                (answer,) = self._text.write(prompt, 1, WriteOptions(max_tokens=self._list_tokens))
            except PromptTooLong:
                self._wording = _OPENING
            else:
                self._wording = _wording_of(answer.text)
        return self._wording

    @property
    def _list_tokens(self) -> int:
        return min(_LIST_TOKENS, self.context // 2)

    def _chosen(
        self, sample: StageSample, lists: Sequence[PassList], num: int, seed: int
    ) -> list[Proposal] | None:
        opening, stop = self.wording()
        spelled = [
            (text, place) for place, recipe in enumerate(lists) for text in spellings(recipe)
        ]
        positions = dict(spelled)
        answers = [f"{opening}{text}{stop[0]}" for text in positions]
        # Each list has at most two spellings.
        chosen = self._fitted(
            sample,
            lambda prompt: self._text.choose(prompt, answers, 2 * num, opening=opening, seed=seed),
        )
        if chosen is None:
            return None
        owners = list(positions.values())
        found: dict[PassList, float] = {}
        for answer, log_probability in chosen:
            found.setdefault(lists[owners[answer]], log_probability)
        return _ranked(found, num)

    def _codes(
        self, sample: StageSample, num: int, temperature: float, seed: int
    ) -> list[CodeAnswer]:
        if num < 1:
            return []
        prompt, _ = render_paper(sample)
        options = WriteOptions(temperature=temperature, seed=seed)
        try:
            written = self._text.write(prompt, num, options)
        except PromptTooLong:
            return []
        answers: dict[str, CodeAnswer] = {}
        for each_written in written:
            parsed: PaperAnswer = parse_answer_text(
                each_written.text, finished=each_written.finished
            )
            if parsed.code is None:
                continue
            answer = CodeAnswer(
                code=parsed.code,
                log_probability=each_written.log_probability,
                num_tokens=each_written.num_tokens,
                num_instructions=parsed.num_instructions,
                text_data_bytes=parsed.sizes_bytes[-1] if parsed.sizes_bytes else None,
            )
            answers.setdefault(answer.code, answer)
        return list(answers.values())

    def _fitted(self, sample: StageSample, ask: Callable[[str], Result]) -> Result:
        """Ask with as much of the code as fits."""
        code = sample.input_code
        while True:
            prompt, _ = render_paper(flag_tuning_question(code, sample.target_triple))
            try:
                return ask(prompt)
            except PromptTooLong as error:
                # By whole lines, and always less than before.
                length = int(len(code) * min(error.share, 0.98))
                code = code[: code.rfind("\n", 0, max(length, 0)) + 1] or code[: max(length, 0)]
                if len(code) < _MIN_CODE:
                    raise CheckpointMismatch(
                        f"{self.model}: a context of {self.context} tokens holds no prompt"
                    ) from error


def _ranked(found: dict[PassList, float], num: int) -> list[Proposal]:
    ordered = sorted(found.items(), key=lambda pair: -pair[1])
    return [Proposal(passes=recipe, log_probability=value) for recipe, value in ordered[:num]]


def _wording_of(text: str) -> tuple[str, str]:
    stated = parse_answer_text(text, finished=False).stated_list
    if stated is None or stated.start > _MAX_OPENING:
        return _OPENING
    opening, ending = text[: stated.start], text[stated.end : stated.end + 2]
    if opening.endswith(("'", '"', "`")):
        return opening, ending if ending[:1] == opening[-1] else f"{opening[-1]} "
    return (opening, ending) if opening and re.match(r"\s", ending) else _OPENING


class _Closed:
    """A `Constraint`: anything, up to a character's appearance after some that are expected."""

    def __init__(self, prompts: PaperPrompts, character: str, expected: int) -> None:
        self._expected = expected
        self._none: IdArray = np.empty(0, dtype=np.int64)

        @cache
        def count(id_: int) -> int:
            return prompts.decode([id_]).count(character)

        self._count = count

    def start(self) -> int:
        return 0

    def advance(self, state: int, id_: int) -> int:
        return state + self._count(id_)

    def allowed(self, state: int) -> IdArray | None:
        return None if state <= self._expected else self._none


class DecoderText:
    """A loaded model as a `TextModel`.

    Args:
        decoder: owned from here on.
    """

    def __init__(self, decoder: Decoder, prompts: PaperPrompts) -> None:
        self.decoder, self.prompts = decoder, prompts
        self.context = decoder.context
        self.reader = Reader(decoder, prompts)

    def close(self) -> None:
        """Free the model."""
        self.decoder.close()

    def write(self, prompt: str, num: int, options: WriteOptions) -> list[Written]:
        """Return up to `num` distinct answers."""
        opening, stop = options.opening, options.stop[:1]
        given = self._opening_ids(opening)
        ids = [*self.prompts.prompt_ids(prompt), *given]
        room = answer_room(self.context, len(ids), options.max_tokens)
        missing = opening[len(self.prompts.decode(given)) :]
        found = generate(
            self.decoder.start(ids),
            num,
            end=self.prompts.end,
            max_tokens=room,
            constraint=_Closed(self.prompts, stop, missing.count(stop)) if stop else None,
            temperature=options.temperature,
            seed=options.seed,
        )
        answers: dict[str, Written] = {}
        for finding in found:
            text = self.prompts.decode([*given, *finding.ids])
            if stop and (end := text.find(stop, len(opening))) >= 0:
                text = text[:end]
            written = Written(
                text=text,
                log_probability=finding.log_probability,
                num_tokens=len(given) + len(finding.ids),
                finished=finding.finished,
            )
            answers.setdefault(text, written)
        return list(answers.values())

    def choose(
        self, prompt: str, answers: Sequence[str], num: int, *, opening: str, seed: int = 0
    ) -> list[tuple[int, float]]:
        """Return the most probable of some answers, exactly; `seed` has no influence."""
        trie = TokenTrie([self.prompts.encode(answer) for answer in answers])
        ids = self.prompts.prompt_ids(prompt)
        answer_room(self.context, len(ids), trie.depth)
        found = most_probable(self.decoder.start(ids), trie, num)
        return [(trie.find(finding.ids), finding.log_probability) for finding in found]

    def _opening_ids(self, opening: str) -> list[int]:
        """Return the ids that all answers share which begin so: its last letters may merge."""
        if not opening:
            return []
        group, *others = (self.prompts.encode(opening + end) for end in ("function", "module", "x"))
        shared = 0
        while all(len(ids) > shared and ids[shared] == group[shared] for ids in (group, *others)):
            shared += 1
        return group[:shared]
