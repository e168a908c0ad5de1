"""The four stages: from (seed, index) to what shall be drawn.

Each is a pure function of (samples, seed, index, attempt): the attempt counts the draws of an index
that gave no sample. Which process draws, and in which order, has no part in it. No LLVM here: the
draws are made by workers (`dataset.draws`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from llm_compiler.dataset.draws import Draw
from llm_compiler.dataset.labels import Labels
from llm_compiler.dataset.sample_set import PackedSample, SampleSet
from llm_compiler.dataset.stage_options import StageOptions
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.texts import TextSet
from llm_compiler.errors import ArtifactError, ConfigError
from llm_compiler.records import content_hash

__all__ = [
    "Disassembly",
    "Emulation",
    "FlagTuning",
    "Pretraining",
    "Stage",
    "StageOptions",
    "make_stage",
]

LEVELS = ("O1", "O2", "O3", "Os", "Oz")


class Stage(Protocol):
    """Says what shall be drawn for an index."""

    @property
    def name(self) -> str:
        """One of `STAGES`."""
        ...

    @property
    def fingerprint(self) -> str:
        """Names everything that the samples depend on besides LLVM's version and the index."""
        ...

    def draw(self, index: int, attempt: int) -> Draw | StageSample:
        """Return what a worker shall make, or a sample that needs no LLVM."""
        ...


def _random(stage: str, seed: int, index: int, attempt: int) -> random.Random:
    # Seeded by text, which goes through SHA-512: the same on every machine, unlike hash().
    return random.Random(f"{stage}:{seed}:{index}:{attempt}")


class _Order:
    """Every position once an epoch, in a new order each: a permutation drawn by (seed, epoch)."""

    def __init__(self, size: int, name: str, seed: int) -> None:
        self._size, self._name, self._seed = size, name, seed
        self._epoch = -1
        self._positions: list[int] = []

    def __getitem__(self, index: int) -> int:
        epoch, position = divmod(index, self._size)
        if epoch != self._epoch:
            self._positions = list(range(self._size))
            random.Random(f"{self._name}:{self._seed}:epoch {epoch}").shuffle(self._positions)
            self._epoch = epoch
        return self._positions[position]


class _Base:
    """What the stages share: which module comes at an index."""

    name: str

    def __init__(
        self,
        samples: SampleSet,
        seed: int,
        options: StageOptions,
        positions: Sequence[int] | None = None,
        depends_on: str = "",
    ) -> None:
        self._samples, self._seed, self._options = samples, seed, options
        self._positions = range(len(samples)) if positions is None else positions
        self._order = _Order(len(self._positions), self.name, seed)
        text = f"1 {self.name} {seed} {samples.fingerprint} {options} {depends_on}"
        self.fingerprint = content_hash(text.encode())

    def _sample(self, index: int, attempt: int, rng: random.Random) -> PackedSample:
        # The first draw takes its turn, so that an epoch holds every module; replacements are any.
        position = self._order[index] if attempt == 0 else rng.randrange(len(self._positions))
        return self._samples[self._positions[position]]

    def _draw(
        self,
        sample: PackedSample,
        index: int,
        attempt: int,
        passes: tuple[str, ...],
        *,
        task: str = "",
        improves: bool = True,
    ) -> Draw:
        return Draw(
            sample=StageSample(
                stage=self.name,
                task=task or self.name,
                seed=self._seed,
                index=index,
                draw=attempt,
                module_hash=sample.module_hash,
                target_triple=sample.target_triple,
                package=sample.package,
                split=sample.split,
                passes=",".join(passes),
                improves=improves,
            ),
            module=sample.module,
            passes=passes,
            max_characters=self._options.max_characters,
            max_instructions=self._options.max_instructions,
        )


class Pretraining(_Base):
    """IR and assembly, unoptimised and at every level; source code and prose where texts are given.

    Without texts all is IR and assembly.
    """

    name = "pretraining"

    def __init__(
        self,
        samples: SampleSet,
        seed: int,
        options: StageOptions,
        *,
        code: TextSet | None = None,
        text: TextSet | None = None,
    ) -> None:
        self._texts = {"code": code, "text": text}
        parts = {
            "compiler": (
                options.compiler_share,
                options.mean_characters,
            )
        }
        for name, share in (("code", options.code_share), ("text", options.text_share)):
            if (source := self._texts[name]) is not None and len(source):
                parts[name] = share, source.mean_characters
        # Shares are of characters, draws are of samples.
        self._kinds = tuple(parts)
        self._weights = tuple(share / max(mean, 1.0) for share, mean in parts.values())
        super().__init__(
            samples, seed, options, depends_on=" ".join(t.fingerprint for t in (code, text) if t)
        )

    def draw(self, index: int, attempt: int) -> Draw | StageSample:
        """Return a module and a level, or a piece of text."""
        rng = _random(self.name, self._seed, index, attempt)
        kind = rng.choices(self._kinds, self._weights)[0]
        if (texts := self._texts.get(kind)) is not None:
            piece = texts[rng.randrange(len(texts))]
            return StageSample(
                stage=self.name,
                task=kind,
                seed=self._seed,
                index=index,
                draw=attempt,
                package=piece.package,
                split=piece.split,
                path=piece.path,
                output_code=piece.text,
            )
        task = "assembly" if rng.random() < self._options.assembly_share else "ir"
        level = rng.choice(("", *LEVELS))
        sample = self._sample(index, attempt, rng)
        passes = (f"default<{level}>",) if level else ()
        return self._draw(sample, index, attempt, passes, task=task)


class Emulation(_Base):
    """A module and a random list; the code after it, as IR or assembly.

    Args:
        space: the elements that lists are drawn from: the safe passes of the LLVM at hand.
    """

    name = "emulation"

    def __init__(
        self, samples: SampleSet, seed: int, options: StageOptions, *, space: tuple[str, ...]
    ) -> None:
        super().__init__(samples, seed, options, depends_on=" ".join(space))
        self._space = space

    def draw(self, index: int, attempt: int) -> Draw:
        """Return a module and a list."""
        rng = _random(self.name, self._seed, index, attempt)
        options = self._options
        kind = rng.random()
        if kind < options.pipeline_share:
            passes: tuple[str, ...] = (f"default<{rng.choice(LEVELS)}>",)
        else:
            short = kind < options.pipeline_share + options.short_share
            longest = min(4, options.max_passes) if short else options.max_passes
            passes = tuple(rng.choice(self._space) for _ in range(rng.randint(1, longest)))
        assembly = rng.random() < options.assembly_share
        sample = self._sample(index, attempt, rng)
        task = "emulate-assembly" if assembly else "emulate-ir"
        return self._draw(sample, index, attempt, passes, task=task)


class FlagTuning(_Base):
    """A labelled module and its best list.

    Raises:
        ArtifactError: no sample has labels.
    """

    name = "flag-tuning"

    def __init__(
        self, samples: SampleSet, seed: int, options: StageOptions, *, labels: Labels
    ) -> None:
        positions = [i for i, name in enumerate(samples.hashes) if name in labels]
        if not positions:
            raise ArtifactError(
                f"none of the {len(samples)} samples in {samples.folder} is among the "
                f"{len(labels)} labelled modules"
            )
        self._labels = labels
        chosen = [labels.best(samples.hashes[i])[0] for i in positions]
        text = ";".join("-" if recipe is None else recipe.pipeline for recipe in chosen)
        depends_on = content_hash(text.encode()) + labels.metric
        super().__init__(samples, seed, options, positions, depends_on=depends_on)

    def draw(self, index: int, attempt: int) -> Draw:
        """Return a module and its best list; the empty list where none improves on -Oz."""
        rng = _random(self.name, self._seed, index, attempt)
        sample = self._sample(index, attempt, rng)
        best, _ = self._labels.best(sample.module_hash)
        passes = () if best is None else best.elements
        return self._draw(sample, index, attempt, passes, improves=best is not None)


class Disassembly(_Base):
    """Assembly of a module at some level, and the IR that it came from."""

    name = "disassembly"

    def draw(self, index: int, attempt: int) -> Draw:
        """Return a module and a level."""
        rng = _random(self.name, self._seed, index, attempt)
        oz = rng.random() < self._options.oz_share
        level = "Oz" if oz else rng.choice(("O0", "O1", "O2", "O3", "Os"))
        sample = self._sample(index, attempt, rng)
        return self._draw(sample, index, attempt, (f"default<{level}>",))


def make_stage(
    name: str,
    samples: SampleSet,
    *,
    seed: int,
    options: StageOptions | None = None,
    space: tuple[str, ...] = (),
    labels: Labels | None = None,
    code: TextSet | None = None,
    text: TextSet | None = None,
) -> Stage:
    """Return the stage of a name.

    Args:
        space: emulation: what lists are drawn from (`llvm.module_jobs.RegistryJob`).
        labels: flag tuning.
        code, text: pretraining, both optional.

    Raises:
        ArtifactError: flag tuning without labels, or with labels of other modules.
        ConfigError: no such stage.
    """
    options = options or StageOptions()
    match name:
        case "pretraining":
            return Pretraining(samples, seed, options, code=code, text=text)
        case "emulation":
            return Emulation(samples, seed, options, space=space)
        case "flag-tuning":
            if labels is None:
                raise ArtifactError("flag tuning learns from labels: name their file (--labels)")
            return FlagTuning(samples, seed, options, labels=labels)
        case "disassembly":
            return Disassembly(samples, seed, options)
    raise ConfigError(f"'{name}' is not a stage")
