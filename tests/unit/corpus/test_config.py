from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_compiler.corpus.config import LocalSpec, PackageSpec, load_config, parse_config
from llm_compiler.errors import ConfigError

REPOSITORY = Path(__file__).parents[3]


def package(**changes: object) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": "hello",
        "version": "2.10-3",
        "sha256": "a" * 64,
        "language": "c",
        "license": "GPL-3.0-or-later",
        "split": "train",
    }
    return {key: value for key, value in {**table, **changes}.items() if value is not None}


def parse(*tables: dict[str, Any]) -> Any:
    return parse_config({"package": list(tables)}, folder=Path("/folder"))


def test_a_package_keeps_its_values() -> None:
    (spec,) = parse(package(make=["all"], build=True, timeout_s=60)).specs
    assert isinstance(spec, PackageSpec)
    assert (spec.name, spec.make, spec.build, spec.timeout_s) == ("hello", ("all",), True, 60.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "unknown key colour; known are name, version"),
        ({"version": None}, "version is missing"),
        ({"sha256": "abc"}, "sha256 must be 64"),
        ({"language": "rust"}, r"language must be one of c, c\+\+, not 'rust'"),
        ({"split": "dev"}, "split must be one of train, validation, test"),
        ({"build_system": "scons"}, "build_system must be one of"),
        ({"configure": "--quiet"}, "configure must be a list of strings"),
        ({"build": "yes"}, "build is 'yes': expected true or false"),
        ({"timeout_s": 0}, "timeout_s must be a positive number"),
        ({"subdirectory": "../other"}, "must lie within the package"),
        ({"name": "a/b"}, "letters, digits"),
        ({"name": "zlib"}, "held out: zlib"),
        ({"name": "lua5.3"}, "held out: Lua"),
        ({"name": "libjpeg-turbo"}, "held out: libjpeg"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(package(**changes))


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="hello stands there twice"):
        parse(package(), package())


def test_an_empty_configuration_and_unknown_tables_are_refused() -> None:
    with pytest.raises(ConfigError, match="no \\[\\[package"):
        parse_config({}, folder=Path())
    with pytest.raises(ConfigError, match="unknown key packages"):
        parse_config({"packages": []}, folder=Path())


def test_local_paths_count_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "corpus.toml"
    file.write_text('[[local]]\nname = "mine"\npath = "code"\nkind = "sources"\nsplit = "train"\n')
    (spec,) = load_config(file).specs
    assert isinstance(spec, LocalSpec)
    assert spec.path == tmp_path / "code"


def test_what_is_not_toml_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "corpus.toml"
    file.write_text("[[package]\n")
    with pytest.raises(ConfigError, match=r"corpus\.toml is not valid TOML"):
        load_config(file)
    with pytest.raises(ConfigError, match="there is no configuration"):
        load_config(tmp_path / "missing.toml")


def test_select_refuses_an_unknown_name() -> None:
    config = parse(package(), package(name="sed"))
    assert [spec.name for spec in config.select(["sed"])] == ["sed"]
    with pytest.raises(ConfigError, match="no package named awk"):
        config.select(["awk"])


def test_the_shipped_configuration_keeps_its_promises() -> None:
    specs = load_config(REPOSITORY / "configs" / "corpus" / "debian.toml").specs
    packages = [spec for spec in specs if isinstance(spec, PackageSpec)]
    assert len(packages) >= 45
    assert 3 * sum(spec.language == "c++" for spec in packages) >= len(packages)
    for split in ("train", "validation", "test"):
        assert {s.language for s in packages if s.split == split} == {"c", "c++"}
    assert sum(spec.split == "validation" for spec in packages) >= 8
    assert sum(spec.split == "test" for spec in packages) >= 8
