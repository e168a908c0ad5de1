"""``llm-compiler emulate``: predicted code out; with --check the true result beside it."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from pathlib import Path

from llm_compiler.commands.engines import open_engine
from llm_compiler.commands.options.emulate import EmulateArguments
from llm_compiler.console import note, print_json, print_table, warn
from llm_compiler.emulate import NO_ANSWER, Emulated, EmulateOptions, EmulationVerdict, emulate
from llm_compiler.errors import ConfigError
from llm_compiler.llvm.clang_flags import parse_clang_flags
from llm_compiler.llvm.demangle import demangled
from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.model.engines.requests import Capability
from llm_compiler.option_fields import values_for
from llm_compiler.output import check_writable, write_atomically
from llm_compiler.verify.accepted import refuse_unreadable
from llm_compiler.workers import LocalPool

__all__ = ["run"]

_GOOD = (EmulationVerdict.EXACT, EmulationVerdict.SAME_CODE, EmulationVerdict.TESTS_PASSED)


def run(options: EmulateArguments) -> int:
    """Print the predicted code; with --check 1 if it is not right."""
    flags = parse_clang_flags(options.clang_flags)
    for message in flags.notes:
        warn(message)
    if flags.kind == "assembly":
        options = dataclasses.replace(options, assembly=True)
    if flags.output and options.output is None:
        options = dataclasses.replace(options, output=Path(flags.output))
    passes = parse_pass_list(options.passes)
    if not passes:
        raise ConfigError("--passes names no pass")
    for element, reason in unsafe_passes(passes):
        warn(f"'{element}' is among the passes that models are not trained on: {reason}")
    if options.direct and not options.assembly:
        raise ConfigError("--direct is about assembly: it needs -S")
    settings = EmulateOptions(**values_for(EmulateOptions, options))
    if options.output is not None:
        if options.output.resolve() == options.file.resolve():
            raise ConfigError(f"the output {options.output} would overwrite its own input")
        check_writable(options.output)
    engine = open_engine(options.engine, options.model, "emulate")
    try:
        with LocalPool(1) as pool:
            note(f"emulating on {engine.model}")
            refuse_unreadable(pool, [passes])
            # Models in the paper's format were trained to write assembly; replayed answers are
            # what they are.
            lower_ir = Capability.ASSEMBLY not in engine.capabilities and not options.direct
            settings = dataclasses.replace(settings, lower_ir=lower_ir)
            result = emulate(options.file, passes, engine, settings, pool=pool)
    finally:
        engine.close()
    if result.code is None:
        warn(f"{result.input}: no answer: {result.broken or NO_ANSWER}")
    elif options.output is not None:
        write_atomically(options.output, result.code.encode("utf-8", "surrogateescape"))
    if options.json:
        print_json(result.to_json())
    else:
        _print(result, options.output)
    if result.check is not None:
        return 0 if result.check.verdict in _GOOD else 1
    return 0 if result.code is not None else 1


def _print(result: Emulated, output: Path | None) -> None:
    if result.code is not None and output is None and result.check is None:
        sys.stdout.write(result.code if result.code.endswith("\n") else result.code + "\n")
        return
    check = result.check
    true: tuple[int, ...] = ()
    if check is not None:
        true = check.num_instructions, check.size_bytes, check.text_data_bytes
    before = (
        result.num_instructions_before,
        result.size_bytes_before,
        result.text_data_bytes_before,
    )
    said = result.num_instructions, result.size_bytes, result.text_data_bytes
    rows = []
    for index, name in enumerate(("instructions", "size bytes", ".text + .data bytes")):
        row = [name, str(before[index]), "?" if said[index] is None else str(said[index])]
        rows.append([*row, *([str(true[index])] if true else [])])
    header = ["", "before", "predicted", *(["true"] if true else [])]
    print_table(header, rows, right="lrrr")
    if check is None:
        return
    print(f"verdict: {check.verdict.value}" + (f" ({check.reason})" if check.reason else ""))
    names = demangled(list(check.functions))
    for name, verdict in check.functions.items():
        print(f"  {names[name]}: {verdict}")
    if check.verdict is not EmulationVerdict.EXACT and result.code is not None:
        _print_difference(result.code, check.code)


def _print_difference(predicted: str, true: str) -> None:
    """Print a unified diff from the prediction to the truth, coloured on a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    lines = difflib.unified_diff(
        predicted.splitlines(), true.splitlines(), "predicted", "true", lineterm=""
    )
    for line in lines:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        console.print(Text(line, style=style))
