"""Weights stored as whole numbers: how near they are, and who reads them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from llm_compiler.errors import CheckpointMismatch
from llm_compiler.model.configs import read_hf_config
from llm_compiler.model.engines.embedded import EmbeddedDecoder
from llm_compiler.model.engines.weights import WEIGHTS_FILE, Weights
from llm_compiler.model.int8_storage import (
    dequantised,
    is_int8,
    quantised,
    store_bf16,
    store_int8,
)

from .reference import tiny_config, write_checkpoint

EMBEDDINGS = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint in bf16, and the same in int8."""
    wide = tmp_path_factory.mktemp("wide")
    write_checkpoint(wide, tiny_config(300), seed=4)
    narrow = tmp_path_factory.mktemp("narrow") / "int8"
    shutil.copytree(wide, narrow)
    assert store_int8(wide / WEIGHTS_FILE, narrow / WEIGHTS_FILE) == size(narrow)
    return wide, narrow


def size(folder: Path) -> int:
    return (folder / WEIGHTS_FILE).stat().st_size


def test_numbers_are_as_near_as_a_step_allows() -> None:
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(50, 70)).astype(np.float32) * 10.0 ** rng.integers(-1, 4, (50, 1))
    matrix = matrix.astype(np.float32)
    matrix[7] = 0
    whole, scales = quantised(matrix)
    assert (whole.dtype, scales.dtype, scales.shape) == (np.int8, np.float16, (50, 1))
    assert np.abs(whole.astype(int)).max(axis=1).tolist() == [127] * 7 + [0] + [127] * 42
    error = np.abs(dequantised(whole, scales) - matrix)
    # Half a step; and the largest number, whose scale is rounded to 11 bits.
    step = np.abs(matrix).max(axis=1, keepdims=True) / 127
    assert (error <= 0.5 * step + np.abs(matrix) * 2.0**-11 + 1e-7).all()


def test_half_the_bytes(stored: tuple[Path, Path]) -> None:
    wide, narrow = stored
    assert size(narrow) < 0.6 * size(wide)
    assert is_int8(narrow / WEIGHTS_FILE)
    assert not is_int8(wide / WEIGHTS_FILE)


def test_the_reader_multiplies_by_the_scales(stored: tuple[Path, Path]) -> None:
    config = read_hf_config(stored[0])
    wide, narrow = (Weights(folder, config) for folder in stored)
    rows = np.array([5, 0, 299, 5])
    for name in (EMBEDDINGS, "model.layers.0.mlp.down_proj.weight"):
        exact, found = wide.tensor(name), narrow.tensor(name)
        whole, scales = quantised(exact)
        assert np.array_equal(found, dequantised(whole, scales))
        assert 0 < np.abs(found - exact).max() < 0.01 * np.abs(exact).max()
    assert np.array_equal(narrow.tensor(EMBEDDINGS, rows), narrow.tensor(EMBEDDINGS)[rows])
    norm = "model.norm.weight"
    assert np.array_equal(wide.tensor(norm), narrow.tensor(norm))


def test_the_embedded_engine_computes_nearly_the_same(
    stored: tuple[Path, Path], tmp_path: Path
) -> None:
    ids = np.random.default_rng(1).integers(0, 300, 40).tolist()
    found = []
    for folder in stored:
        decoder = EmbeddedDecoder(folder, precision="fp32", threads=1, cache=tmp_path)
        found.append(decoder.start(ids).first)
        decoder.close()
    wide, narrow = found
    assert not np.array_equal(wide, narrow)
    assert np.abs(wide - narrow).max() < 0.1 * wide.std()


def test_back_to_what_others_read(stored: tuple[Path, Path], tmp_path: Path) -> None:
    wide, narrow = stored
    for name in ("config.json",):
        shutil.copy(wide / name, tmp_path / name)
    store_bf16(narrow / WEIGHTS_FILE, tmp_path / WEIGHTS_FILE)
    assert not is_int8(tmp_path / WEIGHTS_FILE)
    assert size(tmp_path) == pytest.approx(size(wide), rel=0.05)
    config = read_hf_config(wide)
    again, small = Weights(tmp_path, config), Weights(narrow, config)
    exact = small.tensor(EMBEDDINGS)
    assert np.abs(again.tensor(EMBEDDINGS) - exact).max() <= 2.0**-8 * np.abs(exact).max()
    safetensors = pytest.importorskip("safetensors.numpy")
    names = {"model.norm.weight", EMBEDDINGS, f"{EMBEDDINGS}_scale"}
    with pytest.importorskip("safetensors").safe_open(narrow / WEIGHTS_FILE, "numpy") as file:
        assert names <= set(file.keys())
        assert file.get_tensor(EMBEDDINGS).dtype == np.int8
    assert safetensors


def test_scales_that_are_missing(stored: tuple[Path, Path], tmp_path: Path) -> None:
    data = (stored[1] / WEIGHTS_FILE).read_bytes()
    broken = tmp_path / WEIGHTS_FILE
    broken.write_bytes(data.replace(b'embed_tokens.weight_scale"', b'embed_tokens.weight_other"'))
    with pytest.raises(CheckpointMismatch, match="whole numbers without scales"):
        Weights(tmp_path, read_hf_config(stored[0]))
    with pytest.raises(CheckpointMismatch, match="has no scales"):
        store_bf16(broken, tmp_path / "out")
    broken.write_bytes(b"none")
    with pytest.raises(CheckpointMismatch, match="no safetensors file"):
        is_int8(broken)
