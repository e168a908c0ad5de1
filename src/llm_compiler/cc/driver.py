"""One call of ``llm-cc``, from its arguments to its end.

Until a smaller object is there, nothing of the build is touched: whatever goes wrong, the client
becomes clang as the user called it. Where there is none, clang answers. What was made before is
looked up by the preprocessed source; then clang need not run at all, if it had printed nothing.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.cc.cache import Cache, Entry
from llm_compiler.cc.command_line import Compilation, Kind, PassOn, Several, classify
from llm_compiler.cc.improve import Workshop
from llm_compiler.cc.link import Link, linked_map
from llm_compiler.cc.making import Compiled, Maker, Source
from llm_compiler.cc.protocol import Call, Connection
from llm_compiler.cc.relink import link_units
from llm_compiler.cc.settings import CcSettings, Mode
from llm_compiler.cc.whole import link_whole
from llm_compiler.errors import InputError, LlmCompilerError
from llm_compiler.llvm.object_file import object_format, section_sizes
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.size_report.journal import Journal, Record

__all__ = ["Driver"]

_TINY_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A call, and how it is to be answered."""

    call: Call
    settings: CcSettings
    connection: Connection
    started: float
    began_ns: int


class Driver:
    """Answers calls; threads may share it.

    Args:
        identity: of the toolchain, the recipes and the model; a part of every key.
        scratch: for temporary files.
    """

    def __init__(
        self,
        *,
        toolchain: Toolchain,
        identity: str,
        workshop: Workshop,
        cache: Cache,
        journal: Journal,
        scratch: Path,
    ) -> None:
        self._cache = cache
        self._journal = journal
        self._maker = Maker(
            toolchain=toolchain,
            identity=identity,
            workshop=workshop,
            cache=cache,
            scratch=scratch,
        )

    def answer(self, call: Call, connection: Connection) -> None:
        """Take a call to its end.

        Raises:
            ClientLost: nobody waits for it any more.
        """
        settings = CcSettings.from_environment(call.environment)
        asked = classify(call.arguments, call.folder, call.environment, settings)
        request = _Asked(
            call=call,
            settings=settings,
            connection=connection,
            started=time.monotonic(),
            began_ns=time.time_ns(),
        )
        match asked:
            case PassOn():
                connection.exec_given()
            case Compilation():
                if self._has_source(asked, connection):
                    self._compile(asked, request)
            case Several():
                if self._has_source(asked, connection):
                    self._compile_several(asked, request)
            case Link():
                self._link(asked, request)

    def _has_source(self, asked: Compilation | Several, connection: Connection) -> bool:
        """Keep what is at standard input, if that is a source; False: clang answers."""
        if asked.reads_stdin:
            text = connection.keep_stdin()
            if text is None or len(text) < _TINY_BYTES:
                connection.exec_given()
                return False
        return True

    # -- one source ------------------------------------------------------------------------------

    def _compile(self, asked: Compilation, request: _Asked) -> None:
        connection, settings = request.connection, request.settings
        source = self._maker.preprocess(asked, request.call, settings, connection)
        if source is None:
            connection.exec_given()
            return
        known = self._cache.get(source.key) if settings.use_cache else None
        if known is not None:
            if known.quiet and source.is_quiet and not asked.saves_temps:
                self._hand_out(asked, source, known, request, is_hit=True)
            else:
                self._replace_after_clang(asked, known, request)
            return
        compiled = None
        if not request.call.environment.get("LLM_CC_LAUNCHER"):
            compiled = self._maker.compile_once(asked, request.call, connection)
        if isinstance(compiled, int):
            connection.exec_given()
        elif compiled is None:
            self._compile_beside(asked, source, request)
        else:
            self._compile_in_place(asked, source, compiled, request)

    def _compile_in_place(
        self, asked: Compilation, source: Source, compiled: Compiled, request: _Asked
    ) -> None:
        """Hand out what is smaller than what clang made in memory; else clang answers."""
        connection, settings = request.connection, request.settings
        try:
            if self._maker.is_overtaken(asked, source, request.call, request.began_ns):
                raise InputError("it changed meanwhile")
            improved, entry = self._maker.improve(
                asked, request.call, compiled, settings, connection
            )
            is_kept = settings.use_cache and improved.is_stable
            if not entry.recipe:
                self._keep_clangs(asked, source, compiled, entry, request, is_kept=is_kept)
                return
            entry = self._maker.fattened(entry, asked, compiled, settings)
        except LlmCompilerError as error:
            self._note_failure(asked, request, str(error))
            connection.exec_given()
            return
        entry = replace(entry, quiet=not compiled.diagnostics)
        if is_kept:
            self._keep(source, entry, settings)
        if compiled.diagnostics and request.call.is_terminal:
            # What clang prints there has colours and the terminal's width.
            self._replace_after_clang(asked, entry, request, is_hit=False)
            return
        self._hand_out(
            asked, source, entry, request, is_hit=False, diagnostics=compiled.diagnostics
        )

    def _keep_clangs(
        self,
        asked: Compilation,
        source: Source,
        compiled: Compiled,
        entry: Entry,
        request: _Asked,
        *,
        is_kept: bool,
    ) -> None:
        """Let clang make what is handed out, which nothing here is smaller than."""
        connection, settings = request.connection, request.settings
        status, printed = connection.run_given(keep_errors=not request.call.is_terminal)
        data = connection.fetch(asked.output) if not status else None
        if data is None:
            connection.quit(status)
            return
        entry = replace(entry, data=data, quiet=not (request.call.is_terminal or printed))
        try:
            fat = self._maker.fattened(entry, asked, compiled, settings)
        except LlmCompilerError:
            fat, is_kept = entry, False
        if fat is not entry:
            connection.write(asked.output, fat.data)
        if is_kept:
            self._keep(source, fat, settings)
        self._note(asked, fat, request, is_hit=False)
        connection.quit(0)

    def _compile_beside(self, asked: Compilation, source: Source, request: _Asked) -> None:
        """Let clang do all that it was called for, and replace what can be made smaller."""
        connection, settings = request.connection, request.settings
        status, printed = connection.run_given(keep_errors=not request.call.is_terminal)
        if status:
            connection.quit(status)
            return
        try:
            own = connection.fetch(asked.output)
            if own is None:
                raise InputError("it is no plain file")
            side_path = ""
            if asked.has_side_files:
                side_path = self._maker.side_path(asked, request.call, connection)
            compiled = self._maker.compile_twice(
                asked, request.call, connection, own if asked.kind is Kind.OBJECT else None
            )
            if self._maker.is_overtaken(asked, source, request.call, request.began_ns):
                raise InputError("it changed meanwhile")
            improved, entry = self._maker.improve(
                asked, request.call, compiled, settings, connection, side_path=side_path
            )
            is_kept = settings.use_cache and improved.is_stable
            entry = replace(entry, quiet=not (request.call.is_terminal or printed))
            if not entry.recipe:
                side = connection.fetch(side_path) if side_path else b""
                entry = replace(entry, data=own, side=side or b"")
                is_kept = is_kept and side is not None
            entry = self._maker.fattened(entry, asked, compiled, settings)
        except LlmCompilerError as error:
            self._note_failure(asked, request, str(error))
            connection.quit(0)
            return
        if is_kept:
            self._keep(source, entry, settings)
        self._replace(asked, entry, request)
        self._note(asked, entry, request, is_hit=False)
        connection.quit(0)

    def _hand_out(
        self,
        asked: Compilation,
        source: Source,
        entry: Entry,
        request: _Asked,
        *,
        is_hit: bool,
        diagnostics: bytes = b"",
    ) -> None:
        """Write all that the call asks for, without clang; where that fails, clang says why."""
        connection = request.connection
        files = _files(asked, entry)
        if asked.dependency_file:
            files[asked.dependency_file] = source.dependencies
        if connection.write_all(files):
            connection.exec_given()
            return
        if diagnostics:
            connection.print_error(diagnostics)
        self._note(asked, entry, request, is_hit=is_hit)
        connection.quit(0)

    def _replace_after_clang(
        self, asked: Compilation, entry: Entry, request: _Asked, *, is_hit: bool = True
    ) -> None:
        """Let clang run as it was called, and put what is known in the place of its object."""
        status, _ = request.connection.run_given(keep_errors=False)
        if status == 0:
            self._replace(asked, entry, request)
            self._note(asked, entry, request, is_hit=is_hit)
        request.connection.quit(status)

    def _replace(self, asked: Compilation, entry: Entry, request: _Asked) -> None:
        """Put an object in the place of clang's, which is there; it stands where that fails."""
        if entry.data and (entry.recipe or request.settings.mode is Mode.LTO):
            request.connection.write_all(_files(asked, entry))

    # -- several sources -------------------------------------------------------------------------

    def _compile_several(self, asked: Several, request: _Asked) -> None:
        """Let clang do all, then replace what can be made smaller; link again where it linked."""
        connection = request.connection
        if asked.link is not None:
            request = replace(request, settings=replace(request.settings, mode=Mode.OBJECT))
        status, _ = connection.run_given(keep_errors=False)
        if status:
            connection.quit(status)
            return
        entries: list[Entry | None] = []
        for unit in asked.units:
            try:
                entries.append(self._entry_after_clang(unit, request))
            except LlmCompilerError as error:
                self._note_failure(unit, request, str(error))
                entries.append(None)
        if asked.link is None:
            for unit, entry in zip(asked.units, entries, strict=True):
                if entry is not None:
                    self._replace(unit, entry, request)
        elif any(entry is not None and entry.recipe for entry in entries):
            self._link_smaller(asked, asked.link.output, entries, request)
        connection.quit(0)

    def _entry_after_clang(self, unit: Compilation, request: _Asked) -> Entry:
        """Return what is known of a source that clang has compiled already, or find it out.

        Raises:
            LlmCompilerError: nothing can be found out.
        """
        call, settings, connection = request.call, request.settings, request.connection
        source = self._maker.preprocess(unit, call, settings, connection)
        if source is None:
            raise InputError("it cannot be preprocessed alone")
        known = self._cache.get(source.key) if settings.use_cache else None
        if known is not None:
            self._note(unit, known, request, is_hit=True)
            return known
        compiled = self._maker.compile_once(unit, call, connection)
        if not isinstance(compiled, Compiled):
            compiled = self._maker.compile_twice(unit, call, connection, None)
        if self._maker.is_overtaken(unit, source, call, request.began_ns):
            raise InputError("it changed meanwhile")
        improved, entry = self._maker.improve(unit, call, compiled, settings, connection)
        if not entry.recipe and unit.output:
            entry = replace(entry, data=connection.fetch(unit.output) or b"")
        entry = self._maker.fattened(entry, unit, compiled, settings)
        if settings.use_cache and improved.is_stable:
            self._keep(source, entry, settings)  # not quiet: what clang prints is not known
        self._note(unit, entry, request, is_hit=False)
        return entry

    def _link_smaller(
        self, asked: Several, output: str, entries: list[Entry | None], request: _Asked
    ) -> None:
        """Link the smaller objects, and put the file in the place of clang's if it is smaller."""
        connection, call = request.connection, request.call
        before = after = 0
        detail = ""
        with tempfile.TemporaryDirectory(prefix="link-", dir=self._maker.scratch) as name:
            try:
                plain = connection.fetch(output)
                if plain is None or object_format(plain) != "ELF":
                    raise InputError("what was linked is no ELF file")
                before = after = section_sizes(plain).size_bytes
                objects = [
                    entry.data if entry is not None and entry.recipe else None for entry in entries
                ]
                linked = link_units(
                    asked, objects, call, connection, self._maker.toolchain, Path(name)
                )
                size = section_sizes(linked).size_bytes
                if size > before:
                    raise InputError(f"linked again it is no smaller: {size} bytes")
                if connection.write(output, linked, executable=True) == 0:
                    after = size
            except LlmCompilerError as error:
                detail = f"linked as it is: {error}"
        self._note_link(output, before, after, request, detail=detail)

    # -- links -----------------------------------------------------------------------------------

    def _link(self, asked: Link, request: _Asked) -> None:
        connection, settings = request.connection, request.settings
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
        with tempfile.TemporaryDirectory(prefix="link-", dir=self._maker.scratch) as name:
            try:
                entry, linked, is_hit = link_whole(
                    asked, request.call, settings, connection, self._maker, Path(name)
                )
                size = section_sizes(linked).size_bytes
                if size >= before:
                    raise InputError(f"the program as one is no smaller: {size} bytes")
                if connection.write(asked.output, linked, executable=True) == 0:
                    recipe, after = entry.recipe or "clang -Oz", size
                    if asked.map_file:
                        connection.write(asked.map_file, linked_map(asked, Path(name)))
            except LlmCompilerError as error:
                detail = f"linked as it is: {error}"
        self._note_link(asked.output, before, after, request, recipe, is_hit=is_hit, detail=detail)
        connection.quit(0)

    # -- what is kept and noted ------------------------------------------------------------------

    def _keep(self, source: Source, entry: Entry, settings: CcSettings) -> None:
        self._cache.put(source.key, entry, room_bytes=settings.cache_bytes)

    def _note(self, asked: Compilation, entry: Entry, request: _Asked, *, is_hit: bool) -> None:
        self._journal.write(_record(asked, request, entry, is_hit=is_hit), request.settings.journal)

    def _note_failure(self, asked: Compilation, request: _Asked, detail: str) -> None:
        self._journal.write(_record(asked, request, None, detail=detail), request.settings.journal)

    def _note_link(
        self,
        output: str,
        before: int,
        after: int,
        request: _Asked,
        recipe: str = "",
        *,
        is_hit: bool = False,
        detail: str = "",
    ) -> None:
        record = Record(
            folder=str(request.call.folder),
            source="",
            output=str(request.call.folder / output),
            level="",
            effort=request.settings.effort.value,
            baseline_bytes=before,
            optimized_bytes=after,
            recipe=recipe,
            proposer="",
            is_hit=is_hit,
            seconds=round(time.monotonic() - request.started, 3),
            detail=detail,
        )
        self._journal.write(record, request.settings.journal)


def _files(asked: Compilation, entry: Entry) -> dict[str, bytes]:
    files = {asked.output: entry.data}
    if entry.side_path:
        files[entry.side_path] = entry.side
    return files


def _record(
    asked: Compilation,
    request: _Asked,
    entry: Entry | None,
    *,
    is_hit: bool = False,
    detail: str = "",
) -> Record:
    settings = request.settings
    return Record(
        folder=str(request.call.folder),
        source=asked.source,
        output=str(request.call.folder / (asked.output or asked.source)),
        level=asked.level,
        effort=settings.effort.value,
        baseline_bytes=entry.baseline_bytes if entry else 0,
        optimized_bytes=entry.optimized_bytes if entry else 0,
        recipe=entry.recipe if entry else "",
        proposer=entry.proposer if entry else "",
        is_hit=is_hit,
        seconds=round(time.monotonic() - request.started, 3),
        detail="; ".join((*settings.troubles, *([detail] if detail else []))),
    )
