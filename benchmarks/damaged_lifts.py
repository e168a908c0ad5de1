"""How many damaged lifts pass: wrong IR of real functions, put to the verdicts.

Takes functions of a sample folder, makes the object that a user would have (``default<Oz>``,
clang's code generation), and damages the IR that it came from in one place: a constant, an operand,
a store, signedness, an off-by-one. Damage that changes no byte of the object is left out: that is
no other function. As a control, right IR that lowers to other code: the same function without
``minsize optsize`` behind ``default<O2>``.

    python benchmarks/damaged_lifts.py work/samples --num-damaged 240 --json damaged.jsonl

With ``--architecture aarch64`` code runs under qemu-user where it must, on fewer inputs
(`ExecuteOptions.emulated_share`).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.corpus.shards import load_samples
from llm_compiler.disassembly.binary import Binary, read_binary
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.disassembly.reassemble import Reassembled, reassemble
from llm_compiler.errors import CompilerError, InputError, LlmCompilerError
from llm_compiler.llvm.module_jobs import EmitJob
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.records import PassList, Status
from llm_compiler.verify.execute import ExecuteOptions, Execution, Executor
from llm_compiler.verify.lifted import InspectLiftJob, LiftInspection, LiftVerdict
from llm_compiler.verify.round_trip import (
    difference,
    foreign_definitions,
    lower,
    read_code_object,
)
from llm_compiler.verify.target import ARCHITECTURES, find_target
from llm_compiler.workers import LocalPool, run_jobs

KINDS = ("constant", "off-by-one", "operands", "store", "signedness")
_NUMBER = re.compile(r"(?<![\w%@.!#])-?\d+(?![\w.])")
_BINARY = re.compile(
    r"= (?:sub|sdiv|udiv|srem|urem|shl|lshr|ashr|fsub|fdiv)\b.* ([^\s,]+), ([^\s,]+)$"
)
_COMPARE = re.compile(r"= icmp (?:samesign )?(?:[su][lg][te]) \w+ ([^\s,]+), ([^\s,]+)$")
_SIGNS = {
    "slt": "ult", "sgt": "ugt", "sle": "ule", "sge": "uge",
    "ult": "slt", "ugt": "sgt", "ule": "sle", "uge": "sge",
    "sext": "zext", "zext": "sext", "ashr": "lshr", "lshr": "ashr",
    "sdiv": "udiv", "udiv": "sdiv", "srem": "urem", "urem": "srem",
}  # fmt: skip
_EDGES = {
    "slt": "sle", "sle": "slt", "ult": "ule", "ule": "ult",
    "sgt": "sge", "sge": "sgt", "ugt": "uge", "uge": "ugt",
}  # fmt: skip


def damages(text: str, kind: str) -> list[str]:
    """Return every text with one damage of a kind."""
    lines = text.splitlines(keepends=True)
    found = []
    inside = False
    for index, line in enumerate(lines):
        if line.startswith("define "):
            inside = True
            continue
        if line.startswith("}"):
            inside = False
        if not inside or line.startswith((";", "}")) or ":" in line.split(" ", 1)[0]:
            continue
        for changed in _changed(line.rstrip("\n"), kind):
            found.append("".join([*lines[:index], changed, *lines[index + 1 :]]))
    return found


def _changed(line: str, kind: str) -> Iterator[str]:
    body = line.split(", !", 1)[0].split(" #", 1)[0]
    rest = line[len(body) :] + "\n"
    if kind == "store":
        if body.lstrip().startswith("store "):
            yield ""
        return
    if kind == "operands":
        if match := _BINARY.search(body) or _COMPARE.search(body):
            a, b = match[1], match[2]
            if a != b:
                yield body[: match.start(1)] + f"{b}, {a}" + rest
        return
    if kind in ("signedness", "off-by-one"):
        for old, new in (_SIGNS if kind == "signedness" else _EDGES).items():
            if match := re.search(rf"\b{old}\b", body):
                changed = body[: match.start()] + new + body[match.end() :]
                changed = re.sub(r"= (zext|[al]shr|[su]div) (?:nneg|exact) ", r"= \1 ", changed)
                yield changed.replace("sext nneg", "sext") + rest
    if kind == "signedness" or "= load" in body:
        return
    code = body.split(", align", 1)[0]
    for match in _NUMBER.finditer(code):
        before = code[: match.start()]
        if not re.search(r"(?:\bi\d+ |, )$", before) or before.endswith(("label ", "align ")):
            continue
        value = int(match[0])
        number = value + 1 if kind == "off-by-one" else value * 2 + 7
        yield before + str(number) + body[match.end() :] + rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    binary: Binary
    text: FunctionText
    proof: Reassembled
    ir: str
    other: str


def make_case(
    bitcode: bytes,
    name: str,
    architecture: str,
    pool: LocalPool,
    toolchain: Toolchain,
    folder: Path,
) -> Case | None:
    """Return a function as an object would hold it, its IR, and other IR of the same meaning."""
    texts: list[str] = []
    for level in ("", "Oz", "O2"):
        # What is lifted as fast code, not as small code, is lowered otherwise.
        module = (
            re.sub(r"\b(?:minsize|optsize)\b", "", texts[0]).encode() if level == "O2" else bitcode
        )
        passes = PassList((f"default<{level}>",) if level else ())
        emitted = run_jobs(pool, [EmitJob(modules=(module,), passes=passes, kind="text")])[0][0]
        if emitted.status is not Status.OK:
            return None
        texts.append(emitted.data.decode("utf-8", "replace"))
    texts = texts[1:]
    source = folder / "true.ll"
    source.write_text(texts[0])
    try:
        lower(source, folder / "true.o", architecture, toolchain, keep_labels=False)
        binary = read_binary(folder / "true.o", toolchain, folder)
        symbol = next((function for function in binary.functions() if function.name == name), None)
        if symbol is None:
            return None
        text = FunctionReader(binary).read(symbol)
        proof = reassemble(binary, symbol, text, toolchain, folder / "original.o")
    except (Unreadable, LlmCompilerError):
        return None
    return Case(binary=binary, text=text, proof=proof, ir=texts[0], other=texts[1])


def verify_lift(
    case: Case, ir: str, pool: LocalPool, toolchain: Toolchain, executor: Executor, folder: Path
) -> tuple[Execution, bool] | None:
    """Return the verdict of an answer, and whether clang's assembly says the same of *exact*."""
    name, architecture = case.text.name, case.binary.elf.architecture
    job = InspectLiftJob(texts=(ir,), function=name, target_triple=case.binary.target_triple)
    found: LiftInspection = run_jobs(pool, [job])[0][0]
    if found.status is not Status.OK:
        return None
    source, output = folder / "lifted.ll", folder / "lifted.o"
    source.write_text(found.text)
    try:
        lower(source, output, architecture, toolchain)
        code = read_code_object(output, toolchain)
    except (CompilerError, InputError):
        return None
    if foreign_definitions(case.proof.code, code, name):
        return None
    lower(source, folder / "plain.o", architecture, toolchain, keep_labels=False)
    ours = (folder / "true.o").read_bytes()
    theirs = (folder / "plain.o").read_bytes()
    # Independent of our own comparison: the two objects, section by section.
    same = _loaded(ours) == _loaded(theirs)
    if not difference(case.proof.code, code, name):
        return Execution(verdict=LiftVerdict.EXACT), same
    return executor.verify(case.proof.code, case.text.text, name, code, found), same


def _loaded(data: bytes) -> list[object]:
    from llm_compiler.llvm.object_file import object_contents

    # A text's own order of symbols says nothing; sections and relocations do.
    return [
        content
        for content in object_contents(data)
        if len(content) > 5 and content[0] != b".eh_frame"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default=ARCHITECTURES[0])
    parser.add_argument("--split", default="validation")
    parser.add_argument("--num-damaged", type=int, default=240)
    parser.add_argument("--each", type=int, default=3, help="damages of one function at most")
    parser.add_argument("--max-instructions", type=int, default=120)
    parser.add_argument("--num-inputs", type=int, default=ExecuteOptions().num_inputs)
    parser.add_argument("--min-coverage", type=float, default=ExecuteOptions().min_coverage)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="append a line for each lift")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    toolchain = find_toolchain()
    columns = ("function", "bitcode", "num_instructions", "package", "target_triple")
    chosen = [
        each_sample
        for each_sample in load_samples(
            options.samples,
            split=options.split,
            kind="function",
            architecture=options.architecture,
            columns=columns,
        )
        if each_sample.num_instructions <= options.max_instructions
    ]
    rng.shuffle(chosen)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in (*KINDS, "control")}
    reasons: Counter[str] = Counter()
    wrong = 0
    started = time.monotonic()
    with LocalPool(1) as pool, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = ExecuteOptions(num_inputs=options.num_inputs, min_coverage=options.min_coverage)
        executor = Executor(find_target(options.architecture, toolchain), folder, settings)
        for sample in chosen:
            if sum(counts[kind].total() for kind in KINDS) >= options.num_damaged:
                break
            case = make_case(
                sample.bitcode, sample.function, options.architecture, pool, toolchain, folder
            )
            if case is None:
                continue
            lifts = [("control", case.other)]
            for kind in sorted(KINDS, key=lambda word: (counts[word].total(), rng.random())):
                if len(lifts) <= options.each and (made := damages(case.ir, kind)):
                    lifts.append((kind, rng.choice(made)))
            for kind, ir in lifts:
                verdict = verify_lift(case, ir, pool, toolchain, executor, folder)
                if verdict is None:
                    continue
                found, same = verdict
                if same or (kind == "control" and found.verdict is LiftVerdict.EXACT):
                    if kind != "control" and found.verdict is not LiftVerdict.EXACT:
                        reasons["(the same object, and not exact)"] += 1
                    continue  # no damage: the code is the same
                wrong += found.verdict is LiftVerdict.EXACT
                counts[kind][found.verdict.value] += 1
                reasons[f"{kind == 'control'} {found.verdict.value}: {found.reason[:60]}"] += 1
                row = {
                    "kind": kind,
                    "function": sample.function,
                    "package": sample.package,
                    "architecture": options.architecture,
                    "verdict": found.verdict.value,
                    "reason": found.reason,
                    "num_completed": found.num_completed,
                    "num_blocks": found.num_blocks,
                    "num_covered": found.num_covered,
                    "ir": ir if found.verdict.is_accepted or kind == "control" else "",
                    "true_ir": case.ir if found.verdict.is_accepted or kind == "control" else "",
                }
                if options.json:
                    with options.json.open("a") as stream:
                        stream.write(json.dumps(row) + "\n")
    verdicts = [item.value for item in LiftVerdict if item is not LiftVerdict.NO_ANSWER]
    print("| damage | lifts | " + " | ".join(verdicts) + " |")
    print("|---|---:|" + "---:|" * len(verdicts))
    for kind, found_counts in counts.items():
        cells = " | ".join(str(found_counts[verdict]) for verdict in verdicts)
        print(f"| {kind} | {found_counts.total()} | {cells} |")
    damaged = sum((counts[kind] for kind in KINDS), Counter())
    total = max(1, damaged.total())
    print(
        f"{damaged.total()} damaged lifts: {wrong} called exact, "
        f"{damaged['tests_passed']} tests_passed ({100 * damaged['tests_passed'] / total:.1f} %), "
        f"{damaged['refuted']} refuted, {damaged['unproved']} unproved; "
        f"{time.monotonic() - started:.0f} s"
    )
    for reason, number in reasons.most_common(30):
        print(f"  {number:4} {reason}")


if __name__ == "__main__":
    main()
