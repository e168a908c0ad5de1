"""Where training's documents come from: token or label shards, stage data, or samples made on the
fly.

A source is read from a position on; the same source gives the same documents at the same position,
which is what an exact resume needs. Stage data and shards come epoch by epoch, each in an order of
its own; samples made on the fly never recur in the emulation stage. Needs numpy.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llm_compiler.dataset.engine import safe_elements
from llm_compiler.dataset.iterable import StageStream
from llm_compiler.dataset.labels import Labels
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stages import Stage, make_stage
from llm_compiler.dataset.stored import StoredStage, is_stored_stage, open_stored_stage
from llm_compiler.dataset.texts import TextSet
from llm_compiler.errors import ArtifactError, ConfigError, TokenizerMismatch
from llm_compiler.model.encode import EncodedShard, encode_samples, encode_shards
from llm_compiler.model.label_shards import (
    MIN_PROMPT_TOKENS,
    LabelledPrompt,
    LabelShards,
    cut_prompt,
    is_label_shards,
)
from llm_compiler.model.prompts import Prompts
from llm_compiler.model.special import change_place
from llm_compiler.model.token_shards import TokenShards, is_token_shards
from llm_compiler.records import content_hash
from llm_compiler.train.configs import DataConfig, LabelConfig
from llm_compiler.train.trees import ListTree, Tree, list_masses, list_savings, rounds_document
from llm_compiler.workers import LocalPool

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = [
    "Encoded",
    "LabelledDocuments",
    "Source",
    "first_documents",
    "open_labels",
    "open_source",
]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A document as an array; the loss is on what follows the prompt."""

    ids: NDArray[numpy.uint16]
    num_prompt: int
    task: int
    """Its place in `model.special.TASKS`."""
    tree: Tree | None = None
    """What stands after the prompt, where it is no sequence."""


class Source(Protocol):
    """Documents by position, endlessly."""

    @property
    def fingerprint(self) -> str:
        """Names the documents and their order."""
        ...

    def read(self, position: int) -> Iterator[list[Encoded]]:
        """Yield the documents of each position from this one on; a position may have none."""
        ...


def _rng(seed: int, name: str, epoch: int) -> numpy.random.Generator:
    import numpy

    key = int(content_hash(f"{name} {seed} {epoch}".encode()), 16)
    return numpy.random.default_rng(key)


class _TokenSource:
    """A document of token shards a position."""

    def __init__(self, shards: TokenShards, seed: int, context: int) -> None:
        self._shards, self._seed, self._context = shards, seed, context
        self.fingerprint = content_hash(f"tokens {shards.fingerprint} {seed} {context}".encode())

    def read(self, position: int) -> Iterator[list[Encoded]]:
        size = len(self._shards)
        epoch, place = divmod(position, size)
        for number in itertools.count(epoch):
            order = _rng(self._seed, "tokens", number).permutation(size)
            for document in order[place:].tolist():
                ids, num_prompt, task = self._shards[document]
                fits = len(ids) <= self._context
                yield [Encoded(ids, num_prompt, task)] if fits else []
            place = 0


class _StoredSource:
    """A sample of stage data a position, encoded in worker processes."""

    def __init__(
        self,
        stored: StoredStage,
        prompts: Prompts,
        tokenizer: Path,
        seed: int,
        context: int,
        num_workers: int,
    ) -> None:
        self._stored, self._tokenizer = stored, tokenizer
        self._seed, self._context, self._num_workers = seed, context, num_workers
        self.fingerprint = content_hash(
            f"stored {stored.identity} {prompts.fingerprint} {seed} {context}".encode()
        )

    def read(self, position: int) -> Iterator[list[Encoded]]:
        counts = self._stored.num_samples
        epoch, place = divmod(position, sum(counts))
        # One stream of shards through all epochs, so that workers never wait for a new one.
        shards, skip = self._order(epoch, place)
        later = (self._order(number, 0)[0] for number in itertools.count(epoch + 1))
        order = itertools.chain([shards], later)
        numbers, paths = itertools.tee(itertools.chain.from_iterable(order))
        encoded = encode_shards(
            (self._stored.paths[shard] for _, shard in paths),
            self._tokenizer,
            self._context,
            num_workers=self._num_workers,
        )
        for (number, shard), encoded_shard in zip(numbers, encoded, strict=True):
            rng = _rng(self._seed, f"shard {shard}", number)
            samples = rng.permutation(counts[shard]).tolist()
            by_sample = _by_sample(encoded_shard)
            for sample in samples[skip:]:
                yield by_sample[sample]
            skip = 0

    def _order(self, epoch: int, place: int) -> tuple[list[tuple[int, int]], int]:
        """Return an epoch's shards from a place on, and how many samples of the first are over."""
        counts = self._stored.num_samples
        order = _rng(self._seed, "shards", epoch).permutation(len(counts)).tolist()
        ends = list(itertools.accumulate(counts[shard] for shard in order))
        first = bisect.bisect_right(ends, place)
        before = ends[first - 1] if first else 0
        return [(epoch, shard) for shard in order[first:]], place - before


def _by_sample(shard: EncodedShard) -> list[list[Encoded]]:
    rows = iter(shard.documents.tolist())
    found = []
    for count in shard.counts.tolist():
        documents = []
        for start, length, num_prompt, task in itertools.islice(rows, count):
            documents.append(Encoded(shard.tokens[start : start + length], num_prompt, task))
        found.append(documents)
    return found


class _StreamSource:
    """A sample a position, made on the fly by LLVM in worker processes."""

    def __init__(self, stage: Stage, prompts: Prompts, context: int, num_workers: int) -> None:
        self._stage, self._prompts, self._context = stage, prompts, context
        self._num_workers = max(1, num_workers)
        self.fingerprint = content_hash(
            f"stream {stage.fingerprint} {prompts.fingerprint} {context}".encode()
        )

    def read(self, position: int) -> Iterator[list[Encoded]]:
        stream = StageStream(self._stage, start=position, num_workers=self._num_workers)
        for sample in stream:
            yield _by_sample(encode_samples([sample], self._prompts, self._context))[0]


class LabelledDocuments:
    """The modules of label shards as tree documents (`train.trees`).

    Args:
        config: what makes a document of sizes.
        context: a prompt leaves room in it for the longest list.
    """

    def __init__(self, shards: LabelShards, config: LabelConfig, context: int) -> None:
        self._shards, self._config = shards, config
        self.trees = [ListTree(table.answers, shards.nothing_better) for table in shards.tables]
        deepest = max(tree.max_depth for tree in self.trees)
        self._room = context - (config.max_rounds + 1) * (deepest + 1)
        if self._room < MIN_PROMPT_TOKENS:
            raise ConfigError(
                f"{config.max_rounds} rounds leave {self._room} tokens of a context of {context} "
                "for prompts: lower labels.max_rounds"
            )
        if config.prompt_tokens:
            self._room = min(self._room, config.prompt_tokens)

    def document(
        self,
        module: LabelledPrompt,
        *,
        whole: bool,
        min_mass: float,
        tried: Sequence[int] = (),
        choices: Sequence[int] = (0,),
        savings: bool = False,
    ) -> Encoded:
        """Return a module's document.

        Args:
            whole: predict whole lists, not only where lists differ.
            min_mass: nodes with less are left out.
            tried: the lists of the rounds, by their places.
            choices: after how many of these the next list is predicted.
            savings: after the first rounds, learn what every list saves instead of which is best
                (`LabelConfig.savings_rounds`).
        """
        shards, config = self._shards, self._config
        sizes = module.sizes[config.metric]
        answers = shards.tables[module.table].answers
        rounds = [
            (*answers[index], shards.changes + change_place(int(sizes[1 + index]), int(sizes[0])))
            for index in tried
        ]
        ids, tree = rounds_document(
            self.trees[module.table],
            cut_prompt(module.prompt, self._room, cut=shards.cut, answer=shards.answer),
            rounds,
            [(count, list_masses(sizes, config.temperature, tried[:count])) for count in choices],
            min_mass=min_mass,
            choices_only=not whole,
            savings=[
                list_savings(sizes, config.savings_temperature, tried[:count])
                if savings and count < config.savings_rounds
                else None
                for count in choices
            ],
        )
        return Encoded(ids, len(ids) - len(tree.depths), shards.task, tree)

    def draw_rounds(
        self, module: LabelledPrompt, rng: numpy.random.Generator
    ) -> tuple[list[int], list[int]]:
        """Return lists to have been tried, and after how many of them the next is predicted.

        Half of the time they are the coreset's first, in its order; else good lists come early,
        more or less, as a model's choices would.
        """
        import numpy

        config = self._config
        sizes = module.sizes[config.metric]
        count = int(rng.integers(0, config.max_rounds + 1))
        if rng.random() < 0.5:
            tried = list(range(min(count, len(sizes) - 1)))
        else:
            found = numpy.where(sizes[1:] < 0, 2 * sizes[0], sizes[1:]) / sizes[0]
            noise = rng.gumbel(size=len(found)) * rng.choice([0.003, 0.01, 0.05])
            tried = numpy.argsort(found + noise, kind="stable")[:count].tolist()
        wanted = rng.permutation(len(tried) + 1)[: max(1, config.num_choices)]
        return tried, sorted(wanted.tolist())


class _LabelSource:
    """A module of the train split a position, with what all lists make of it."""

    def __init__(self, shards: LabelShards, config: LabelConfig, seed: int, context: int) -> None:
        self._shards, self._config, self._seed = shards, config, seed
        self._documents = LabelledDocuments(shards, config, context)
        self._modules = shards.of_split("train")
        if not self._modules:
            raise ArtifactError(f"{shards.folder} holds no modules of the train split")
        self.fingerprint = content_hash(
            f"labels {shards.fingerprint} {config} {seed} {context}".encode()
        )

    def read(self, position: int) -> Iterator[list[Encoded]]:
        epoch, place = divmod(position, len(self._modules))
        for number in itertools.count(epoch):
            rng = _rng(self._seed, "labels", number)
            order = rng.permutation(self._modules).tolist()
            whole = rng.random(len(order)) < self._config.whole_share
            for module, is_whole in list(zip(order, whole.tolist(), strict=True))[place:]:
                labelled = self._shards[module]
                # Of the module and the epoch alone, so that any position can be read first.
                own = _rng(self._seed, f"rounds {labelled.module_hash}", number)
                tried, choices = self._documents.draw_rounds(labelled, own)
                yield [
                    self._documents.document(
                        labelled,
                        whole=is_whole,
                        min_mass=self._config.min_mass,
                        tried=tried,
                        choices=choices,
                        savings=not is_whole,
                    )
                ]
            place = 0


def open_source(
    stage: str,
    config: DataConfig,
    *,
    prompts: Prompts,
    tokenizer: Path,
    seed: int,
    context: int,
    num_workers: int,
    labels: LabelConfig | None = None,
) -> Source:
    """Open what a path holds.

    Args:
        tokenizer: the folder that `prompts` are of.
        labels: how label shards are learnt from.

    Raises:
        ArtifactError: the data is missing, damaged, empty, or of another stage.
        TokenizerMismatch: shards were made by another tokenizer.
    """
    if is_label_shards(config.path):
        packed = open_labels(stage, config.path, prompts)
        return _LabelSource(packed, labels or LabelConfig(), seed, context)
    if is_token_shards(config.path):
        shards = _open_tokens(stage, config.path, prompts)
        if not len(shards):
            raise ArtifactError(f"{config.path} holds no documents")
        return _TokenSource(shards, seed, context)
    if is_stored_stage(config.path):
        stored = _open_stored(stage, config.path)
        if not sum(stored.num_samples):
            raise ArtifactError(f"{config.path} holds no samples")
        return _StoredSource(stored, prompts, tokenizer, seed, context, num_workers)
    return _StreamSource(_live_stage(stage, config, seed), prompts, context, num_workers)


def first_documents(
    stage: str, config: DataConfig, *, prompts: Prompts, context: int, number: int
) -> list[Encoded]:
    """Return the first documents of token shards or stage data, in their own order.

    Raises:
        ConfigError: the path holds neither.
        ArtifactError: see `open_source`.
    """
    found: list[Encoded] = []
    if is_token_shards(config.path):
        shards = _open_tokens(stage, config.path, prompts)
        for position in range(len(shards)):
            ids, num_prompt, task = shards[position]
            if len(ids) <= context:
                found.append(Encoded(ids, num_prompt, task))
            if len(found) >= number:
                break
        return found
    if not is_stored_stage(config.path):
        raise ConfigError(f"{config.path} holds neither token shards nor stage data to validate on")
    stored = _open_stored(stage, config.path)
    from llm_compiler.dataset.stored import read_stage_samples

    for path in stored.paths:
        if len(found) >= number:
            break
        samples = read_stage_samples(path)[:number]
        found += itertools.chain.from_iterable(
            _by_sample(encode_samples(samples, prompts, context))
        )
    return found[:number]


def open_labels(stage: str, path: Path, prompts: Prompts) -> LabelShards:
    """Open label shards.

    Raises:
        ArtifactError: they are damaged, or the stage is another.
        TokenizerMismatch: another tokenizer made them.
    """
    shards = LabelShards(path)
    if shards.prompts != prompts.fingerprint:
        raise TokenizerMismatch(
            f"the prompts in {path} were made by another tokenizer, or in another form: pack again"
        )
    _check_stage(stage, "flag-tuning", path)
    return shards


def _open_tokens(stage: str, path: Path, prompts: Prompts) -> TokenShards:
    shards = TokenShards(path)
    if shards.prompts != prompts.fingerprint:
        raise TokenizerMismatch(
            f"the tokens in {path} were made by another tokenizer, or other prompts: pack again"
        )
    _check_stage(stage, shards.stage, path)
    return shards


def _open_stored(stage: str, path: Path) -> StoredStage:
    stored = open_stored_stage(path)
    _check_stage(stage, stored.stage, path)
    return stored


def _check_stage(expected: str, found: str, path: Path) -> None:
    if found != expected:
        raise ArtifactError(f"{path} holds data of the stage '{found}', not '{expected}'")


def _live_stage(stage: str, config: DataConfig, seed: int) -> Stage:
    samples = SampleSet(config.path)
    labels = None if config.labels is None else Labels(config.labels)
    code = text = None
    if config.texts is not None:
        code, text = (TextSet(config.texts, split="train", kind=kind) for kind in ("code", "text"))
    space: tuple[str, ...] = ()
    if stage == "emulation":
        with LocalPool(1) as pool:
            space = safe_elements(pool)
    return make_stage(stage, samples, seed=seed, space=space, labels=labels, code=code, text=text)
