"""From one source to what takes the place of clang's own object, or to nothing.

clang's object and the unoptimised bitcode come from one run of clang, where that is sound: it
embeds the module, as its front end made it, in the object, and what is allocated stays the same.
A `Maker` writes no file of the build; it asks clients to run compilers, and says what came of it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_compiler.cc.cache import Cache, Entry
from llm_compiler.cc.command_line import Compilation, Kind
from llm_compiler.cc.fat_objects import Fat, code_flags, fatten
from llm_compiler.cc.improve import Improved, Workshop
from llm_compiler.cc.keys import changed_since, key_of, reads_files
from llm_compiler.cc.protocol import EXTRA_FILE, Call, Connection
from llm_compiler.cc.settings import CcSettings, Mode
from llm_compiler.errors import InputError, LlmCompilerError
from llm_compiler.llvm.elf import parse_elf
from llm_compiler.llvm.object_file import has_sizes, object_format
from llm_compiler.llvm.toolchain import Toolchain

__all__ = ["Compiled", "Maker", "Source", "entry_of"]

_EMBED = ("-Xclang", "-fembed-bitcode=all")
_EMBEDDED = ".llvmbc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A preprocessed source."""

    text: bytes = field(repr=False)
    key: str
    """What it becomes is kept in the cache under that."""
    dependencies: bytes = field(repr=False)
    """For make."""
    is_quiet: bool
    """The preprocessor had nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What clang made of a source."""

    baseline: bytes = field(repr=False)
    """Its own object, but for what is not loaded."""
    bitcode: bytes = field(repr=False)
    """The module as the front end made it."""
    diagnostics: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes entries of the cache; threads may share it.

    Args:
        identity: of the toolchain, the recipes and the model; a part of every key.
        scratch: for temporary files.
    """

    toolchain: Toolchain
    identity: str
    workshop: Workshop
    cache: Cache
    scratch: Path

    def clang(self, call: Call) -> str:
        """Return the compiler of a call."""
        return str(self.toolchain.tool("clang++" if call.is_cxx else "clang"))

    def preprocess(
        self, asked: Compilation, call: Call, settings: CcSettings, connection: Connection
    ) -> Source | None:
        """Return the source and its key; None where clang must answer."""
        dependencies: tuple[str, ...] = ()
        if asked.dependency_file:
            dependencies = (*asked.dependencies, "-MF", EXTRA_FILE)
        status, text, listed, complaints = connection.run_helper(
            [self.clang(call), *asked.preprocess, *dependencies], with_extra=bool(dependencies)
        )
        if status or reads_files(text):
            return None
        try:
            key = key_of(asked, text, call.folder, settings, self.identity, is_cxx=call.is_cxx)
        except OSError:
            return None
        return Source(text=text, key=key, dependencies=listed, is_quiet=not complaints)

    def compile_once(
        self, asked: Compilation, call: Call, connection: Connection
    ) -> Compiled | int | None:
        """Return object and bitcode of one run of clang.

        An exit status where clang refuses the source; None where one run does not make both.
        """
        if asked.level != "-Oz" or asked.has_side_files:
            return None
        status, data, _, printed = connection.run_helper(
            [self.clang(call), *_EMBED, *asked.compile]
        )
        if status:
            return status
        bitcode = _embedded(data)
        if bitcode is None:
            return None
        return Compiled(baseline=data, bitcode=bitcode, diagnostics=printed)

    def compile_twice(
        self, asked: Compilation, call: Call, connection: Connection, baseline: bytes | None
    ) -> Compiled:
        """Return object and bitcode of two runs of clang, or of one where the object is there.

        Raises:
            InputError: there is no object that can be measured, or no bitcode.
        """
        if baseline is None:
            status, baseline, _, _ = connection.run_helper([self.clang(call), *asked.compile])
            if status:
                raise InputError("clang makes no object of it")
        if not has_sizes(baseline):
            raise InputError("the object cannot be measured")
        command = [self.clang(call), *asked.bitcode]
        if asked.splits_debug:  # the name goes into the module
            name = str(Path(asked.output).with_suffix(".dwo"))
            command += ["-Xclang", "-split-dwarf-file", "-Xclang", name]
        status, bitcode, _, _ = connection.run_helper(command)
        if status:
            raise InputError("clang makes no bitcode of it")
        return Compiled(baseline=baseline, bitcode=bitcode)

    def side_path(self, asked: Compilation, call: Call, connection: Connection) -> str:
        """Return what clang calls the file that it leaves beside the object.

        Raises:
            InputError: it is not found.
        """
        status, _, _, text = connection.run_helper([self.clang(call), "-###", *call.arguments])
        for line in text.decode("utf-8", "surrogateescape").splitlines() if not status else ():
            words = shlex.split(line) if line.startswith(" ") else []
            if asked.saves_temps and "-cc1as" in words:
                return words[-1]
            if asked.splits_debug and "-split-dwarf-output" in words:
                return words[words.index("-split-dwarf-output") + 1]
        raise InputError("clang does not say what it leaves beside the object")

    def improve(
        self,
        asked: Compilation,
        call: Call,
        compiled: Compiled,
        settings: CcSettings,
        connection: Connection,
        *,
        side_path: str = "",
    ) -> tuple[Improved, Entry]:
        """Search for something smaller than clang's own; `Entry.recipe` is empty where it stands.

        Raises:
            LlmCompilerError: nothing can be searched.
        """
        is_assembly = asked.kind is Kind.ASSEMBLY
        improved = self.workshop.improve(
            name=asked.source,
            bitcode=compiled.bitcode,
            baseline=compiled.baseline,
            flags=asked.flags,
            effort=settings.effort,
            stop=connection.lost,
            is_cxx=asked.is_cxx(call.is_cxx),
            with_assembly=is_assembly or asked.saves_temps,
            debug_path=side_path if asked.splits_debug else "",
        )
        entry = entry_of(improved, b"")
        if is_assembly and entry.recipe:
            entry = replace(entry, data=improved.assembly)
        elif side_path:
            side = improved.debug if asked.splits_debug else improved.assembly
            entry = replace(entry, side=side, side_path=side_path)
        return improved, entry

    def fattened(
        self, entry: Entry, asked: Compilation, compiled: Compiled, settings: CcSettings
    ) -> Entry:
        """Return an entry whose object carries its bitcode, where that is wanted.

        Raises:
            LlmCompilerError: it cannot.
        """
        if settings.mode is not Mode.LTO or asked.kind is Kind.ASSEMBLY or not entry.data:
            return entry
        fat = Fat(code_flags(asked.flags), compiled.bitcode)
        data = fatten(entry.data, fat, self.toolchain, self.scratch)
        return replace(entry, data=data)

    def is_overtaken(self, asked: Compilation, source: Source, call: Call, began_ns: int) -> bool:
        """Whether a file of the source was written since a call began."""
        return changed_since(asked, source.text, call.folder, began_ns)


def entry_of(improved: Improved, baseline: bytes, *, quiet: bool = False) -> Entry:
    """Return the entry for what became of a unit or a program."""
    result = improved.result
    return Entry(
        data=result.output if result.recipe is not None else baseline,
        baseline_bytes=result.baseline_bytes,
        optimized_bytes=result.optimized_bytes,
        recipe=result.recipe.text if result.recipe is not None else "",
        proposer=result.proposer,
        quiet=quiet,
    )


def _embedded(data: bytes) -> bytes | None:
    """Return the bitcode that an object carries."""
    if object_format(data) != "ELF":
        return None
    try:
        sections = parse_elf(data).sections
    except LlmCompilerError:
        return None
    return next((section.data for section in sections if section.name == _EMBEDDED), None)
