"""Compact prompts: from a stage sample to token ids, and from answers back to their fields.

With special tokens (`model.special`) for everything but code and numbers; a pass is one token::

    pretraining   <begin> <task> <target> | CODE <end>
    emulation     <begin> <task> <target> <passes> P.. <count> N <size> N <text-data> N
                  <code> IR <answer> | <count> N <size> N <text-data> N <code> CODE <end>
                  to IR, both are in the short form of one function (`dataset.lifting.emulation`)
    flag-tuning   <begin> <task> <target> <size> N <sketch> SKETCH <answer>
                  | <passes> P.. <size> N <size> N <text-data> N <text-data> N <end>
                  | <nothing-better> <size> N <text-data> N <end>
                  or, in rounds with the compiler: <passes> P.. <size> <change> <passes> P.. ..
    disassembly   <begin> <task> <target> <code> ASSEMBLY <answer> | <code> IR <end>
                  both in the short form of one function (`dataset.lifting.assembly`)
    repair        <begin> <task> <target> <code> ASSEMBLY <attempt> IR <report> TEXT <answer>
                  | <code> IR <end>
    finish        <begin> <task> <target> <code> ASSEMBLY <draft> IR <answer> | <code> IR <end>
                  the draft is what rules have made of the assembly (`disassembly.finishing`)

What stands after the bar is the answer, which the loss is taken on; sizes of flag tuning are
before, then after. In rounds the model says the list up to ``<size>``, and the compiler says what
became of the size (`special.change_place`); then the next list is due. The code that the paper's
answers end with is left out: a sketch does not tell it. Numbers are digits. `parse_answer` is the
inverse: it gives the sample's fields.

What exceeds the context:

* pretraining: the text is cut into pieces of as many tokens as fit; all but the first have
  ``<continued>`` after the target, only the last ends with ``<end>``. A last piece shorter than
  16 tokens is left out.
* flag-tuning: the prompt keeps the beginning of its sketch (`model.sketch`), with ``<cut>`` after.
* emulation and disassembly: no document; half an answer teaches that code ends anywhere. Nor has
  code a document that the short form has no word for, nor a module with several functions.

For the tokenizers of other models, `PaperPrompts` writes the paper's prompts. Knows nothing of
tensors.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.emulation import shorten_module
from llm_compiler.dataset.lifting.strip import body_of
from llm_compiler.dataset.stage_sample import StageSample, render_paper
from llm_compiler.errors import ConfigError, InputError, TokenizerMismatch, UnknownPass
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.model.sketch import sketch
from llm_compiler.model.special import (
    FIELDS,
    change_place,
    change_token,
    field_token,
    target_token,
    task_token,
)
from llm_compiler.model.tokenizer import (
    PASSES_FILE,
    TOKENIZER_FILE,
    IrTokenizer,
)
from llm_compiler.model.trained import TRAINING_FILE
from llm_compiler.records import content_hash

__all__ = [
    "Answer",
    "CompactPrompts",
    "Document",
    "PaperPrompts",
    "Prompts",
    "encoded_texts",
    "load_prompts",
    "parse_answer",
]

MIN_PIECE = 16
"""Tokens; a shorter last piece of a long text is left out."""
_MIN_PROMPT_CODE = 64


@dataclass(frozen=True, slots=True)
class Document:
    """Token ids that belong together; the loss is on those from `answer_start` on."""

    ids: Sequence[int] = field(repr=False)
    answer_start: int

    @property
    def prompt(self) -> Sequence[int]:
        """What is given."""
        return self.ids[: self.answer_start]

    @property
    def answer(self) -> Sequence[int]:
        """What is learnt."""
        return self.ids[self.answer_start :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an answer states, by the names of `StageSample`; None where it does not say."""

    improves: bool = True
    passes: str = ""
    """The pass list of a flag-tuning answer, canonical."""
    output_code: str | None = field(default=None, repr=False)
    num_instructions_after: int | None = None
    size_bytes_before: int | None = None
    size_bytes_after: int | None = None
    text_data_bytes_before: int | None = None
    text_data_bytes_after: int | None = None


class Prompts(Protocol):
    """From samples to documents, for one tokenizer."""

    @property
    def fingerprint(self) -> str:
        """Names what the ids depend on: the tokenizer, and how prompts are written."""
        ...

    @property
    def tokenizer_fingerprint(self) -> str:
        """Names the tokenizer."""
        ...

    @property
    def vocab_size(self) -> int:
        """All ids are below it."""
        ...

    def documents(self, sample: StageSample, context: int) -> list[Document]:
        """Return a sample's documents, each of at most `context` tokens; none if it is too long."""
        ...

    def save(self, folder: Path) -> None:
        """Copy the tokenizer's files."""
        ...


class CompactPrompts:
    """The prompts of our own models."""

    version: Final = "compact prompts, version 4"

    def __init__(self, tokenizer: IrTokenizer) -> None:
        self.tokenizer = tokenizer
        self.fingerprint = content_hash(f"{self.version} {tokenizer.fingerprint}".encode())
        self._field = {name: tokenizer.special(field_token(name)) for name in FIELDS}

    @property
    def tokenizer_fingerprint(self) -> str:
        """Names the tokenizer."""
        return self.tokenizer.fingerprint

    @property
    def vocab_size(self) -> int:
        """All ids are below it."""
        return self.tokenizer.vocab_size

    def save(self, folder: Path) -> None:
        """Copy the tokenizer's files."""
        self.tokenizer.save(folder)

    def documents(self, sample: StageSample, context: int) -> list[Document]:
        """Return a sample's documents; the module's docstring says what becomes of long ones."""
        if sample.stage == "pretraining":
            return self._pieces(sample, context)
        try:
            sample = _shortened(sample)
        except InputError:
            return []
        prompt, head = self._prompt(sample), self._answer_head(sample)
        answer = [*head, self.tokenizer.end]
        if sample.stage != "flag-tuning":
            answer[-1:-1] = self._code(sample.output_code)
        if len(prompt) + len(answer) <= context:
            return [Document([*prompt, *answer], len(prompt))]
        if sample.stage != "flag-tuning":
            return []
        prompt = self._cut_prompt(prompt, context - len(answer))
        return [Document([*prompt, *answer], len(prompt))] if prompt else []

    def prompt(self, sample: StageSample) -> list[int]:
        """Return the ids up to the answer, of any length; the answer's fields are not read.

        Raises:
            InputError: emulation, disassembly: the short form has no word for the code.
        """
        return self._prompt(_shortened(sample, answer=False))

    def _prompt(self, sample: StageSample) -> list[int]:
        """Return the ids up to the answer; the code is in short form already."""
        ids = self._begin(sample)
        if sample.stage == "pretraining":
            return ids
        if sample.stage == "emulation":
            ids += self.pass_ids(sample.passes)
            ids += self._number("count", sample.num_instructions_before)
            ids += self._number("size", sample.size_bytes_before)
            ids += self._number("text-data", sample.text_data_bytes_before)
        if sample.stage == "flag-tuning":
            ids += self._number("size", sample.size_bytes_before)
            ids += [self._field["sketch"], *self.tokenizer.encode(sketch(sample.input_code))]
        else:
            ids += self._code(sample.input_code)
        for name, text in _more_fields(sample):
            ids += [self._field[name], *self.tokenizer.encode(text)]
        return [*ids, self._field["answer"]]

    def round_ids(self, passes: str, size_bytes: int, oz_size_bytes: int) -> list[int]:
        """Return a finished round of flag tuning: a list and what it made of the size.

        Args:
            size_bytes: negative if the list failed on the module.
            oz_size_bytes: at default<Oz>.
        """
        change = self.tokenizer.special(change_token(change_place(size_bytes, oz_size_bytes)))
        return [*self.pass_ids(passes), self._field["size"], change]

    def fit_prompt(self, sample: StageSample, room: int) -> list[int]:
        """Return the prompt in at most `room` tokens, its code cut if need be.

        Raises:
            ConfigError: `room` is too small for anything.
        """
        prompt = self.prompt(sample)
        if len(prompt) > room and not (prompt := self._cut_prompt(prompt, room)):
            raise ConfigError(f"a context of {room} tokens holds no prompt")
        return prompt

    def pass_ids(self, passes: str) -> list[int]:
        """Return ``<passes>`` and the list, a token for each element that has a token."""
        ids = [self._field["passes"]]
        for element in parse_pass_list(passes).elements:
            if (id_ := self.tokenizer.pass_id(element)) is not None:
                ids.append(id_)
            else:
                ids += [self._field["pass-text"], *self.tokenizer.encode(element)]
        return ids

    def _begin(self, sample: StageSample) -> list[int]:
        special = self.tokenizer.special
        task, target = task_token(sample.task), target_token(sample.target_triple)
        return [self.tokenizer.begin, special(task), special(target)]

    def _number(self, name: str, value: int) -> list[int]:
        return [self._field[name], *self.tokenizer.encode_number(value)]

    def _code(self, code: str) -> list[int]:
        return [self._field["code"], *self.tokenizer.encode(code)]

    def _answer_head(self, sample: StageSample) -> list[int]:
        """Return the answer up to its code."""
        size, text_data = "size", "text-data"
        if sample.stage == "emulation":
            return [
                *self._number("count", sample.num_instructions_after),
                *self._number(size, sample.size_bytes_after),
                *self._number(text_data, sample.text_data_bytes_after),
            ]
        if sample.stage == "disassembly":
            return []
        before = sample.size_bytes_before, sample.text_data_bytes_before
        if not sample.improves:
            return [
                self._field["nothing-better"],
                *self._number(size, before[0]),
                *self._number(text_data, before[1]),
            ]
        return [
            *self.pass_ids(sample.passes),
            *self._number(size, before[0]),
            *self._number(size, sample.size_bytes_after),
            *self._number(text_data, before[1]),
            *self._number(text_data, sample.text_data_bytes_after),
        ]

    def _cut_prompt(self, prompt: list[int], room: int) -> list[int]:
        start = prompt.index(self._field["sketch" if self._field["sketch"] in prompt else "code"])
        if room < start + _MIN_PROMPT_CODE:
            return []
        return [*prompt[: room - 2], self._field["cut"], self._field["answer"]]

    def _pieces(self, sample: StageSample, context: int) -> list[Document]:
        begin = self._begin(sample)
        ids = [*self.tokenizer.encode(sample.output_code), self.tokenizer.end]
        pieces = []
        start = 0
        while start < len(ids):
            head = [*begin, self._field["continued"]] if start else begin
            piece = ids[start : start + context - len(head)]
            start += len(piece)
            if len(head) == len(begin) or len(piece) >= MIN_PIECE:
                pieces.append(Document([*head, *piece], len(head)))
        return pieces


def _more_fields(sample: StageSample) -> tuple[tuple[str, str], ...]:
    """Return what a prompt holds after the code: fields and their texts."""
    if sample.task == "repair":
        return ("attempt", sample.attempt), ("report", sample.report)
    return (("draft", sample.attempt),) if sample.task == "finish" else ()


def encoded_texts(sample: StageSample) -> list[str]:
    """Return the texts of a sample that `CompactPrompts` encodes, of any length.

    What a tokenizer for them is trained on. Empty where the short form has no word for the code.
    """
    try:
        short = _shortened(sample)
    except InputError:
        return []
    more = [text for _, text in _more_fields(short)]
    if short.stage == "flag-tuning":
        return [sketch(short.input_code)]
    return [text for text in (short.input_code, *more, short.output_code) if text]


def _shortened(sample: StageSample, *, answer: bool = True) -> StageSample:
    """Return a sample with its code in short form, where its task has one.

    Raises:
        InputError: the code has none.
    """
    if sample.stage == "disassembly":
        assembly = shorten_assembly(sample.input_code, sample.target_triple)
        body = body_of(sample.output_code, dict(assembly.symbols)) if answer else ""
        return dataclasses.replace(sample, input_code=assembly.text, output_code=body)
    if sample.task == "emulate-ir":
        module = shorten_module(sample.input_code)
        body = module.shorten(sample.output_code) if answer else ""
        return dataclasses.replace(sample, input_code=module.body, output_code=body)
    return sample


def parse_answer(ids: Sequence[int], tokenizer: IrTokenizer) -> Answer:
    """Return what an answer of a compact prompt states; the inverse of `CompactPrompts`.

    Args:
        ids: from after the prompt on; what follows the first ``<end>`` is not read.

    Raises:
        InputError: it is not of the grammar (an unfinished answer is, if a field has ended).
    """
    end = tokenizer.end
    names = {tokenizer.special(field_token(name)): name for name in FIELDS}
    fields: list[tuple[str, list[int]]] = []
    passes: list[str] = []
    finished = False
    for id_ in ids:
        if id_ == end:
            finished = True
            break
        if (element := tokenizer.pass_of(id_)) is not None:
            if not fields or fields[-1][0] not in ("passes", "pass-text"):
                raise InputError(f"the answer has the pass '{element}' outside a pass list")
            _close_pass_text(fields, passes, tokenizer)
            passes.append(element)
        elif id_ in names:
            _close_pass_text(fields, passes, tokenizer)
            fields.append((names[id_], []))
        elif id_ < tokenizer.num_specials:
            raise InputError(f"the answer has '{tokenizer.decode([id_])}', which is no field")
        elif not fields:
            raise InputError("the answer begins with text instead of a field")
        elif fields[-1][0] == "passes":
            raise InputError("the answer has text in a pass list")
        else:
            fields[-1][1].append(id_)
    _close_pass_text(fields, passes, tokenizer)
    values: dict[str, list[int]] = {}
    code: str | None = None
    for position, (name, content) in enumerate(fields):
        if name == "code":
            code = tokenizer.decode(content) if finished else None
        elif name in ("count", "size", "text-data"):
            if not finished and position == len(fields) - 1:
                continue  # more digits may have been meant
            digits = tokenizer.decode(content)
            if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
                raise InputError(f"the answer gives '{digits[:40]}' as {name}")
            values.setdefault(name, []).append(int(digits))
    stated = {name for name, _ in fields}
    tuning = bool(stated & {"passes", "nothing-better"})
    sizes, text_data = values.get("size", []), values.get("text-data", [])
    if max(len(sizes), len(text_data)) > 1 + tuning:
        raise InputError("the answer states a size too often")
    return Answer(
        improves="nothing-better" not in stated,
        passes=",".join(passes),
        output_code=code,
        num_instructions_after=next(iter(values.get("count", [])), None),
        size_bytes_before=sizes[0] if tuning and sizes else None,
        size_bytes_after=_after(sizes, tuning),
        text_data_bytes_before=text_data[0] if tuning and text_data else None,
        text_data_bytes_after=_after(text_data, tuning),
    )


def _after(values: list[int], tuning: bool) -> int | None:
    return values[tuning] if len(values) > tuning else None


def _close_pass_text(
    fields: list[tuple[str, list[int]]], passes: list[str], tokenizer: IrTokenizer
) -> None:
    """Take in a pass that was spelled out, now that the next field begins."""
    if not fields or fields[-1][0] != "pass-text":
        return
    text = tokenizer.decode(fields.pop()[1])
    try:
        passes.extend(parse_pass_list(text).elements)
    except UnknownPass as error:
        raise InputError(f"the answer names no known pass: {error}") from error
    if not fields or fields[-1][0] != "passes":
        raise InputError(f"the answer has the pass '{text[:80]}' outside a pass list")


class PaperPrompts:
    """The paper's prompts, for a tokenizer in Hugging Face's format such as Code Llama's.

    A document is ``<s>``, prompt, blank, answer, ``</s>``. Of pretraining, longer texts are cut
    into pieces; of the instruction stages, longer documents are left out.

    Raises:
        TokenizerMismatch: the folder holds no tokenizer with ``<s>`` and ``</s>``.
    """

    version: Final = "paper prompts, version 1"

    def __init__(self, folder: Path) -> None:
        import tokenizers

        self.folder = folder
        try:
            data = (folder / TOKENIZER_FILE).read_bytes()
            self._tokenizer: Any = tokenizers.Tokenizer.from_str(data.decode())
        except Exception as error:  # tokenizers raises plain exceptions
            raise TokenizerMismatch(f"{folder} holds no readable tokenizer: {error}") from error
        self.tokenizer_fingerprint = content_hash(data)
        self.fingerprint = content_hash(f"{self.version} {self.tokenizer_fingerprint}".encode())
        self.vocab_size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self.begin, self.end = (self._special(token) for token in ("<s>", "</s>"))

    def __reduce__(self) -> tuple[Any, ...]:
        return PaperPrompts, (self.folder,)

    def _special(self, token: str) -> int:
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None:
            raise TokenizerMismatch(f"the tokenizer in {self.folder} has no token {token}")
        return found

    def documents(self, sample: StageSample, context: int) -> list[Document]:
        """Return a sample's documents."""
        prompt_text, answer_text = render_paper(sample)
        prompt = self.prompt_ids(prompt_text)
        answer = [*self.encode(answer_text), self.end]
        if sample.stage != "pretraining":
            ids = [*prompt, *answer]
            return [Document(ids, len(prompt))] if len(ids) <= context else []
        room = context - 1
        pieces = [answer[start : start + room] for start in range(0, len(answer), room)]
        return [
            Document([self.begin, *piece], 1)
            for place, piece in enumerate(pieces)
            if place == 0 or len(piece) >= MIN_PIECE
        ]

    def save(self, folder: Path) -> None:
        """Copy the tokenizer's files."""
        for path in self.folder.glob("*token*"):
            (folder / path.name).write_bytes(path.read_bytes())

    def prompt_ids(self, text: str) -> list[int]:
        """Return the ids of a prompt, up to its answer's first token."""
        return [self.begin, *(self.encode(text) if text else ())]

    def encode(self, text: str) -> list[int]:
        """Return the ids of an answer, or of the beginning of an answer."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


def load_prompts(folder: Path) -> CompactPrompts | PaperPrompts:
    """Return the prompts that a tokenizer's folder asks for: our own, or the paper's.

    Raises:
        TokenizerMismatch: it holds no tokenizer, or a checkpoint with another tokenizer than it was
            trained with.
    """
    if (folder / PASSES_FILE).is_file():
        prompts = CompactPrompts(IrTokenizer(folder))
        trained_with = _trained_with(folder)
        if trained_with not in (None, prompts.tokenizer_fingerprint):
            raise TokenizerMismatch(
                f"{folder} was trained with another tokenizer: copy the checkpoint's folder whole"
            )
        return prompts
    return PaperPrompts(folder)


def _trained_with(folder: Path) -> str | None:
    """Return the fingerprint of a checkpoint's tokenizer, where the checkpoint tells it."""
    try:
        found = json.loads((folder / TRAINING_FILE).read_bytes())["identity"]["tokenizer"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)
