"""The user's clang flags, sorted by what they are for.

A flag is carried out, overridden, left out or refused; what is not carried out is said in
`ClangFlags.notes`. Knows nothing of how clang is run. Pure, but for response files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.errors import ConfigError

__all__ = ["ClangFlags", "expand_response_files", "parse_clang_flags", "takes_value"]

_MAX_NESTED_FILES = 16

_OUTPUT = ("-o", "--output")
_KINDS = {"-c": "object", "--compile": "object", "-S": "assembly", "--assemble": "assembly"}
_LEVEL = re.compile(r"^(-O([0-9]+|[sgz]|fast)?|--optimize(=.*)?)$")
_DEPENDENCIES = ("-MD", "-MMD", "-MP", "-MG", "-MV")
_DEPENDENCY_VALUES = ("-MF", "-MT", "-MQ")

# These make something else than an object, or nothing.
_NO_OBJECT = re.compile(
    r"^(-E|--preprocess|-M|-MM|--dependencies|--user-dependencies|-fsyntax-only|-###|--analyze"
    r"|--migrate|--precompile|--extract-api|-emit-ast|-emit-interface-stubs|-emit-merged-ifs"
    r"|-rewrite-objc|-rewrite-legacy-objc|-verify-pch|-module-file-info|-dump(machine|version|specs)"
    r"|-print-.*|--print-.*|--version|--help|--help-hidden|-ccc-.*|-dM|-fdriver-only"
    r"|-shared|-r|--shared)$"
)
_BITCODE = re.compile(r"^(-flto(=.*)?|-fembed-bitcode(=.*)?|-fembed-bitcode-marker)$")
# What these ask for is written beside the object, and only the object is kept.
_SIDE_OUTPUTS = re.compile(
    r"^(--?save-temps(=.*)?|--?save-stats(=.*)?|-gsplit-dwarf(=.*)?|-ftime-trace.*"
    r"|-fsave-optimization-record.*|-foptimization-record-.*|-fproc-stat-report(=.*)?"
    r"|-fstack-usage|-fcrash-diagnostics-dir=.*|-fgen-reproducer(=.*)?)$"
)
_SIDE_OUTPUTS_WITH_VALUE = ("-MJ", "-serialize-diagnostics", "--serialize-diagnostics", "-dumpdir")
_SILENT = ("-pipe", "-Qunused-arguments", "-no-canonical-prefixes")
# What these ask for is done by passes of clang's own pipeline, which a pass list replaces.
_NEEDS_CLANG_PASSES = re.compile(
    r"^(-fsanitize(-coverage)?=|-fprofile|-fcoverage|--coverage$|-ftest-coverage|-fxray|-fauto-profile"
    r"|-fcs-profile|-pg$|-p$|-finstrument|-fplugin=|-fpass-plugin|-fmemory-profile|-fpseudo-probe"
    r"|-mnop-mcount|-fexperimental-sanitize|-fthinlto-index|-fobjc-arc|-fkcfi)"
)
# The compiler proper (cc1) is asked for something else than what the driver is.
_CC1_NO_OBJECT = re.compile(
    r"^(-E|-S|-M|-MM|-fsyntax-only|-emit-(llvm|llvm-bc|llvm-only|codegen-only|obj|pch|ast|cir|module"
    r"|html|header-unit|interface-stubs).*|-ast-.*|-dump-.*|-print-.*|-init-only|-analyze"
    r"|-rewrite.*|-plugin|-flto.*|-o)$"
)
_CC1_PASSES_OFF = re.compile(r"^(-disable-(llvm-passes|llvm-optzns|lifetime-markers)|-O.*)$")
_CC1_PLUGINS = ("-load", "-fpass-plugin", "-add-plugin")

# fmt: off
_TAKES_VALUE = frozenset((
    "-I", "-D", "-U", "-include", "-include-pch", "-imacros", "-isystem", "-isystem-after",
    "-iquote", "-idirafter", "-iprefix", "-isysroot", "-iwithprefix", "-iwithprefixbefore",
    "-iwithsysroot", "-iframework", "-iframeworkwithsysroot", "-ivfsoverlay", "-cxx-isystem",
    "-stdlib++-isystem", "-imultilib", "-Xclang", "-Xpreprocessor", "-Xassembler", "-Xlinker",
    "-Xanalyzer", "-Xclangas", "-Xopenmp-target", "-mllvm", "-mmlir", "-target", "-arch", "-x",
    "--language", "-L", "-l", "-B", "-F", "-G", "-e", "-z", "-T", "-u", "-A", "-framework",
    "-rpath", "-current_version", "-compatibility_version", "-install_name", "-force_load",
    "-weak_library", "-undefined", "-mthread-model", "-gcc-toolchain", "--sysroot", "--param",
    "--config", "-working-directory", "--include-directory", "--define-macro", "--undefine-macro",
    "--include", "--imacros", "--prefix", "--library-directory", "-darwin-target-variant",
    "-resource-dir", "-ftrapv-handler", "-bundle_loader", "-exported_symbols_list",
))
# fmt: on


_WITH_VALUE = _TAKES_VALUE | {*_OUTPUT, *_DEPENDENCY_VALUES, *_SIDE_OUTPUTS_WITH_VALUE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClangFlags:
    """The user's flags, sorted by what they are for.

    `kept` goes to every clang; `dependencies` only to the front end, so that a build system's
    ``.d`` files are written once.
    """

    kept: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    dependency_file: str = ""
    dependency_target: str = ""
    baseline_only: str = ""
    """A flag that clang's own passes carry out, so that no pass list may take their place."""
    output: str = ""
    """What ``-o`` names."""
    kind: str = ""
    """``assembly``, ``bitcode`` or ``text``, where ``-S`` or ``-emit-llvm`` ask for that."""
    target: str = ""
    """What ``--target`` or ``-target`` name."""
    language: str = ""
    """What ``-x`` names."""
    notes: tuple[str, ...] = ()
    """One sentence for each kind of flag that is not carried out as clang would."""

    def for_ir(self) -> tuple[str, ...]:
        """Return the flags that apply to IR input: all but the language."""
        kept: list[str] = []
        flags = iter(self.kept)
        for flag in flags:
            if flag == "-x":
                next(flags, None)
            elif not flag.startswith(("-x", "-std=", "-include", "-imacros")):
                kept.append(flag)
            elif flag in ("-include", "-include-pch", "-imacros"):
                next(flags, None)
        return tuple(kept)


def expand_response_files(arguments: Sequence[str], *, folder: Path = Path()) -> Iterator[str]:
    """Yield arguments with each ``@FILE`` replaced by what the file says, as clang does it.

    One that cannot be read stands for itself. Files may name further ones.

    Args:
        folder: what relative names are relative to.

    Raises:
        ConfigError: a file names itself, or its quotes are not closed.
    """
    yield from _expanded(arguments, folder, 0)


def _expanded(arguments: Sequence[str], folder: Path, depth: int) -> Iterator[str]:
    for argument in arguments:
        path = folder / argument[1:]
        if not argument.startswith("@") or len(argument) == 1 or not path.is_file():
            yield argument
            continue
        if depth >= _MAX_NESTED_FILES:
            raise ConfigError(f"the response file {path} names itself, or too many are nested")
        try:
            inside = shlex.split(path.read_text("utf-8", "surrogateescape"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"the response file {path} cannot be read: {error}") from error
        yield from _expanded(inside, folder, depth + 1)


def takes_value(flag: str) -> bool:
    """Whether the argument that follows a flag belongs to it.

    >>> takes_value("-I"), takes_value("-Iinclude")
    (True, False)
    """
    return flag in _WITH_VALUE


def parse_clang_flags(flags: Sequence[str]) -> ClangFlags:
    """Sort a user's clang flags.

    Raises:
        ConfigError: a flag asks for something else than an object (``-flto``), or lacks its value.
    """
    sorter = _Sorter(list(expand_response_files(flags)))
    while sorter.rest:
        sorter.take()
    return sorter.result()


class _Sorter:
    """One pass over the flags, front to back; of flags that exclude each other the last counts."""

    def __init__(self, flags: list[str]) -> None:
        self.rest = flags
        self._kept: list[str] = []
        self._dependencies: list[str] = []
        self._found = ClangFlags()
        self._levels: list[str] = []
        self._left_out: list[str] = []
        self._passes_off: list[str] = []
        self._llvm_options: list[str] = []
        self._emit_llvm = False

    def _value(self, flag: str) -> str:
        if not self.rest:
            raise ConfigError(f"the clang flag '{flag}' lacks its value")
        return self.rest.pop(0)

    def take(self) -> None:
        """Sort the first flag that is left, with its value."""
        flag = self.rest.pop(0)
        if flag in _OUTPUT:
            self._found = replace(self._found, output=self._value(flag))
        elif flag.startswith("--output="):
            self._found = replace(self._found, output=flag.removeprefix("--output="))
        elif flag in _DEPENDENCY_VALUES:
            self._dependency(flag, self._value(flag))
        elif flag in _SIDE_OUTPUTS_WITH_VALUE:
            self._value(flag)
            self._left_out.append(flag)
        elif flag == "-Xclang":
            self._cc1(self._value(flag))
        elif flag in _TAKES_VALUE:
            self._with_value(flag, self._value(flag))
        elif _NO_OBJECT.match(flag):
            raise ConfigError(f"{flag} makes no object: run clang itself for it")
        elif _BITCODE.match(flag):
            raise ConfigError(
                f"with {flag} clang writes bitcode instead of an object: leave it out"
            )
        elif flag in _KINDS:
            self._found = replace(self._found, kind=_KINDS[flag])
        elif flag == "-emit-llvm":
            self._emit_llvm = True
        elif _LEVEL.match(flag):
            if flag != "-Oz":
                self._levels.append(flag)
        elif flag in _DEPENDENCIES:
            self._dependencies.append(flag)
        elif flag[:3] in _DEPENDENCY_VALUES:
            self._dependency(flag[:3], flag[3:])
        elif _SIDE_OUTPUTS.match(flag):
            self._left_out.append(flag)
        elif flag in _SILENT:
            pass
        elif flag.startswith("-o") and not flag.startswith(("-object", "-objc")):
            self._found = replace(self._found, output=flag[2:].removeprefix("="))
        elif flag == "--":
            raise ConfigError("there is a second '--' among clang's flags: leave it out")
        elif flag == "-" or not flag.startswith("-"):
            raise ConfigError(f"'{flag}' after -- is not a clang flag: name inputs in front of it")
        else:
            self._joined(flag)

    def _dependency(self, flag: str, value: str) -> None:
        if flag == "-MF":
            self._found = replace(self._found, dependency_file=value)
        else:
            self._found = replace(self._found, dependency_target=value)

    def _with_value(self, flag: str, value: str) -> None:
        self._kept += [flag, value]
        if flag == "-target":
            self._found = replace(self._found, target=value)
        elif flag in ("-x", "--language"):
            self._found = replace(self._found, language=value)
        elif flag == "-mllvm":
            self._llvm_options.append(value)

    def _joined(self, flag: str) -> None:
        if _NEEDS_CLANG_PASSES.match(flag):
            self._found = replace(self._found, baseline_only=flag)
        if flag.startswith("--target="):
            self._found = replace(self._found, target=flag.removeprefix("--target="))
        elif flag.startswith("--language="):
            self._found = replace(self._found, language=flag.removeprefix("--language="))
        elif flag.startswith("-x"):
            self._found = replace(self._found, language=flag[2:])
        elif flag.startswith("-mllvm="):
            self._llvm_options.append(flag.removeprefix("-mllvm="))
        self._kept.append(flag)

    def _cc1(self, value: str) -> None:
        if _CC1_PASSES_OFF.match(value):
            self._passes_off.append(f"-Xclang {value}")
            return
        if _CC1_NO_OBJECT.match(value):
            raise ConfigError(f"-Xclang {value} makes no object: run clang itself for it")
        if value in _CC1_PLUGINS:
            self._found = replace(self._found, baseline_only=f"-Xclang {value}")
        self._kept += ["-Xclang", value]

    def result(self) -> ClangFlags:
        """Return what was sorted, with a note on each kind that is not carried out."""
        kind = self._found.kind
        if self._emit_llvm:
            kind = "text" if kind == "assembly" else "bitcode"
        notes = []
        if self._levels:
            notes.append(
                f"{_listed(self._levels)} is overridden: what is made is small, and measured "
                "against clang -Oz"
            )
        if self._passes_off:
            notes.append(
                f"{_listed(self._passes_off)} is left out: which passes run is what is chosen here"
            )
        if self._left_out:
            notes.append(f"{_listed(self._left_out)} is left out: no second output is written")
        if self._llvm_options:
            notes.append(
                f"{_listed('-mllvm ' + option for option in self._llvm_options)} is for clang -Oz "
                "and code generation: passes of a list do not see it"
            )
        return replace(
            self._found,
            kept=tuple(self._kept),
            dependencies=tuple(self._dependencies),
            kind="" if kind == "object" else kind,
            notes=tuple(notes),
        )


def _listed(flags: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(flags))
