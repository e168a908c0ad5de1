from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import pytest

from llm_compiler.corpus.manifest import Unit
from llm_compiler.corpus.texts import collect_texts
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stages import StageOptions, make_stage
from llm_compiler.dataset.texts import PIECE_CHARACTERS, TextSet
from llm_compiler.errors import ArtifactError

LINES = [f"int value_{number}(void) {{ return {number}; }}\n" for number in range(900)]
MANUAL = "These words are about nothing, which is what they have in common.\n" * 30


@pytest.fixture(scope="module")
def texts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = tmp_path_factory.mktemp("corpus")
    folder = corpus / ".state/values/work/values"
    folder.mkdir(parents=True)
    (folder / "values.c").write_text("".join(LINES))
    (folder / "endless.c").write_text("x" * (2 * PIECE_CHARACTERS))
    (folder / "README").write_text(MANUAL)
    unit = Unit(
        package="values",
        version="1",
        license="MIT",
        split="train",
        language="c",
        target_triple="x86_64-pc-linux-gnu",
        source="values.c",
        path="values.bc",
        flags=(),
        sha256="",
        num_bytes=1,
        num_functions=900,
        seconds=0,
    )
    collect_texts(corpus, [unit], corpus / "texts")
    return corpus / "texts"


def test_texts_are_cut_at_line_ends_and_nothing_is_lost(texts_folder: Path) -> None:
    code = TextSet(texts_folder, split="train", kind="code")
    pieces = [code[position] for position in range(len(code))]
    whole = {
        path: "".join(piece.text for piece in pieces if piece.path == path)
        for path in ("values.c", "endless.c")
    }
    assert whole == {"values.c": "".join(LINES), "endless.c": "x" * (2 * PIECE_CHARACTERS)}
    assert all(p.text.endswith("\n") for p in pieces if p.path == "values.c")
    assert max(len(piece.text) for piece in pieces) <= PIECE_CHARACTERS + 2_000
    assert [pickle.loads(pickle.dumps(code))[i] for i in range(len(code))] == pieces
    with pytest.raises(ArtifactError, match="no code of the split 'test'"):
        TextSet(texts_folder, split="test", kind="code")


def test_the_mix_is_by_characters(texts_folder: Path, samples_folder: Path) -> None:
    code, text = (TextSet(texts_folder, split="train", kind=kind) for kind in ("code", "text"))
    options = StageOptions(compiler_share=0.5, code_share=0.3, text_share=0.2, mean_characters=900)
    stage = make_stage(
        "pretraining", SampleSet(samples_folder), seed=1, options=options, code=code, text=text
    )
    characters: Counter[str] = Counter()
    for index in range(6_000):
        drawn = stage.draw(index, 0)
        if isinstance(drawn, StageSample):
            characters[drawn.task] += len(drawn.output_code)
        else:
            characters["compiler"] += 900
    share = {task: count / characters.total() for task, count in characters.items()}
    assert share == pytest.approx({"compiler": 0.5, "code": 0.3, "text": 0.2}, abs=0.04)
