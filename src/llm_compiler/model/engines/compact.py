"""Our own models' answers, on any runtime: compact prompts in, `Decoder` in between, fields out.

`CompactEngine` is whole but for the decoder: `embedded` and `transformers` make theirs and hand it
over. Knows nothing of weights, tensors or LLVM. Not thread-safe.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.check import BodyChecker, BodyState
from llm_compiler.dataset.lifting.emulation import shorten_module, split_module
from llm_compiler.dataset.lifting.module_text import build_module_text
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.errors import CheckpointMismatch, ConfigError, InputError
from llm_compiler.model.decoding import Decoder, DecodingState, Finding, IdArray
from llm_compiler.model.engines.engine import BaseEngine, Reader
from llm_compiler.model.engines.requests import (
    Capability,
    CodeAnswer,
    Emulate,
    Lift,
    Proposal,
    Propose,
)
from llm_compiler.model.generation import generate
from llm_compiler.model.prompts import Answer, CompactPrompts, parse_answer
from llm_compiler.model.ranking import TokenTrie, beams, most_probable
from llm_compiler.model.special import field_token, registry_passes
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.model.trained import trained_tasks
from llm_compiler.records import PassList

__all__ = [
    "AnswerChecker",
    "AnswerGrammar",
    "CompactEngine",
    "PassGrammar",
    "max_digits",
    "pass_trie",
]

_BLOCK_ENDS: Final = re.compile(r"^(?:L\d+:|j\w+ |b(?:\.\w+)? L|t?cbn?z |tbn?z )", re.MULTILINE)
"""Labels and jumps of assembly in short form."""
_IR_LABEL: Final = re.compile(r'^[-\w$."]+:', re.MULTILINE)
"""Passes made at most twice as many and 8 of 15,212 samples' blocks."""
MAX_NOVEL_PASSES: Final = 24
"""Elements of a new list; the labels' lists have 4 on average."""
_MIN_WIDTH = 8
_MIN_BEAMS: Final = 4
"""Where the greedy text cannot be finished."""
_MAX_BEAM_PROMPT: Final = 512
"""Tokens of a prompt of emulation for which beams are tried."""
_MAX_ANSWER_TOKENS: Final = {"disassembly": (96, 2.5), "emulation": (128, 1.5)}
"""A number, and a number for each token of the prompt: a longer text has lost its way. Of 34,187
lifts of training packages 31 are longer, of 22,000 samples of emulation none."""
_MAX_DIGITS = 18
_NUMBERS: Final = ("count", "size", "text-data")
_MAX_NUMBER_TOKENS: Final = 48


def pass_trie(lists: Sequence[PassList], prompts: CompactPrompts) -> TokenTrie:
    """Return the trie of lists as they stand after ``<passes>``, each ended by ``<size>``.

    Raises:
        UnknownPass: an element is not canonical.
    """
    return TokenTrie([_list_ids(recipe, prompts) for recipe in lists])


def _list_ids(passes: PassList, prompts: CompactPrompts) -> list[int]:
    return [*prompts.pass_ids(passes.pipeline)[1:], prompts.tokenizer.special(field_token("size"))]


class PassGrammar:
    """Well-formed lists of safe passes, as they stand after ``<passes>``: a `Constraint`.

    A state is how many passes there are; -1 after the ``<size>`` that ends the list.
    """

    def __init__(self, tokenizer: IrTokenizer, max_passes: int) -> None:
        self._tokenizer = tokenizer
        ids = [tokenizer.pass_id(pass_list) for pass_list in registry_passes()]
        self._end = tokenizer.special(field_token("size"))
        self.tokens: IdArray = np.array(sorted([self._end, *(i for i in ids if i is not None)]))
        """All that it ever allows."""
        self._max_passes = max_passes

    def pass_list(self, ids: Sequence[int]) -> PassList:
        """Return the list that a sequence of the grammar means."""
        elements = (self._tokenizer.pass_of(id_) for id_ in ids)
        return PassList(tuple(element for element in elements if element is not None))

    def start(self) -> int:
        """Return the state of the empty list."""
        return 0

    def advance(self, state: int, id_: int) -> int:
        """Return the state after a pass or the end."""
        return -1 if id_ == self._end else state + 1

    def allowed(self, state: int) -> IdArray:
        """Return passes and end."""
        if state < 0:
            return self.tokens[:0]
        return self.tokens if state < self._max_passes else np.array([self._end])


def max_digits(sample: StageSample) -> int:
    """Return the digits of what may be said of a sample's sizes: not 100 times those before."""
    before = (
        sample.num_instructions_before,
        sample.size_bytes_before,
        sample.text_data_bytes_before,
    )
    return len(str(max(1, *before))) + 1


class AnswerGrammar:
    """Answers with code: numbers, if any, in their order, then ``<code>``, text, ``<end>``.

    A state is the number of fields that have begun, and the digits of the last number.
    """

    def __init__(
        self, tokenizer: IrTokenizer, numbers: Sequence[str], max_digits: int = _MAX_DIGITS
    ) -> None:
        self._max_digits = max_digits
        self._fields = [tokenizer.special(field_token(word)) for word in (*numbers, "code")]
        self._end = tokenizer.end
        self._digits = np.array(sorted(tokenizer.encode_number(1234567890)))
        self._text = np.arange(tokenizer.num_specials, tokenizer.vocab_size)
        self._specials = {*self._fields, self._end}
        self._text_or_end = np.array(sorted((self._end, *self._text.tolist())))

    def start(self) -> tuple[int, int]:
        """Return the state before the first field."""
        return 0, 0

    def advance(self, state: tuple[int, int], id_: int) -> tuple[int, int]:
        """Return the state after a field's token or its content."""
        begun, digits = state
        if id_ == self._end:
            return -1, 0
        return (
            (begun + 1, 0) if id_ in self._specials else (begun, min(digits + 1, self._max_digits))
        )

    def allowed(self, state: tuple[int, int]) -> IdArray:
        """Return what may follow."""
        begun, digits = state
        if begun < 0:
            return self._digits[:0]
        if begun == 0:
            return np.array(self._fields[:1])
        if begun == len(self._fields):
            return self._text_or_end
        if digits == 0:
            return self._digits
        following = np.array(self._fields[begun : begun + 1])
        return following if digits == self._max_digits else np.union1d(following, self._digits)


class AnswerChecker:
    """Answers whose code is a function's body in short form: a `Checker`.

    A state is what stands there of the body; None in front of ``<code>``.

    """

    def __init__(self, tokenizer: IrTokenizer, body: BodyChecker) -> None:
        self._tokenizer, self._body = tokenizer, body
        self._code, self._end = tokenizer.special(field_token("code")), tokenizer.end

    def start(self) -> _Checked:
        """Return the state before the first field."""
        return _Checked(None)

    def step(self, state: _Checked, id_: int) -> _Checked | None:
        """Return the state after a token, if a well-formed body may go on so."""
        if id_ == self._code:
            return _Checked(self._body.start())
        if state.body is None:
            return state
        if id_ == self._end:
            return state if state.body.is_complete else None
        body = self._body.feed(state.body, self._tokenizer.decode([id_]))
        return None if body is None else _Checked(body)


@dataclass(frozen=True, slots=True)
class _Checked:
    body: BodyState | None


class CompactEngine(BaseEngine):
    """An `Engine` of a model that reads compact prompts.

    Args:
        decoder: the loaded model, owned from here on: `close` closes it.
        constrain: hold IR to what is well-formed, as far as `AnswerChecker` sees it.

    Raises:
        CheckpointMismatch: model and tokenizer have vocabularies of different size.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: CompactPrompts,
        *,
        name: str,
        model: str,
        constrain: bool = True,
    ) -> None:
        if decoder.vocab_size != prompts.vocab_size:
            decoder.close()
            raise CheckpointMismatch(
                f"{model}: the model has {decoder.vocab_size} tokens, its tokenizer "
                f"{prompts.vocab_size}: they do not belong together"
            )
        self.name, self.model, self.constrain = name, model, constrain
        self.decoder = decoder
        self.prompts = prompts
        # Rounds with the compiler ask again about the same module, with ever fewer of the lists.
        self._list_ids = lru_cache(maxsize=65_536)(partial(_list_ids, prompts=prompts))
        self._prompt_ids = lru_cache(maxsize=16)(prompts.prompt)
        self.context = decoder.context
        self.reader = Reader(decoder, prompts)
        learnt = trained_tasks(model) or frozenset()
        self.capabilities = frozenset(
            {Capability.PROPOSE, Capability.LIFT, Capability.EMULATE}
            | ({Capability.FINISH} & {*learnt})
        )

    def close(self) -> None:
        """Free the model."""
        self.decoder.close()

    def propose(self, request: Propose) -> list[Proposal]:
        """Return distinct pass lists, the most probable first; `seed` has no influence.

        Of `lists` these are exactly the most probable ones; without, those a beam search finds.
        """
        num, lists = request.num_candidates, request.open_lists
        if num < 1 or (lists is not None and not lists):
            return []
        sample = _sample(
            "flag-tuning",
            request.target_triple,
            input_code=request.code,
            size_bytes_before=request.oz_size_bytes,
        )
        opening = [self.prompts.tokenizer.special(field_token("passes"))]
        for recipe, size_bytes in reversed(request.tried):
            opening[:0] = self.prompts.round_ids(recipe.pipeline, size_bytes, request.oz_size_bytes)
        if lists is None:
            return self._novel(
                sample, opening, num, {each_recipe for each_recipe, _ in request.tried}
            )
        trie = TokenTrie([self._list_ids(each_recipe) for each_recipe in lists])
        state = self._start(sample, opening, trie.depth)
        return [
            Proposal(passes=lists[trie.find(finding.ids)], log_probability=finding.log_probability)
            for finding in most_probable(state, trie, num)
        ]

    def lift(self, request: Lift) -> list[CodeAnswer]:
        """Return modules for assembly in normal form, distinct; the first is the greedy answer.

        The model answers with the body of a function; the rest of the module is restored by rule.
        None for assembly that the short form has no word for.
        """
        sample = _sample(
            "disassembly",
            request.target_triple,
            task="finish" if request.draft else "",
            input_code=request.assembly,
            attempt=request.draft,
        )
        found = self._lift(sample, request)
        return [
            code_answer
            for code_answer in found
            if not request.draft or code_answer.body != request.draft
        ]

    def _lift(self, sample: StageSample, request: Lift) -> list[CodeAnswer]:
        try:
            short = shorten_assembly(sample.input_code, sample.target_triple)
        except InputError:
            return []
        checker = BodyChecker(
            [shortened for _, shortened in short.symbols],
            # Bodies have values and blocks in proportion to the assembly.
            2 * short.text.count("\n") + 16,
            len(_BLOCK_ENDS.findall(short.text)) + 6,
        )
        answers = []
        for answer in self._answers(
            sample,
            (),
            request.num_candidates,
            request.temperature,
            request.seed,
            checker,
            seconds=request.seconds,
        ):
            try:
                code = build_module_text(answer.code, short)
            except InputError:
                continue
            answers.append(dataclasses.replace(answer, code=code, body=answer.code))
        return answers

    def emulate(self, request: Emulate) -> list[CodeAnswer]:
        """Return the code that a pass list makes of a module, as the model predicts it.

        IR is predicted function by function, in short form: what passes do across functions is not
        seen. Sizes are stated for modules of one function.
        """
        found = self._numbers(request) if request.only_numbers else self._emulated(request)
        return [] if found is None else [found]

    def _numbers(self, request: Emulate) -> CodeAnswer | None:
        """Return what the model states before the code, which is not waited for."""
        sample = _emulation_sample(request, request.code, 1.0)
        tokenizer = self.prompts.tokenizer
        try:
            prompt = self.prompts.prompt(sample)
        except InputError:
            # Our models are asked function by function, and state sizes of one only.
            return None
        if len(prompt) + _MAX_NUMBER_TOKENS > self.context:
            return None
        found = generate(
            self.decoder.start(prompt),
            1,
            end=tokenizer.special(field_token("code")),
            max_tokens=_MAX_NUMBER_TOKENS,
            constraint=AnswerGrammar(tokenizer, _NUMBERS, max_digits(sample)),
        )
        try:
            parsed = parse_answer([*found[0].ids, tokenizer.end], tokenizer)
        except (IndexError, InputError):
            return None
        return CodeAnswer(
            code="",
            num_instructions=parsed.num_instructions_after,
            size_bytes=parsed.size_bytes_after,
            text_data_bytes=parsed.text_data_bytes_after,
        )

    def _emulated(self, request: Emulate) -> CodeAnswer | None:
        code, assembly = request.code, request.assembly
        around, definitions = ("", [code]) if assembly else split_module(code)
        lengths = [word.count("\n  ") for word in definitions]
        parts: list[CodeAnswer] = []
        text = code
        for definition, length in zip(definitions, lengths, strict=True):
            share = length / max(1, sum(lengths)) if len(definitions) > 1 else 1.0
            sample = _emulation_sample(request, around + definition, share)
            try:
                blocks = 1 + len(_IR_LABEL.findall(definition))
                checker = None if assembly else BodyChecker(None, 4 * length + 64, 2 * blocks + 16)
                found = self._answers(sample, _NUMBERS, 1, 0.0, 0, checker)
                if not found:
                    return None
                if not assembly:
                    text = shorten_module(text, function=definition).restore(found[0].code)
            except InputError:
                return None
            parts.append(found[0])
        if not parts:
            return None
        if len(parts) == 1:
            return parts[0] if assembly else dataclasses.replace(parts[0], code=text)
        counts = [part.num_instructions for part in parts]
        return CodeAnswer(
            code=text,
            log_probability=sum(part.log_probability for part in parts),
            num_tokens=sum(part.num_tokens for part in parts),
            num_instructions=None if None in counts else sum(count or 0 for count in counts),
            size_bytes=None,
            text_data_bytes=None,
        )

    def _novel(
        self, sample: StageSample, opening: list[int], num: int, known: set[PassList]
    ) -> list[Proposal]:
        """Return lists of any safe passes; which of them are safe as lists, only tests show."""
        grammar = PassGrammar(self.prompts.tokenizer, MAX_NOVEL_PASSES)
        state = self._start(sample, opening, MAX_NOVEL_PASSES + 1)
        found = beams(
            state,
            grammar,
            grammar.tokens,
            num + len(known),
            width=max(num + len(known), _MIN_WIDTH),
            max_tokens=MAX_NOVEL_PASSES + 1,
        )
        proposals = [
            Proposal(passes=grammar.pass_list(finding.ids), log_probability=finding.log_probability)
            for finding in found
        ]
        return [proposal for proposal in proposals if proposal.passes not in known][:num]

    def _start(self, sample: StageSample, opening: Sequence[int], answer: int) -> DecodingState:
        """Read a prompt, cut as need be, and what of the answer is given already."""
        room = self.context - len(opening) - answer
        prompt = self._prompt_ids(sample)
        if len(prompt) > room:
            try:
                prompt = self.prompts.fit_prompt(sample, room)
            except ConfigError as error:
                raise CheckpointMismatch(f"{self.model}: {error}") from error
        return self.decoder.start([*prompt, *opening])

    def _answers(
        self,
        sample: StageSample,
        numbers: Sequence[str],
        num: int,
        temperature: float,
        seed: int,
        checker: BodyChecker | None = None,
        *,
        seconds: float = 0.0,
    ) -> list[CodeAnswer]:
        prompt = self.prompts.prompt(sample)
        fixed, each = _MAX_ANSWER_TOKENS[sample.stage]
        room = min(self.context - len(prompt), fixed + int(each * len(prompt)))
        if num < 1 or room < 2:
            return []
        constrained = checker is not None and self.constrain
        # An emulated text that goes on and on does so in every beam; beams of long ones take half a
        # minute, and are hardly ever right.
        emulated = sample.stage == "emulation"
        endless = room if emulated else self.context
        retries = constrained and num == 1 and not (emulated and len(prompt) > _MAX_BEAM_PROMPT)
        found: list[Finding] = []
        # Held to what is well-formed, the greedy text may come to where nothing can follow.
        for width in (num, _MIN_BEAMS) if retries else (num,):
            found = generate(
                self.decoder.start(prompt),
                width,
                end=self.prompts.tokenizer.end,
                max_tokens=room,
                constraint=AnswerGrammar(self.prompts.tokenizer, numbers, max_digits(sample)),
                checker=AnswerChecker(self.prompts.tokenizer, checker)
                if checker is not None and constrained
                else None,
                temperature=temperature,
                seed=seed,
                seconds=seconds,
            )[:num]
            if found and (found[0].finished or len(found[0].ids) >= endless):
                break
        answers: dict[str, CodeAnswer] = {}
        for finding in found:
            parsed = self._parse(finding)
            if parsed is not None and parsed.output_code is not None:
                answer = CodeAnswer(
                    code=parsed.output_code,
                    log_probability=finding.log_probability,
                    num_tokens=len(finding.ids),
                    num_instructions=parsed.num_instructions_after,
                    size_bytes=parsed.size_bytes_after,
                    text_data_bytes=parsed.text_data_bytes_after,
                )
                answers.setdefault(answer.code, answer)
        return list(answers.values())

    def _parse(self, found: Finding) -> Answer | None:
        if not found.finished:
            return None
        try:
            return parse_answer(found.ids, self.prompts.tokenizer)
        except InputError:
            return None


def _emulation_sample(request: Emulate, code: str, share: float) -> StageSample:
    """Return the question about code that is some share of the request's."""
    return _sample(
        "emulation",
        request.target_triple,
        task="emulate-assembly" if request.assembly else "emulate-ir",
        input_code=code,
        passes=request.passes.pipeline,
        num_instructions_before=round(share * request.num_instructions),
        size_bytes_before=round(share * request.size_bytes),
        text_data_bytes_before=round(share * request.text_data_bytes),
    )


def _sample(stage: str, target_triple: str, *, task: str = "", **fields: Any) -> StageSample:
    return StageSample(
        stage=stage,
        task=task or stage,
        seed=0,
        index=0,
        draw=0,
        target_triple=target_triple,
        **fields,
    )
