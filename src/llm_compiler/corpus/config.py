"""The corpus configuration: which packages, pinned how, in which split.

One TOML file holds `[[package]]` tables (Debian source packages) and `[[local]]` tables (what the
user has on disk). Unknown keys and held-out names are refused here, before anything is fetched.
Knows nothing of networks or compilers. Safe in threads and processes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

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
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the corpus configuration {path}: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    try:
        return parse_config(data, folder=path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(data: Mapping[str, object], *, folder: Path) -> CorpusConfig:
    """Build the configuration from parsed TOML.

    Raises:
        ConfigError: an unknown key, a missing or ill-typed value, a name twice, a held-out name.
    """
    _refuse_unknown(data, {"package", "local"}, "the file")
    specs: list[Spec] = [_package(table) for table in _tables(data, "package")]
    specs += [_local(table, folder) for table in _tables(data, "local")]
    seen: set[str] = set()
    for spec in specs:
        if spec.name in seen:
            raise ConfigError(f"{spec.name} stands there twice")
        seen.add(spec.name)
    if not specs:
        raise ConfigError("no [[package]] and no [[local]] table")
    return CorpusConfig(specs=tuple(specs))


def _package(table: Mapping[str, object]) -> PackageSpec:
    where = f"package {table.get('name', '?')}"
    _refuse_unknown(table, set(PackageSpec.__dataclass_fields__), where)
    sha256 = _text(table, "sha256", where)
    if not _SHA256.fullmatch(sha256):
        raise ConfigError(f"{where}: sha256 must be 64 lower-case hexadecimal digits")
    return PackageSpec(
        name=_name(table, where),
        version=_text(table, "version", where),
        sha256=sha256,
        language=cast(Language, _choice(table, "language", get_args(Language), where)),
        license=_text(table, "license", where),
        split=cast(Split, _choice(table, "split", get_args(Split), where)),
        build_system=_build_system(table, where),
        flags=_texts(table, "flags", where),
        subdirectory=_subdirectory(table, where),
        configure=_texts(table, "configure", where),
        make=_texts(table, "make", where),
        build=_flag(table, "build", where),
        exclude=_texts(table, "exclude", where),
        timeout_s=_seconds(table, "timeout_s", where),
    )


def _local(table: Mapping[str, object], folder: Path) -> LocalSpec:
    where = f"local {table.get('name', '?')}"
    _refuse_unknown(table, set(LocalSpec.__dataclass_fields__), where)
    return LocalSpec(
        name=_name(table, where),
        path=folder / _text(table, "path", where),
        kind=cast(LocalKind, _choice(table, "kind", get_args(LocalKind), where)),
        split=cast(Split, _choice(table, "split", get_args(Split), where)),
        license=_text(table, "license", where, default="NOASSERTION"),
        build_system=_build_system(table, where),
        subdirectory=_subdirectory(table, where),
        configure=_texts(table, "configure", where),
        make=_texts(table, "make", where),
        build=_flag(table, "build", where),
        exclude=_texts(table, "exclude", where),
        flags=_texts(table, "flags", where),
        timeout_s=_seconds(table, "timeout_s", where),
    )


def _refuse_unknown(table: Mapping[str, object], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigError(
            f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )


def _tables(data: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ConfigError(f"{key} must be a list of tables: [[{key}]]")
    return value


def _text(table: Mapping[str, object], key: str, where: str, *, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where}: {key} must be a non-empty string")
    return value


def _name(table: Mapping[str, object], where: str) -> str:
    name = _text(table, "name", where)
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a name has letters, digits and + . _ - only")
    reason = held_out_package(name)
    if reason is not None:
        raise ConfigError(f"{where}: held out: {reason}; learning from it is not allowed")
    return name


def _subdirectory(table: Mapping[str, object], where: str) -> str:
    value = _text(table, "subdirectory", where, default=".")
    if value.startswith("/") or ".." in value.split("/"):
        raise ConfigError(f"{where}: subdirectory must lie within the package")
    return value


def _choice(table: Mapping[str, object], key: str, choices: tuple[str, ...], where: str) -> str:
    value = table.get(key)
    if value not in choices:
        raise ConfigError(f"{where}: {key} must be one of {', '.join(choices)}, not {value!r}")
    return str(value)


def _build_system(table: Mapping[str, object], where: str) -> BuildSystem | None:
    if "build_system" not in table:
        return None
    return cast(BuildSystem, _choice(table, "build_system", get_args(BuildSystem), where))


def _texts(table: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{where}: {key} must be a list of strings")
    return tuple(value)


def _flag(table: Mapping[str, object], key: str, where: str) -> bool | None:
    value = table.get(key)
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"{where}: {key} must be true or false")
    return value


def _seconds(table: Mapping[str, object], key: str, where: str) -> float:
    value = table.get(key, 360.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(f"{where}: {key} must be a positive number of seconds")
    return float(value)
