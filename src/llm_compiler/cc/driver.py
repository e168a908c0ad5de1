"""One call of ``llm-cc``, from its arguments to its end.

clang runs as the user called it, and its object, its diagnostics and its exit status are the call's
unless there is a smaller object that means the same. What was made before is looked up by the
preprocessed source; then clang need not run at all, if it had printed nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.cc.cache import Cache, Entry
from llm_compiler.cc.command_line import Compilation, PassOn, classify
from llm_compiler.cc.fat_objects import Fat, code_flags, fatten
from llm_compiler.cc.improve import Improved, Workshop
from llm_compiler.cc.link import Link, join, link_again
from llm_compiler.cc.protocol import EXTRA_FILE, Call, Connection
from llm_compiler.cc.settings import CcSettings, Mode
from llm_compiler.errors import InputError, LlmCompilerError
from llm_compiler.llvm.object_file import object_format, section_sizes
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.size_report.journal import Journal, Record

__all__ = ["Driver", "key_of"]

_MARKER = re.compile(rb'^# \d+ "((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
# What is in an object and not in the preprocessed source.
_READS_FILES = (b".incbin", b"#embed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Answers calls; threads may share it.

    Args:
        identity: of the toolchain, the recipes and the model; a part of every key.
    """

    toolchain: Toolchain
    identity: str
    workshop: Workshop
    cache: Cache
    journal: Journal
    scratch: Path
    """For temporary files."""

    def answer(self, call: Call, connection: Connection) -> None:
        """Take a call to its end.

        Raises:
            ClientLost: nobody waits for it any more.
        """
        settings = CcSettings.from_environment(call.environment)
        asked = classify(call.arguments, call.folder, call.environment, settings)
        match asked:
            case PassOn():
                connection.exec_given()
            case Compilation():
                self._compile(asked, call, settings, connection)
            case Link():
                self._link(asked, call, settings, connection)

    def _compile(
        self, asked: Compilation, call: Call, settings: CcSettings, connection: Connection
    ) -> None:
        started, began_ns = time.monotonic(), time.time_ns()
        clang = str(self.toolchain.tool("clang++" if call.is_cxx else "clang"))
        dependencies: tuple[str, ...] = ()
        if asked.dependency_file:
            dependencies = (*asked.dependencies, "-MF", EXTRA_FILE)
        status, source, listed, complaints = connection.run_helper(
            [clang, *asked.preprocess, *dependencies], with_extra=bool(dependencies)
        )
        if status or any(word in source for word in _READS_FILES):
            connection.exec_given()
            return
        key = key_of(asked, source, call.folder, settings, self.identity)
        known = self.cache.get(key) if settings.use_cache else None
        if known is not None and known.quiet and not complaints:
            wrote = connection.write(asked.output, known.data)
            if not wrote and asked.dependency_file:
                wrote = connection.write(asked.dependency_file, listed)
            if wrote:
                connection.exec_given()  # clang says what is wrong with the output
                return
            self._note(asked, call, settings, known, started=started, is_hit=True)
            connection.quit(0)
            return
        status, printed = connection.run_given(keep_errors=not call.is_terminal)
        if status:
            connection.quit(status)
            return
        baseline = connection.fetch(asked.output)
        if baseline is None or object_format(baseline) != "ELF":
            connection.quit(0)
            return
        is_quiet = not call.is_terminal and not printed
        if known is not None:
            self._replace(asked, call, settings, known, connection, started, is_hit=True)
            return
        status, bitcode, _, _ = connection.run_helper([clang, *asked.bitcode])
        if status or _changed_since(source, call.folder, began_ns):
            why = "clang makes no bitcode of it" if status else "it changed meanwhile"
            record = _record(asked, call, settings, None, started, detail=why)
            self.journal.write(record, settings.journal)
            connection.quit(0)
            return
        try:
            improved = self.workshop.improve(
                name=asked.source,
                bitcode=bitcode,
                baseline=baseline,
                flags=asked.flags,
                effort=settings.effort,
                stop=connection.lost,
            )
        except LlmCompilerError as error:
            self.journal.write(
                _record(asked, call, settings, None, started, detail=str(error)), settings.journal
            )
            connection.quit(0)
            return
        entry = _entry(improved, baseline, quiet=is_quiet)
        if settings.mode is Mode.LTO:
            try:
                fat = Fat(code_flags(asked.flags), bitcode)
                data = fatten(entry.data, fat, self.toolchain, self.scratch)
                entry = replace(entry, data=data)
            except LlmCompilerError:
                settings = replace(settings, mode=Mode.OBJECT, use_cache=False)
        if settings.use_cache and improved.is_stable:
            self.cache.put(key, entry, room_bytes=settings.cache_bytes)
        self._replace(asked, call, settings, entry, connection, started, is_hit=False)

    def _link(self, asked: Link, call: Call, settings: CcSettings, connection: Connection) -> None:
        started = time.monotonic()
        status, _ = connection.run_given(keep_errors=False)
        if status:
            connection.quit(status)
            return
        plain = connection.fetch(asked.output)
        if plain is None or object_format(plain) != "ELF":
            connection.quit(0)
            return
        before = after = section_sizes(plain).size_bytes
        recipe, detail, is_hit = "", "", False
        with tempfile.TemporaryDirectory(prefix="link-", dir=self.scratch) as name:
            try:
                entry, linked, is_hit = self._whole(asked, call, settings, connection, Path(name))
                size = section_sizes(linked).size_bytes
                if size >= before:
                    raise InputError(f"the program as one is no smaller: {size} bytes")
                if connection.write(asked.output, linked, executable=True) == 0:
                    recipe, after = entry.recipe or "clang -Oz", size
            except LlmCompilerError as error:
                detail = f"linked as it is: {error}"
        record = Record(
            folder=str(call.folder),
            source="",
            output=str(call.folder / asked.output),
            level="",
            effort=settings.effort.value,
            baseline_bytes=before,
            optimized_bytes=after,
            recipe=recipe,
            proposer="",
            is_hit=is_hit,
            seconds=round(time.monotonic() - started, 3),
            detail=detail,
        )
        self.journal.write(record, settings.journal)
        connection.quit(0)

    def _whole(
        self,
        asked: Link,
        call: Call,
        settings: CcSettings,
        connection: Connection,
        folder: Path,
    ) -> tuple[Entry, bytes, bool]:
        """Return the whole program's object, the file linked from it, and whether it was known."""
        joined = join(asked, call, connection, self.toolchain, folder)
        digest = hashlib.blake2b(digest_size=20)
        for word in (self.identity, settings.effort.value, "whole", *joined.flags, ""):
            digest.update(os.fsencode(word) + b"\0")
        digest.update(joined.bitcode)
        key = digest.hexdigest()
        entry = self.cache.get(key) if settings.use_cache else None
        is_hit = entry is not None
        if entry is None:
            improved, baseline = self.workshop.improve_whole(
                name=asked.output,
                bitcode=joined.bitcode,
                flags=joined.flags,
                effort=settings.effort,
                stop=connection.lost,
            )
            entry = _entry(improved, baseline)
            if settings.use_cache and improved.is_stable:
                self.cache.put(key, entry, room_bytes=settings.cache_bytes)
        linked = link_again(asked, joined, entry.data, call, connection, self.toolchain, folder)
        return entry, linked, is_hit

    def _replace(
        self,
        asked: Compilation,
        call: Call,
        settings: CcSettings,
        entry: Entry,
        connection: Connection,
        started: float,
        *,
        is_hit: bool,
    ) -> None:
        """Put an object in the place of clang's, which is there; it stands where that fails."""
        if entry.recipe or settings.mode is Mode.LTO:
            connection.write(asked.output, entry.data)
        self._note(asked, call, settings, entry, started=started, is_hit=is_hit)
        connection.quit(0)

    def _note(
        self,
        asked: Compilation,
        call: Call,
        settings: CcSettings,
        entry: Entry,
        *,
        started: float,
        is_hit: bool,
    ) -> None:
        record = _record(asked, call, settings, entry, started, is_hit=is_hit)
        self.journal.write(record, settings.journal)


def _entry(improved: Improved, baseline: bytes, *, quiet: bool = False) -> Entry:
    result = improved.result
    return Entry(
        data=result.output if result.recipe is not None else baseline,
        baseline_bytes=result.baseline_bytes,
        optimized_bytes=result.optimized_bytes,
        recipe=result.recipe.text if result.recipe is not None else "",
        proposer=result.proposer,
        quiet=quiet,
    )


def _record(
    asked: Compilation,
    call: Call,
    settings: CcSettings,
    entry: Entry | None,
    started: float,
    *,
    is_hit: bool = False,
    detail: str = "",
) -> Record:
    return Record(
        folder=str(call.folder),
        source=asked.source,
        output=str(call.folder / asked.output),
        level=asked.level,
        effort=settings.effort.value,
        baseline_bytes=entry.baseline_bytes if entry else 0,
        optimized_bytes=entry.optimized_bytes if entry else 0,
        recipe=entry.recipe if entry else "",
        proposer=entry.proposer if entry else "",
        is_hit=is_hit,
        seconds=round(time.monotonic() - started, 3),
        detail="; ".join((*settings.troubles, *([detail] if detail else []))),
    )


def key_of(
    asked: Compilation, source: bytes, folder: Path, settings: CcSettings, identity: str
) -> str:
    """Return the name of what is to be made, by all that matters to it.

    Args:
        source: preprocessed.
        identity: of the toolchain, the recipes and the model.
    """
    digest = hashlib.blake2b(digest_size=20)
    where = str(folder) if asked.keeps_folder else ""
    mode, effort = settings.mode.value, settings.effort.value
    words = [identity, mode, effort, asked.level, *asked.significant, ""]
    words += [_mapped(asked.source, asked), _mapped(where, asked)]
    for word in words:
        digest.update(os.fsencode(word) + b"\0")
    if asked.prefix_maps:
        source = _MARKER.sub(lambda found: _mapped_marker(found, asked), source)
    digest.update(source)
    return digest.hexdigest()


def _mapped(path: str, asked: Compilation) -> str:
    for old, new in asked.prefix_maps:
        if path.startswith(old):
            return new + path[len(old) :]
    return path


def _mapped_marker(found: re.Match[bytes], asked: Compilation) -> bytes:
    path = os.fsdecode(found[1])
    mapped = _mapped(path, asked)
    return found[0] if mapped == path else found[0].replace(found[1], os.fsencode(mapped))


def _changed_since(source: bytes, folder: Path, began_ns: int) -> bool:
    """Whether a file that a preprocessed source came from was written since, or is gone.

    File systems keep times by the kernel's tick, some milliseconds late; clang takes longer than
    that to start, so that it has read whatever seems older than its start.
    """
    names = {found[1] for found in _MARKER.finditer(source)}
    for name in names:
        if name.startswith(b"<") or b"\\" in name:
            continue
        try:
            found = os.stat(os.path.join(os.fsencode(folder), name))
        except OSError:
            return True
        if max(found.st_mtime_ns, found.st_ctime_ns) > began_ns:
            return True
    return False
