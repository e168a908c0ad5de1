"""What should a model read of units that are longer than its context?

On whole units whose prompt exceeds a number of tokens, choices of what stands in the prompt, each
at 4,096 tokens (the context) and at 1,024 (where prompts were cut in training):

    cut       the beginning of the unit, functions in their order (what engines do by themselves)
    largest   a summary: the largest functions first, variables last, then cut
    pieces    the unit in pieces of whole functions; the lists' log-probabilities are averaged,
              weighted by the pieces' tokens

and, for the most candidates, `split`: the unit divided in four by llvm-split, each part with its
own list (as many tried for each: as much compiling as for the whole), linked again as IR; it counts
as -Oz where that leaves calls to inline functions that are nowhere. Candidates are chosen as
`optimize` does: the first half the coreset's, the rest the model's; -Oz as backup. Sizes are in
process. Measurements are kept in the store: stopped, the same command goes on.

    python benchmarks/long_units.py work/corpus --units 20 --store work/long-units.db
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from llm_compiler.console import note, print_table
from llm_compiler.corpus.manifest import MANIFEST_NAME, load_manifest
from llm_compiler.evaluate.flag_tuning.summary import gains
from llm_compiler.llvm.module_jobs import EmitJob, InspectJob
from llm_compiler.llvm.object_file import section_sizes, undefined_symbols
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.compact import CompactEngine
from llm_compiler.model.engines.embedded import EmbeddedDecoder
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.model.engines.questions import flag_tuning_question
from llm_compiler.model.engines.requests import Propose
from llm_compiler.optimization.model_rounds import first_lists
from llm_compiler.output import write_atomically
from llm_compiler.process import run
from llm_compiler.records import OZ, Measurement, PassList, Status
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.store import Store
from llm_compiler.search.strategies import fixed
from llm_compiler.search.trial import Trial, run_trials
from llm_compiler.workers import LocalPool, run_jobs

ROOMS = (1024, 4096)
PARTS = 4
_ROUNDS = 160
"""Tokens behind the cut prompt: what was tried, and the answer."""

Tried = list[tuple[PassList, int]]


@dataclass(slots=True)
class Row:
    """One unit; sizes in bytes, by name of the choice and number of candidates."""

    name: str
    oz_bytes: int
    num_tokens: int
    num_functions: int
    sizes: dict[str, dict[int, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """Of the model alone, at the largest number of candidates."""
    split_oz_bytes: int = -1
    """Divided and linked again with default<Oz> for all parts."""


class Reader:
    """Asks the model about a text, whatever its length."""

    def __init__(self, engine: CompactEngine, triple: str) -> None:
        self.engine = engine
        self.triple = triple

    @contextlib.contextmanager
    def room(self, tokens: int) -> Iterator[None]:
        """Let prompts be cut at so many tokens."""
        decoder = self.engine.decoder
        assert isinstance(decoder, EmbeddedDecoder)
        config = decoder.config
        decoder.config = replace(config, context=min(config.context, tokens + _ROUNDS))
        try:
            yield
        finally:
            decoder.config = config

    def count(self, text: str) -> int:
        return len(self.engine.prompts.prompt(flag_tuning_question(text, self.triple)))

    def ask(
        self, texts: Sequence[tuple[str, int]], lists: Sequence[PassList], oz: int, tried: Tried
    ) -> list[PassList]:
        """Return all lists that were not tried, the most probable first.

        Args:
            texts: with their weights.
        """
        total: dict[PassList, float] = defaultdict(float)
        for text, weight in texts:
            for proposal in self.engine.answer(
                Propose(
                    code=text,
                    target_triple=self.triple,
                    num_candidates=len(lists),
                    lists=lists,
                    oz_size_bytes=oz,
                    tried=tried,
                )
            ):
                total[proposal.passes] += weight * proposal.log_probability
        return sorted(total, key=lambda recipe: -total[recipe])


def functions_of(text: str) -> tuple[str, list[str]]:
    """Divide a module's text into all that is no function's body, and the functions."""
    functions = re.findall(r"^define .*?^}\n", text, re.MULTILINE | re.DOTALL)
    return re.sub(r"^define .*?^}\n", "", text, flags=re.MULTILINE | re.DOTALL), functions


def largest_first(text: str) -> str:
    rest, functions = functions_of(text)
    return "".join(sorted(functions, key=len, reverse=True)) + rest


def pieces_of(text: str, room: int, reader: Reader) -> list[tuple[str, int]]:
    """Return pieces of whole functions that fit, with their tokens; a larger function is cut."""
    _, functions = functions_of(text)
    pieces: list[tuple[str, int]] = []
    for function in functions:
        tokens = min(room, reader.count(function))
        if pieces and pieces[-1][1] + tokens <= room:
            pieces[-1] = (pieces[-1][0] + function, pieces[-1][1] + tokens)
        else:
            pieces.append((function, tokens))
    return pieces


class Compiler:
    """Measures lists on modules, each once."""

    def __init__(self, pool: LocalPool, store: Store) -> None:
        self.pool, self.store = pool, store

    def sizes(self, bitcode: bytes, lists: Sequence[PassList]) -> dict[PassList, int]:
        """Return sizes in bytes, -1 for a list that fails."""
        trial = Trial(bitcode=bitcode, budget=len(lists), timeout_s=120.0)
        for _ in run_trials(self.pool, [(trial, fixed(lists))], store=self.store):
            pass

        def size(found: Measurement) -> int:
            return found.size_bytes if found.ok else -1

        return {recipe: size(trial.known[recipe]) for recipe in lists}

    def text(self, bitcode: bytes) -> tuple[str, int]:
        ((found,),) = run_jobs(self.pool, [InspectJob(inputs=(bitcode,), with_text=True)])
        return found.text, len(found.functions)

    def emit(self, bitcode: bytes, passes: PassList, kind: str) -> bytes:
        job = EmitJob(modules=(bitcode,), passes=passes, kind=kind, timeout_s=120.0)
        ((found,),) = run_jobs(self.pool, [job])
        assert found.status is Status.OK, found.detail
        data: bytes = found.data
        return data


def choose(
    reader: Reader,
    texts: Sequence[tuple[str, int]],
    bitcode: bytes,
    count: int,
    lists: Sequence[PassList],
    compiler: Compiler,
    oz: int,
) -> tuple[PassList, int, float]:
    """Spend so many candidates; return the best list, its size, and the model's seconds."""
    known = compiler.sizes(bitcode, lists[: first_lists(count)])
    start = time.monotonic()
    chosen = reader.ask(texts, lists, oz, list(known.items()))[: count - len(known)]
    seconds = time.monotonic() - start
    known |= compiler.sizes(bitcode, chosen)
    good = {recipe: size for recipe, size in known.items() if 0 <= size < oz} | {OZ: oz}
    best = min(good, key=lambda recipe: good[recipe])
    return best, good[best], seconds


def split(bitcode: bytes, folder: Path) -> list[bytes]:
    """Divide a module; functions that share static things stay together."""
    (folder / "whole.bc").write_bytes(bitcode)
    for old in folder.glob("part*"):
        old.unlink()
    command = [find_toolchain().tool("llvm-split"), f"-j{PARTS}", "--preserve-locals"]
    arguments = [*map(str, command), str(folder / "whole.bc"), "-o", str(folder / "part")]
    done = run(arguments, timeout_s=120)
    assert done.ok, done.stderr_text
    return [path.read_bytes() for path in sorted(folder.glob("part*"))]


def linked_size(
    parts: Sequence[bytes], needed: frozenset[str], folder: Path, compiler: Compiler
) -> int:
    """Return the size of the parts together; -1 if they need what the whole does not.

    A part drops an inline function (linkonce_odr) that only other parts call.
    """
    paths = []
    for number, part in enumerate(parts):
        paths.append(folder / f"{number}.bc")
        paths[-1].write_bytes(part)
    out = folder / "linked.bc"
    command = [find_toolchain().tool("llvm-link"), *paths, "-o", out]
    done = run([*map(str, command)], timeout_s=120)
    assert done.ok, done.stderr_text
    data = compiler.emit(out.read_bytes(), PassList(), "object")
    if undefined_symbols(data) - needed:
        return -1
    return section_sizes(data).size_bytes


def in_parts(
    reader: Reader,
    row: Row,
    bitcode: bytes,
    lists: Sequence[PassList],
    compiler: Compiler,
    folder: Path,
    count: int,
) -> None:
    """Give each part the best of its own candidates, and link."""
    optimized, plain = [], []
    for part in split(bitcode, folder):
        text, num_functions = compiler.text(part)
        best = OZ
        if num_functions:
            oz = compiler.sizes(part, [OZ])[OZ]
            texts = [(largest_first(text), 1)]
            with reader.room(ROOMS[-1]):
                best, _, _ = choose(reader, texts, part, count, lists, compiler, oz)
        optimized.append(compiler.emit(part, best, "bitcode"))
        plain.append(compiler.emit(part, OZ, "bitcode"))
    needed = undefined_symbols(compiler.emit(bitcode, OZ, "object"))
    row.split_oz_bytes = linked_size(plain, needed, folder, compiler)
    found = linked_size(optimized, needed, folder, compiler)
    row.sizes["split"] = {count: min(row.oz_bytes, found) if found >= 0 else row.oz_bytes}


def measure(
    reader: Reader,
    row: Row,
    bitcode: bytes,
    text: str,
    lists: Sequence[PassList],
    compiler: Compiler,
    candidates: Sequence[int],
) -> None:
    """Fill in a unit's row, all but `split`."""
    known = compiler.sizes(bitcode, lists[: candidates[-1]])
    row.sizes["coreset"] = {
        count: min(row.oz_bytes, *(known[recipe] for recipe in lists[:count] if known[recipe] >= 0))
        for count in candidates
    }
    for room in ROOMS:
        with reader.room(room):
            choices = {
                "cut": [(text, 1)],
                "largest": [(largest_first(text), 1)],
                "pieces": pieces_of(text, room, reader),
            }
            for name, texts in choices.items():
                found = row.sizes[f"{name}, {room}"] = {}
                for count in candidates:
                    _, found[count], row.seconds[f"{name}, {room}"] = choose(
                        reader, texts, bitcode, count, lists, compiler, row.oz_bytes
                    )


def table(rows: Sequence[Row], candidates: Sequence[int]) -> list[tuple[str, ...]]:
    lines = []
    for name in rows[0].sizes:
        base = np.array([row.oz_bytes for row in rows])
        cells = [name]
        for count in candidates:
            if count not in rows[0].sizes[name]:
                cells.append("")
                continue
            total, geomean = gains(base, np.array([row.sizes[name][count] for row in rows]))
            cells.append(" / ".join(f"{100 * figure.value:.2f}" for figure in (total, geomean)))
        seconds = [row.seconds[name] for row in rows if name in row.seconds]
        cells.append(f"{sum(seconds) / len(seconds):.2f}" if seconds else "")
        lines.append(tuple(cells))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--target-triple", default="x86_64-pc-linux-gnu")
    parser.add_argument("--min-tokens", type=int, default=ROOMS[-1])
    parser.add_argument("--max-tokens", type=int, default=10**9)
    parser.add_argument("--max-bytes", type=int, default=150_000, help="of a unit's bitcode")
    parser.add_argument("--candidates", default="1,4,16")
    parser.add_argument("--parts", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--model", default=None)
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    candidates = sorted(int(word) for word in options.candidates.split(","))
    lists = load_coreset().lists
    wanted = [
        each_unit
        for each_unit in load_manifest(options.corpus / MANIFEST_NAME)
        if each_unit.split == options.split
        and each_unit.target_triple == options.target_triple
        and each_unit.num_bytes <= options.max_bytes
    ]
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pool = stack.enter_context(LocalPool(options.jobs))
        version = find_toolchain().version
        store = stack.enter_context(Store(options.store, llvm_version=version))
        engine = stack.enter_context(load_engine("embedded", options.model))
        assert isinstance(engine, CompactEngine)
        compiler, reader = Compiler(pool, store), Reader(engine, options.target_triple)
        # Drawn by their hashes, until there are enough.
        for unit in heapq.nsmallest(len(wanted), wanted, key=lambda each_unit: each_unit.sha256):
            if len(rows) == options.units:
                break
            bitcode = (options.corpus / unit.path).read_bytes()
            text, num_functions = compiler.text(bitcode)
            tokens = reader.count(text)
            if not options.min_tokens < tokens <= options.max_tokens or num_functions < 2:
                continue
            oz = compiler.sizes(bitcode, [OZ])[OZ]
            name = f"{unit.package}/{unit.source}"
            row = Row(name=name, oz_bytes=oz, num_tokens=tokens, num_functions=num_functions)
            measure(reader, row, bitcode, text, lists, compiler, candidates)
            if options.parts:
                in_parts(reader, row, bitcode, lists, compiler, folder, candidates[-1])
            rows.append(row)
            note(f"{name}: {tokens} tokens, {oz} bytes")
            if options.report:
                options.report.mkdir(parents=True, exist_ok=True)
                contents = {"model": engine.model, "units": [asdict(item) for item in rows]}
                data = (json.dumps(contents, indent=1) + "\n").encode()
                write_atomically(options.report / "long_units.json", data)
    if not rows:
        parser.error(f"no unit has more than {options.min_tokens} tokens")
    print(f"{len(rows)} units, {sum(row.oz_bytes for row in rows)} bytes at default<Oz>")
    whole = [row for row in rows if row.split_oz_bytes >= 0]
    if options.parts and whole:
        before, after = (
            sum(getattr(row, n) for row in whole) for n in ("oz_bytes", "split_oz_bytes")
        )
        print(f"{len(whole)} can be divided and linked again: {before} bytes, then {after}")
    header = ("saved, total / geomean in %", *(f"at {k}" for k in candidates), "model, s")
    print_table(header, table(rows, candidates), right="l" + "r" * (len(candidates) + 1))


if __name__ == "__main__":
    main()
