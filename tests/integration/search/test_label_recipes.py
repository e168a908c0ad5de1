"""``labels recipes`` labels a corpus in pieces, goes on where it was, and says what is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.commands.label_recipes import run, shipped_label_recipes
from llm_compiler.commands.options.labels import RecipesArguments
from llm_compiler.corpus.manifest import MANIFEST_NAME, PARTIAL_NAME, Unit, read_units, write_units
from llm_compiler.errors import ArtifactError, InputError
from llm_compiler.records import OZ
from llm_compiler.search.function_label_shards import read_function_labels

CompileUnit = Callable[[str], bytes]
NAMES = ("switch_dense.c", "recursion_mutual.c")


@pytest.fixture
def corpus(compile_unit: CompileUnit, tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    units = []
    for name in NAMES:
        data = compile_unit(name)
        (folder / f"{name}.bc").write_bytes(data)
        units.append(
            Unit(
                package=name[:6],
                version="1",
                license="MIT",
                split="train",
                language="c",
                target_triple="x86_64-pc-linux-gnu",
                source=name,
                path=f"{name}.bc",
                flags=(),
                sha256=hashlib.sha256(data).hexdigest(),
                num_bytes=len(data),
                num_functions=2,
                seconds=0.1,
            )
        )
    write_units(folder / MANIFEST_NAME, units)
    (folder / "recipes.txt").write_text("default<Oz>\n\nsroa,simplifycfg\n")
    return folder


def arguments(corpus: Path, output: Path, **more: object) -> RecipesArguments:
    values: dict[str, object] = {"recipes": corpus / "recipes.txt", "jobs": 1, **more}
    return RecipesArguments(corpus=corpus, output=output, **values)  # type: ignore[arg-type]


def test_a_run_goes_on_where_an_earlier_one_ended(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "labels"
    assert run(arguments(corpus, output, max_units=1, keep_journal=True)) == 0
    assert not list(output.glob("*.parquet"))
    assert run(arguments(corpus, output)) == 0
    (shard,) = output.glob("*.parquet")
    recipes, units = read_function_labels(shard)
    assert [recipe.text for recipe in recipes] == [
        "default<Oz>",
        "function(sroa<modify-cfg>),function(simplifycfg)",
    ]
    assert len(list(units)) == 2
    # Nothing is left to do.
    assert run(arguments(corpus, output)) == 0
    assert list(output.glob("*.parquet")) == [shard]


def test_finished_units_of_a_corpus_that_is_being_built_are_labelled(
    corpus: Path, tmp_path: Path
) -> None:
    whole = read_units(corpus / MANIFEST_NAME)
    write_units(corpus / MANIFEST_NAME, whole[:1])
    write_units(corpus / PARTIAL_NAME, whole)
    output = tmp_path / "labels"
    assert run(arguments(corpus, output)) == 0
    (shard,) = output.glob("*.parquet")
    assert len(list(read_function_labels(shard)[1])) == 2


def test_a_unit_that_changed_is_no_part_of_the_corpus(corpus: Path, tmp_path: Path) -> None:
    (corpus / f"{NAMES[0]}.bc").write_bytes(b"something else")
    with pytest.raises(ArtifactError, match=NAMES[0]):
        run(arguments(corpus, tmp_path / "labels"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "test"}, "no unit of split 'test'"),
        ({"max_unit_bytes": 10}, "at most 10 bytes"),
        ({"architecture": "mips"}, "no unit of split 'train' for mips"),
    ],
)
def test_a_corpus_without_such_units_says_so(
    corpus: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(arguments(corpus, tmp_path / "labels", **change))


def test_recipes_are_shipped_for_both_targets() -> None:
    for architecture in ("x86_64", "aarch64"):
        recipes = shipped_label_recipes(architecture)
        assert recipes[0] == OZ
        assert 24 <= len(set(recipes)) == len(recipes) <= 32
    with pytest.raises(InputError, match="mips"):
        shipped_label_recipes("mips")
