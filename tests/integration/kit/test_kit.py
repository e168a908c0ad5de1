"""The kit from an empty folder to shipped weights, and what its parts promise, on a CPU."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from llm_compiler.cli import main
from llm_compiler.kit.engine import DeviceRow, Engine, StackedMuon
from llm_compiler.kit.parts import Part, decode_documents, encode_documents, find_parts
from llm_compiler.kit.pieces import newest_pieces, read_pieces, write_pieces
from llm_compiler.kit.rows import fill, make_fixed_row, tree_piece
from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.int8_storage import is_int8
from llm_compiler.model.label_shards import LabelShards, pack_labels
from llm_compiler.model.special import TASKS
from llm_compiler.model.token_shards import TokenShards
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.records import PassList
from llm_compiler.train.configs import LabelConfig
from llm_compiler.train.language_model import PackedModel, TreeTensors
from llm_compiler.train.packing import make_row
from llm_compiler.train.sources import Encoded, LabelledDocuments

from ...unit.model.label_tables import write_samples, write_table
from ..train.conftest import shape, stored, tokenizer, tokens  # noqa: F401 - fixtures

LISTS = [
    ("globaldce",),
    ("globaldce", "globalopt"),
    ("globaldce", "globalopt", "mergefunc"),
    ("function(instcombine)", "globaldce"),
]


@pytest.fixture(scope="session")
def labels(tokenizer: IrTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("labels")
    samples = write_samples(folder / "samples", 20)
    table = write_table(
        folder / "labels.parquet", range(20), lists=[PassList(pair) for pair in LISTS]
    )
    out = folder / "packed"
    pack_labels([samples], [table], tokenizer.folder, out, max_prompt_tokens=150, hold_out=0.4)
    return out


@pytest.fixture
def toml(
    tokens: dict[str, Path],  # noqa: F811
    labels: Path,
    tokenizer: IrTokenizer,  # noqa: F811
    shape: ModelConfig,  # noqa: F811
    tmp_path: Path,
) -> Path:
    model = tmp_path / "shape.toml"
    fields = {k: v for k, v in dataclasses.asdict(shape).items() if k != "name"}
    model.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in fields.items()))
    data = {**tokens, "flag-tuning": labels}
    text = f'''
stage = "disassembly"
model = "{model}"
tokenizer = "{tokenizer.folder}"
out = "{tmp_path / "unused"}"
row_tokens = 768
rows_per_step = 2
learning_rate = 1e-2
seed = 3
[labels]
max_rounds = 4
'''
    for name, share in (("disassembly", 0), ("emulation", 0.3), ("flag-tuning", 0.2)):
        text += f'[data.{name}]\npath = "{data[name]}"\nshare = {share}\n'
        text += f'[validation.{name}]\npath = "{data[name]}"\n'
    text += f'[data.pretraining]\npath = "{tokens["pretraining"]}"\nshare = 0.1\n'
    path = tmp_path / "kit.toml"
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small products on a busy machine wait for the second thread longer than they take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def command(*arguments: object) -> int:
    return main(["kit", *map(str, arguments)])


def test_from_an_empty_folder_to_shipped_weights(
    toml: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kit, run, home = tmp_path / "kit", tmp_path / "run", tmp_path / "home"
    assert command("pack", "--config", toml, "--out", kit, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tokens"] > 1000
    assert report["modules"]
    first = sorted(kit.glob("part-*.tar"))
    assert command("pack", "--config", toml, "--out", kit, "--json") == 0
    assert json.loads(capsys.readouterr().out) == report
    train = ("train", "--parts", kit, "--run", run, "--device", "cpu", "--threads", 1)
    assert command(*train, "--minutes", 5, "--max-steps", 20) == 0
    assert len(first) == 1
    wait = ("wait", "--run", run, "--minutes", 0.05, "--piece-bytes", 100_000)
    assert command(*wait, "--out", home) == 0
    assert len(list(home.glob("weights-00000020.*"))) > 2
    assert max(path.stat().st_size for path in home.iterdir()) <= 100_000
    shipped = tmp_path / "shipped"
    ship = ("ship", home, "--config", toml, "--out", tmp_path / "here", "--into", shipped)
    assert command(*ship) == 0  # nothing was shipped before
    assert not is_int8(shipped / "model.safetensors")
    size = (shipped / "model.safetensors").stat().st_size
    for share, code in ((0.7, 0), (0.3, 1)):
        # What does not fit is stored as int8; what does not fit then stays out.
        with monkeypatch.context() as patch:
            patch.setattr("llm_compiler.kit.ship.MAX_SHIPPED_BYTES", int(share * size))
            into = tmp_path / f"shipped-{share}"
            assert command(*ship[:-1], into) == code
        assert into.exists() == (code == 0)
    assert is_int8(tmp_path / "shipped-0.7" / "model.safetensors")
    capsys.readouterr()
    assert command(*ship, "--json") == 1  # no better than itself
    records = json.loads(capsys.readouterr().out)
    assert {item["verdict"] for item in records["comparisons"]} == {"no difference shown"}
    assert {item["task"] for item in records["comparisons"]} == {
        "disassembly",
        "emulation",
        "flag-tuning, model 1",
        "flag-tuning, rounds 16",
    }
    # More of the same run is better, by more than its interval, and takes the old ones' place.
    assert command(*train, "--minutes", 5, "--max-steps", 60) == 0
    assert command(*wait, "--out", home) == 0
    before = (shipped / "model.safetensors").read_bytes()
    assert command(*ship, "--dry-run") == 0
    assert (shipped / "model.safetensors").read_bytes() == before
    assert command(*ship) == 0
    assert (shipped / "model.safetensors").read_bytes() != before
    assert json.loads((shipped / "training.json").read_text())["step"] == 60


def test_cut_off_and_gone_on_with_more_parts(toml: Path, tmp_path: Path) -> None:
    kit, there, run = tmp_path / "kit", tmp_path / "there", tmp_path / "run"
    assert command("pack", "--config", toml, "--out", kit) == 0
    with tarfile.open(kit / "part-000.tar") as archive:
        size = sum(tar_info.size for tar_info in archive if not tar_info.name.startswith("tokens/"))
    assert command("pack", "--config", toml, "--out", kit, "--part-bytes", size + 100_000) == 0
    parts = sorted(kit.glob("part-*.tar"))
    there.mkdir()
    (there / "part-000.tar").write_bytes(parts[0].read_bytes()[:5000])  # still being copied
    words = ["-m", "llm_compiler", "kit", "train", "--parts", there, "--run", run]
    words += ["--minutes", 2, "--device", "cpu", "--threads", 1, "--save-s", 0.2, "--daemon"]
    # As on the machine: a folder of the unpacked code, nothing installed.
    code = tmp_path / "code"
    with tarfile.open(parts[0]) as archive:
        stream = archive.extractfile("code.tar.gz")
        assert stream is not None
        with tarfile.open(fileobj=stream) as inner:
            inner.extractall(code, filter="data")
    environment = {**os.environ, "PYTHONPATH": str(code / "src")}
    subprocess.run([sys.executable, *map(str, words)], env=environment, check=True, timeout=60)
    try:
        (there / "part-000.tar").write_bytes(parts[0].read_bytes())
        deadline = time.monotonic() + 60
        while not list(run.glob("state-*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert list(run.glob("state-*")), (run / "daemon.log").read_text()
    finally:
        kill(run)
    for part in parts[1:]:
        (there / part.name).write_bytes(part.read_bytes())
    before = max(int(path.stem.split("-")[1]) for path in run.glob("state-*.safetensors"))
    arguments = ("--parts", there, "--run", run, "--device", "cpu", "--threads", 1)
    assert command("train", *arguments, "--minutes", 2, "--max-steps", before + 3) == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == before + 3
    assert lines[-1]["parts"] == list(range(len(parts)))


def kill(run: Path) -> None:
    """End the daemon that trains into a folder: cut off, without a word."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(run).encode() in words and b"train" in words:
            os.kill(int(path.parent.name), 9)


def documents_of(labels: Path, context: int) -> list[Encoded]:
    shards = LabelShards(labels)
    found = LabelledDocuments(shards, LabelConfig(max_rounds=4), context)
    rng = np.random.default_rng(0)
    documents = []
    for position in range(6):
        tried, choices = found.draw_rounds(shards[position], rng)
        documents.append(
            found.document(
                shards[position],
                whole=position % 2 == 0,
                min_mass=0.0,
                tried=tried,
                choices=choices,
            )
        )
    return documents


def test_rows_have_the_losses_of_the_training_loops(
    tokens: dict[str, Path],  # noqa: F811
    labels: Path,
    shape: ModelConfig,  # noqa: F811
) -> None:
    shards = TokenShards(tokens["emulation"])
    plain = [Encoded(*shards[place]) for place in range(4)]
    trees = documents_of(labels, shape.context)
    plan = {"model": dataclasses.asdict(shape), "seed": 1, "weight_decay": 0.1}
    engine = Engine(plan, None, device=torch.device("cpu"), half=False, compiled=False)
    store = np.concatenate([encoded.ids for encoded in plain])
    sizes = np.array([len(encoded.ids) for encoded in plain])
    table = np.stack(
        [
            np.cumsum(sizes) - sizes,
            sizes,
            [encoded.num_prompt for encoded in plain],
            [encoded.task for encoded in plain],
        ],
        axis=1,
    )
    pieces = [tree_piece(tree) for tree in trees]
    length = -(-(sizes.sum() + sum(map(len, pieces))) // 128) * 128
    row = make_fixed_row(store, table, pieces, int(length), 0)
    total, sums, counts = engine.losses(DeviceRow(row, torch.device("cpu")))
    theirs = make_row([*plain, *trees])
    model = PackedModel(engine.llama, num_tasks=len(TASKS), longest=shape.context)
    arrays = (theirs.ids, theirs.positions, theirs.targets, theirs.tasks)
    assert theirs.trees is not None
    of_trees = TreeTensors.of(theirs.trees, "cpu")
    expected = model(*map(torch.from_numpy, arrays), theirs.lengths, of_trees)
    torch.testing.assert_close(total, expected[0], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(sums, expected[1], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(counts, expected[2], rtol=1e-4, atol=1e-3)
    assert row.weight == pytest.approx(theirs.weight, rel=1e-5)


def test_the_compiled_attentions_mask_says_the_same(
    labels: Path,
    shape: ModelConfig,  # noqa: F811
) -> None:
    """What FlexAttention is given on a GPU: the rule of `last`, blocks that hold all it sees."""
    pieces = [tree_piece(encoded) for encoded in documents_of(labels, shape.context)]
    length = -(-sum(map(len, pieces)) // 128) * 128
    row = make_fixed_row(np.zeros(0, np.uint16), np.zeros((0, 4), int), pieces, length, 0)
    positions = np.arange(length)
    visible = (positions[None] <= positions[:, None]) & (positions[:, None] < row.last[None])
    start = 0
    for piece, document in zip(pieces, documents_of(labels, shape.context), strict=True):
        own = visible[start : start + len(piece), start : start + len(piece)]
        assert document.tree is not None
        assert own.sum() == (
            np.tri(piece.num_prompt).sum()
            + len(document.tree.mask) * piece.num_prompt
            + document.tree.mask.sum()
        )
        assert not visible[start : start + len(piece), :start].any()
        start += len(piece)
    # FlexAttention itself, uncompiled, against each document alone.
    plan = {"model": dataclasses.asdict(shape), "seed": 1, "weight_decay": 0.1}
    engine = Engine(plan, None, device=torch.device("cpu"), half=False, compiled=False)
    device_row = DeviceRow(row, torch.device("cpu"))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that it is slow uncompiled
        inputs = (device_row.ids, device_row.positions, device_row.last, *device_row.blocks)
        found = engine._hidden(*inputs)
    expected = engine._hidden_by_document(device_row)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    blocks = visible.reshape(length // 128, 128, length // 128, 128).any(axis=(1, 3))
    for reader, first in enumerate(row.first_block.tolist()):
        assert not blocks[reader, :first].any()
        assert not blocks[reader, reader + 1 :].any()


def test_muon_of_stacked_matrices_is_pytorchs() -> None:
    torch.manual_seed(0)
    shapes = [(16, 24), (16, 24), (24, 16)]
    ours = [torch.nn.Parameter(torch.randn(pair)) for pair in shapes]
    theirs = [torch.nn.Parameter(item.detach().clone()) for item in ours]
    mine = StackedMuon(ours, weight_decay=0.1)
    other = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for our, two in zip(ours, theirs, strict=True):
            our.grad = torch.randn_like(our)
            two.grad = our.grad.clone()
        mine.step(0.02)
        other.step()
    for our, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, two, rtol=0, atol=2e-3)


def test_rows_are_nearly_full() -> None:
    rng = np.random.default_rng(0)

    def lengths():  # type: ignore[no-untyped-def]
        while True:
            length = int(np.clip(rng.lognormal(np.log(110), 0.9), 4, 2000))
            yield length, length

    rows = fill(lengths(), 8192)
    used = [sum(next(rows)) for _ in range(100)]
    assert max(used) <= 8192
    assert sum(used) > 0.995 * 8192 * 100


def test_documents_come_back(tmp_path: Path) -> None:
    documents = [(np.arange(n, dtype=np.uint16), n // 2, 1) for n in (5, 9, 2)]
    found = decode_documents(encode_documents(documents))
    assert found.table.tolist() == [[5, 2, 1], [9, 4, 1], [2, 1, 1]]
    assert found.tokens.tolist() == [*range(5), *range(9), *range(2)]


def test_parts_that_are_still_coming_are_left_for_later(toml: Path, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    assert command("pack", "--config", toml, "--out", kit) == 0
    whole = (kit / "part-000.tar").read_bytes()
    there = tmp_path / "there"
    there.mkdir()
    known: set[Path] = set()
    for cut in (0, 700, len(whole) // 2, len(whole) - 20_000):
        (there / "part-000.tar").write_bytes(whole[:cut])
        assert list(find_parts(there, known)) == []
    (there / "part-000.tar").write_bytes(whole)
    (part,) = find_parts(there, known)
    assert isinstance(part, Part)
    assert list(find_parts(there, known)) == []


def test_pieces_that_are_cut_short_are_no_checkpoint(tmp_path: Path) -> None:
    write_pieces(tmp_path, 3, b"a" * 250, {"x": 1}, piece_bytes=100)
    later = tmp_path / "weights-00000009.json"
    index = json.loads((tmp_path / "weights-00000003.json").read_text())
    later.write_text(json.dumps({**index, "step": 9}))
    (tmp_path / "weights-00000009.0").write_bytes(b"a" * 99)
    found = newest_pieces(tmp_path)
    assert found.name == "weights-00000003.json"
    assert read_pieces(found)[0] == b"a" * 250


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--add", "disassembly"), "expected SOURCE=DIR"),
        (("--add", "synthetic=nowhere"), "no source of token shards"),
        (("--part-bytes", "1000"), "does not hold"),
    ],
)
def test_what_cannot_be_packed(
    toml: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    assert command("pack", "--config", toml, "--out", tmp_path / "kit", *words) == 2
    assert message in capsys.readouterr().err


def test_nothing_to_train_on_or_to_ship(
    toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    words = ("--parts", tmp_path / "none", "--run", tmp_path / "run", "--minutes", 1)
    assert command("train", *words, "--wait-s", 0.1, "--device", "cpu") == 7
    assert "no complete first part" in capsys.readouterr().err
    assert command("ship", tmp_path / "none", "--config", toml, "--out", tmp_path / "here") == 7
    assert "no whole checkpoint" in capsys.readouterr().err
