"""The stock commands that assemble a unit: ``opt``, ``llvm-extract``, ``clang``, nothing else.

For each part ``llvm-extract`` cuts out two modules: what the part defines, and what it may inline.
ThinLTO's ``function-import`` brings the second into the first as ``available_externally`` (which is
what that pass is for), the part's list runs, and ``elim-avail-extern`` drops what was imported.
``clang -mlink-bitcode-file`` links the parts into the base and keeps its source file's name, which
``llvm-link`` would lose. Then everything is static again that was. Two of the steps depend on the
module and not on the plan alone (which attributes the prefix forces, which inline functions nothing
uses any more): they are asked for by a worker and written into the commands, so that the commands
alone, in the same order, make the same bytes. Safe in threads.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.llvm.function_wise.assemble import internalize_pipeline
from llm_compiler.llvm.function_wise.plan import AssemblyPlan, Part
from llm_compiler.llvm.function_wise.prefix import PREFIX_PIPELINE, Prefix
from llm_compiler.llvm.function_wise.structure import Structure
from llm_compiler.llvm.levels import pipeline_for
from llm_compiler.llvm.settings import opt_flags, opt_pipeline
from llm_compiler.llvm.stock import Stock
from llm_compiler.records import Recipe

__all__ = ["Leftovers", "StockAssembly", "run_commands"]

_MAX_ARGUMENT_BYTES = 120_000
"""Linux takes 128 KiB in one argument."""
_MAX_COMMAND_BYTES = 1_500_000
_SUMMARY = "-module-summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What nothing uses in the linked parts, though nothing else would drop it."""

    functions: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StockAssembly:
    """One assembly of one unit, as commands.

    Args:
        stem: what every intermediate file's name starts with.
        pic: whether the unit asks for position-independent code.
        leftovers: None until the linked parts were looked at.
    """

    stock: Stock
    structure: Structure
    prefix: Prefix
    plan: AssemblyPlan
    pic: bool
    leftovers: Leftovers | None = None

    def commands(self, unoptimized: Path, output: Path) -> tuple[tuple[str, ...], ...]:
        """Return all commands from the unoptimised bitcode to the object `output`."""
        return (*self.link_commands(unoptimized, str(output)), *self.last_commands(output))

    def last_commands(self, output: Path) -> tuple[tuple[str, ...], ...]:
        """Return the commands from the linked parts to the object."""
        optimized = Path(f"{output}.optimized.bc")
        return (
            *self.finish_commands(str(output), optimized),
            self.stock.backend_command(optimized, output, recipe=Recipe(options=self.plan.options)),
        )

    def replay(self, source: Path, output: Path) -> tuple[str, ...]:
        """Return all commands from the user's input to the object, as text for a shell."""
        unoptimized = Path(f"{output}.unoptimized.bc")
        commands = (
            self.stock.frontend_command(source, unoptimized),
            *self.commands(unoptimized, output),
        )
        return tuple(shlex.join(command) for command in commands)

    def link_commands(self, unoptimized: Path, stem: str) -> tuple[tuple[str, ...], ...]:
        """Return the commands up to the linked parts, ``STEM.linked.bc``."""
        merged = f"{stem}.merged.bc"
        commands = [self._prefix_command(str(unoptimized), merged)]
        for index, part in enumerate(self.plan.parts):
            commands += self._part_commands(part, merged, f"{stem}.part{index}")
        if len(self.plan.parts) > 1:
            base, *others = (Path(f"{stem}.part{i}.bc") for i in range(len(self.plan.parts)))
            commands.append(self.stock.link_command(base, others, Path(self.linked(stem))))
        return tuple(commands)

    def finish_commands(self, stem: str, optimized: Path) -> tuple[tuple[str, ...], ...]:
        """Return the commands from the linked parts to the optimised bitcode."""
        assert self.leftovers is not None
        linked = self.linked(stem)
        commands = []
        if self.leftovers.functions or self.leftovers.variables:
            kept = f"{stem}.kept.bc"
            commands.append(
                self._extract(
                    linked,
                    kept,
                    delete=True,
                    functions=self.leftovers.functions,
                    variables=self.leftovers.variables,
                )
            )
            linked = kept
        pipeline = (
            f"{internalize_pipeline(self.structure.exported)},globaldce,{self.plan.suffix},verify"
        )
        commands.append(self._opt(pipeline, linked, str(optimized)))
        return tuple(commands)

    def fits(self) -> bool:
        """Whether the operating system takes the commands: names may be too many or too long."""
        leftovers = self.leftovers or Leftovers(
            functions=self.structure.discardable_functions,
            variables=self.structure.discardable_variables,
        )
        longest = replace(self, leftovers=leftovers)
        for command in longest.commands(Path("unit.bc"), Path("unit.o")):
            lengths = [len(argument.encode("utf-8", "surrogateescape")) for argument in command]
            if max(lengths) > _MAX_ARGUMENT_BYTES:
                return False
            if sum(lengths) + 9 * len(lengths) > _MAX_COMMAND_BYTES:
                return False
        return True

    # -- single commands -----------------------------------------------------------------------

    def _opt(self, pipeline: str, source: str, output: str, *options: str) -> tuple[str, ...]:
        return (
            str(self.stock.toolchain.tool("opt")),
            f"-passes={pipeline_for(pipeline, self.stock.toolchain.major)}",
            f"--relocation-model={'pic' if self.pic else 'static'}",
            *options,
            source,
            "-o",
            output,
        )

    def _prefix_command(self, source: str, output: str) -> tuple[str, ...]:
        forced = self.prefix.forced_attributes
        if not forced:
            return self._opt(PREFIX_PIPELINE, source, output)
        options = [f"-force-attribute={name}:{attribute}" for name, attribute in forced]
        return self._opt(f"forceattrs,{PREFIX_PIPELINE}", source, output, *options)

    def _extract(
        self,
        source: str,
        output: str,
        *,
        delete: bool = False,
        functions: Iterable[str] = (),
        aliases: Iterable[str] = (),
        variables: Iterable[str] = (),
        keep_constants: bool = False,
    ) -> tuple[str, ...]:
        return (
            str(self.stock.toolchain.tool("llvm-extract")),
            *(("--delete",) if delete else ()),
            *(("--keep-const-init",) if keep_constants else ()),
            *(f"--func={name}" for name in functions),
            *(f"--alias={name}" for name in aliases),
            *(f"--glob={name}" for name in variables),
            source,
            "-o",
            output,
        )

    def _part_commands(self, part: Part, merged: str, stem: str) -> Iterator[tuple[str, ...]]:
        own, seen, rest = f"{stem}.own.bc", f"{stem}.seen.bc", f"{stem}.rest.bc"
        yield self._own_command(part, merged, own)
        passes = [opt_pipeline(part.recipe), "elim-avail-extern"]
        options = list(opt_flags(part.recipe))
        constants, all_constants = self._constants(part)
        if part.imported or constants or all_constants:
            yield self._extract(
                merged,
                seen,
                functions=part.imported,
                variables=constants,
                keep_constants=all_constants,
            )
            yield (str(self.stock.toolchain.tool("opt")), _SUMMARY, seen, "-o", rest)
            if internal := self._internalize_part(part):
                passes.insert(0, internal)
            passes.insert(0, "function-import")
            options += [f"-summary-file={rest}", "-import-all-index"]
        elif internal := self._internalize_part(part):
            passes.insert(0, internal)
        yield self._opt(",".join(filter(None, passes)), own, f"{stem}.bc", *options)

    def _own_command(self, part: Part, merged: str, own: str) -> tuple[str, ...]:
        """Cut out what a part defines."""
        if not part.is_base:
            return self._extract(
                merged,
                own,
                functions=part.functions,
                aliases=part.aliases,
                variables=part.internal_variables,
            )
        others = [each_part for each_part in self.plan.parts if not each_part.is_base]
        if not others:
            # Nothing to leave out; this makes everything visible that the end makes static again.
            return self._extract(merged, own, delete=True)
        return self._extract(
            merged,
            own,
            delete=True,
            functions=[name for other in others for name in other.functions],
            aliases=[name for other in others for name in other.aliases],
            variables=part.absent_variables,
        )

    def _constants(self, part: Part) -> tuple[list[str], bool]:
        """Return the constants that a part may look into, or True for all of them.

        What is imported takes the place of what is there: never what the part itself defines.
        """
        if part.is_base:
            return [], False
        moved = {name for each_part in self.plan.parts for name in each_part.internal_variables}
        if self.structure.opaque_constants or moved & self.structure.importable_constants:
            return sorted(self.structure.importable_constants - moved), False
        return [], bool(self.structure.importable_constants)

    def _internalize_part(self, part: Part) -> str:
        """Return the pass that makes a part's own static functions and variables static again."""
        internal = {*part.internal_functions, *part.internal_variables}
        if not internal:
            return ""
        kept = [
            *self.structure.exported,
            *(name for name in part.functions if name in self.structure.local_functions),
            *sorted(self.structure.local_variables),
            *part.aliases,
        ]
        return internalize_pipeline(tuple(n for n in dict.fromkeys(kept) if n not in internal))

    def linked(self, stem: str) -> str:
        """Return the name of the linked parts."""
        return f"{stem}.linked.bc" if len(self.plan.parts) > 1 else f"{stem}.part0.bc"


def run_commands(stock: Stock, commands: Sequence[Sequence[str]]) -> None:
    """Run commands one after the other.

    Raises:
        CompileFailed, PassCrashed, TimedOut, OutOfMemory: the first that fails, in its own words.
    """
    for command in commands:
        stock.run_tool(command, f"{Path(command[0]).name} for a part")
