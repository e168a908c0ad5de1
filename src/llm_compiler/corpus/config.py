"""The corpus configuration: which packages, pinned how, in which split.

One TOML file holds `[[package]]` tables (Debian source packages) and `[[local]]` tables (what the
user has on disk). Unknown keys and held-out names are refused here, before anything is fetched.
Knows nothing of networks or compilers. Safe in threads and processes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from llm_compiler.config_file import read_tables, read_toml, read_value
from llm_compiler.corpus.exclusions import held_out_package
from llm_compiler.errors import ConfigError

__all__ = [
    "BuildSystem",
    "CorpusConfig",
    "Language",
    "LocalKind",
    "LocalSpec",
    "PackageSpec",
    "Spec",
    "Split",
    "load_config",
    "parse_config",
]

Split: TypeAlias = Literal["train", "validation", "test"]
Language: TypeAlias = Literal["c", "c++"]
BuildSystem: TypeAlias = Literal["cmake", "meson", "autotools", "make", "none"]
LocalKind: TypeAlias = Literal["project", "compile-commands", "sources", "modules"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9+._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSpec:
    """One Debian source package.

    `sha256` is the hash of its upstream tarball (the first `.orig.tar.*` that its .dsc names, or
    the only `.tar.*` of a native package): a Debian revision may change while it stays.
    """

    name: str
    version: str
    sha256: str
    language: Language
    license: str
    split: Split
    # None: found out from the files. "none": every source file compiles alone, with `flags`.
    build_system: BuildSystem | None = None
    flags: tuple[str, ...] = ()
    subdirectory: str = "."  # where the build starts, within the package
    configure: tuple[str, ...] = ()  # further arguments of configure, cmake or meson
    make: tuple[str, ...] = ()  # further arguments of make: targets, variables
    build: bool | None = None  # run the build; None: only where no compile database exists
    exclude: tuple[str, ...] = ()  # globs of source paths to leave out
    timeout_s: float = 360.0  # limit of configure plus build

    def __post_init__(self) -> None:
        _check(self)
        if not _SHA256.fullmatch(self.sha256):
            raise ConfigError("sha256 must be 64 lower-case hexadecimal digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSpec:
    """Code that the user has on disk.

    `kind` says what `path` is: a `project` to configure and build, a `compile-commands` file, a
    folder of `sources` that each compile alone with `flags`, or a folder of .ll and .bc `modules`.
    """

    name: str
    path: Path
    kind: LocalKind
    split: Split
    license: str = "NOASSERTION"
    build_system: BuildSystem | None = None
    subdirectory: str = "."
    configure: tuple[str, ...] = ()
    make: tuple[str, ...] = ()
    build: bool | None = None
    exclude: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    timeout_s: float = 360.0

    def __post_init__(self) -> None:
        _check(self)


Spec: TypeAlias = PackageSpec | LocalSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusConfig:
    """All sources of a corpus, in the order in which the file names them."""

    specs: tuple[Spec, ...]

    def select(self, names: Collection[str] | None) -> tuple[Spec, ...]:
        """Return the sources of these names; all of them for None.

        Raises:
            ConfigError: a name that the configuration does not have.
        """
        if names is None:
            return self.specs
        unknown = sorted(set(names) - {spec.name for spec in self.specs})
        if unknown:
            raise ConfigError(f"no package named {', '.join(unknown)} in the corpus configuration")
        return tuple(spec for spec in self.specs if spec.name in names)


def load_config(path: Path) -> CorpusConfig:
    """Read a corpus configuration; local paths count from the file's folder.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or does not describe a corpus.
    """
    data = read_toml(path)
    try:
        return parse_config(data, folder=path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(data: Mapping[str, object], *, folder: Path) -> CorpusConfig:
    """Build the configuration from parsed TOML.

    Raises:
        ConfigError: an unknown key, a missing or ill-typed value, a name twice, a held-out name.
    """
    if unknown := sorted(data.keys() - {"package", "local"}):
        raise ConfigError(f"the file: unknown key {unknown[0]}; known are local, package")
    specs: list[Spec] = [
        read_value(PackageSpec, table, f"package {table.get('name', '?')}")
        for table in read_tables(data, "package", "the file")
    ]
    for table in read_tables(data, "local", "the file"):
        local = read_value(LocalSpec, table, f"local {table.get('name', '?')}")
        specs.append(replace(local, path=folder / local.path))
    seen: set[str] = set()
    for spec in specs:
        if spec.name in seen:
            raise ConfigError(f"{spec.name} stands there twice")
        seen.add(spec.name)
    if not specs:
        raise ConfigError("no [[package]] and no [[local]] table")
    return CorpusConfig(specs=tuple(specs))


def _check(spec: Spec) -> None:
    """Refuse what the types allow and no source can have."""
    for name in ("version", "license"):
        if not getattr(spec, name, "?"):
            raise ConfigError(f"{name} must be a non-empty string")
    if not _NAME.fullmatch(spec.name):
        raise ConfigError("a name has letters, digits and + . _ - only")
    if reason := held_out_package(spec.name):
        raise ConfigError(f"held out: {reason}; learning from it is not allowed")
    if spec.subdirectory.startswith("/") or ".." in spec.subdirectory.split("/"):
        raise ConfigError("subdirectory must lie within the package")
    if not spec.timeout_s > 0:
        raise ConfigError("timeout_s must be a positive number of seconds")
