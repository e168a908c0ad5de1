from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

from llm_compiler.errors import CheckpointMismatch, EngineError
from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.decoding import Asked
from llm_compiler.model.engines.embedded import CHUNK, EmbeddedDecoder

from .reference import Reference, tiny_config, write_checkpoint

VOCABULARY = 90
CONFIG = tiny_config(VOCABULARY)


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def any_config(request: pytest.FixtureRequest) -> ModelConfig:
    return tiny_config(VOCABULARY, tie=request.param)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), CONFIG)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def load(folder: Path, cache: Path, precision: str = "fp32") -> EmbeddedDecoder:
    return EmbeddedDecoder(folder, precision=precision, threads=1, cache=cache)


@pytest.fixture
def decoder(checkpoint: Path, cache: Path) -> EmbeddedDecoder:
    return load(checkpoint, cache)


def random_ids(num: int, seed: int = 3) -> list[int]:
    return np.random.default_rng(seed).integers(0, VOCABULARY, num).tolist()


def path_of(node: int, parents: list[int]) -> list[int]:
    path = []
    while node >= 0:
        path.append(node)
        node = parents[node]
    return path[::-1]


def test_prompts_of_any_length_are_as_the_reference_says(
    any_config: ModelConfig, tmp_path: Path
) -> None:
    reference = Reference(any_config)
    decoder = load(write_checkpoint(tmp_path, any_config), tmp_path)
    ids = random_ids(600)
    expected = reference.log_probabilities(ids)
    assert expected.std(axis=1).min() > 0.3  # it says something
    for num in (600, 1, 2, CHUNK, CHUNK + 1):
        first = decoder.start(ids[:num]).first
        assert first.shape == (VOCABULARY,)
        np.testing.assert_allclose(first, expected[num - 1], atol=2e-4)


def test_nodes_of_a_tree_are_as_if_decoded_alone(decoder: EmbeddedDecoder) -> None:
    """Trees within one call, single steps side by side, branching, and all of them mixed."""
    reference = Reference(CONFIG)
    prompt = random_ids(21)
    state = decoder.start(prompt)
    random = np.random.default_rng(5)
    parents: list[int] = []
    calls = [
        [-1, -1, -1],  # lanes
        [0, 1, 2],  # their next step
        [4, 3, 5],  # in another order
        [-1, 9, 10, 10, 9],  # a tree with a chain
        [6, 8],  # fewer lanes
        [14, 15],
        [16, 16, 17, 2],  # lanes that branch
        [12, 21, 20, 23],  # a tree after several
        [*range(18, 22)],
    ]
    ids: list[int] = []
    for call in calls:
        new = random.integers(0, VOCABULARY, len(call)).tolist()
        answers = state.extend(new, call)
        first = len(ids)
        ids += new
        parents += call
        for node in range(first, len(ids)):
            text = [*prompt, *(ids[index] for index in path_of(node, parents))]
            np.testing.assert_allclose(
                answers[node - first], reference.log_probabilities(text)[-1], atol=2e-4
            )


def test_long_lanes_are_as_if_decoded_alone(decoder: EmbeddedDecoder) -> None:
    reference = Reference(CONFIG)
    prompt = random_ids(7)
    state = decoder.start(prompt)
    steps = [random_ids(3, seed) for seed in range(70)]  # beyond two doublings of the room
    for position, step in enumerate(steps):
        parents = [-1] * 3 if not position else [3 * position - 3 + lane for lane in range(3)]
        answers = state.extend(step, parents)
    for lane in range(3):
        text = [*prompt, *(step[lane] for step in steps)]
        np.testing.assert_allclose(answers[lane], reference.log_probabilities(text)[-1], atol=2e-4)


def test_chosen_rows_and_tokens(decoder: EmbeddedDecoder) -> None:
    prompt = random_ids(12)
    ids, parents = random_ids(5, 8), [-1, 0, 0, 1, -1]
    whole = decoder.start(prompt).extend(ids, parents)
    np.testing.assert_allclose(np.exp(whole).sum(axis=1), 1, atol=1e-5)
    tokens = np.array([2, 3, 50, 89])
    few = decoder.start(prompt).extend(ids, parents, Asked(rows=[3, 1], tokens=tokens))
    among = whole[[3, 1]][:, tokens]
    among -= np.log(np.exp(among).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(few, among, atol=1e-4)
    assert decoder.start(prompt).extend([], []).shape == (0, VOCABULARY)
    none = Asked(rows=[], tokens=tokens)
    assert decoder.start(prompt).extend([1], [-1], none).shape == (0, 4)


def test_shared_beginnings_change_nothing(checkpoint: Path, cache: Path) -> None:
    ids = random_ids(580)
    prompts = [
        ids,
        ids[:520],
        [*ids[:300], *random_ids(100, 9)],
        ids[:CHUNK],
        ids[: CHUNK + 1],
        random_ids(500, 4),
        ids,
    ]
    decoder = load(checkpoint, cache)
    for prompt in prompts:
        again = decoder.start(prompt)
        alone = load(checkpoint, cache).start(prompt)
        assert np.array_equal(again.first, alone.first)
        assert np.array_equal(again.extend([5], [-1]), alone.extend([5], [-1]))


def test_few_prompts_are_kept(checkpoint: Path, cache: Path) -> None:
    decoder = load(checkpoint, cache)
    states = [decoder.start(random_ids(500, seed)) for seed in range(30)]
    kept = [weakref.ref(state._prompt) for state in states]  # type: ignore[attr-defined]
    del states
    gc.collect()
    assert 2 <= sum(reference_type() is not None for reference_type in kept) <= 8192 // 500


def test_the_last_token_of_the_context_can_be_read(decoder: EmbeddedDecoder) -> None:
    ids = random_ids(600)
    answers = decoder.start(ids[:599]).extend(ids[599:], [-1])
    np.testing.assert_allclose(answers[0], Reference(CONFIG).log_probabilities(ids)[-1], atol=2e-4)


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 0.05), ("int4", 0.8)])
def test_integers_are_near(precision: str, tolerance: float, checkpoint: Path, cache: Path) -> None:
    ids = random_ids(50)
    expected = Reference(CONFIG).log_probabilities(ids)[-1]
    state = load(checkpoint, cache, precision).start(ids)
    error = np.abs(state.first - expected).mean()
    assert 0 < error < tolerance
    # A node's answer does not depend on what is read beside it.
    both = state.extend([4, 5, 6], [-1, 0, -1])
    alone = load(checkpoint, cache, precision).start(ids).extend([4], [-1])
    np.testing.assert_allclose(both[0], alone[0], atol=1e-4)


def test_graphs_are_made_once_and_made_again_if_damaged(checkpoint: Path, tmp_path: Path) -> None:
    first = load(checkpoint, tmp_path)
    expected = first.start([1, 2, 3]).first
    assert not first.was_cached
    assert load(checkpoint, tmp_path).was_cached
    assert not load(checkpoint, tmp_path, "int8").was_cached
    (path,) = tmp_path.glob("fp32-*")
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    for data in (bytes(damaged), whole[:1000], b""):
        path.write_bytes(data)
        again = load(checkpoint, tmp_path)
        assert not again.was_cached
        assert np.array_equal(again.start([1, 2, 3]).first, expected)
        assert path.read_bytes() == whole


def test_other_weights_have_other_graphs(checkpoint: Path, tmp_path: Path) -> None:
    array = load(checkpoint, tmp_path).start([1, 2, 3]).first
    other = write_checkpoint(tmp_path / "other", CONFIG, seed=2)
    decoder = load(other, tmp_path)
    assert not decoder.was_cached
    assert not np.allclose(decoder.start([1, 2, 3]).first, array)


def test_the_cache_does_not_grow_without_end(tmp_path: Path) -> None:
    for seed in range(8):
        load(write_checkpoint(tmp_path / "checkpoint", CONFIG, seed=seed), tmp_path)
    assert len(list(tmp_path.glob("*.graphs"))) == 6
    assert load(tmp_path / "checkpoint", tmp_path).was_cached


def test_a_cache_that_cannot_be_written_is_done_without(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for position in (tmp_path / "file" / "cache", Path("/proc/cache")):
        decoder = load(checkpoint, position)
        assert not decoder.was_cached
        assert np.isfinite(decoder.start([1]).first).all()


def test_processes_may_load_at_once(checkpoint: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from llm_compiler.model.engines.embedded import EmbeddedDecoder\n"
        "d = EmbeddedDecoder(Path(sys.argv[1]), threads=1, cache=Path(sys.argv[2]))\n"
        "print(d.start([1, 2]).first.tobytes().hex())\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, checkpoint, tmp_path], stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    answers = {popen.communicate(timeout=60)[0] for popen in started}
    assert [popen.returncode for popen in started] == [0, 0, 0]
    assert len(answers) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_closed_model_answers_no_more(checkpoint: Path, cache: Path) -> None:
    decoder = load(checkpoint, cache)
    decoder.close()
    decoder.close()
    with pytest.raises(EngineError, match="was closed"):
        decoder.start([1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no weights", "there is no model.safetensors"),
        ("no config", "there is no config.json"),
        ("cut", "damaged"),
        ("noise", "no safetensors file"),
        ("empty", "no safetensors file"),
        ("shape", "config.json says"),
        ("layers", "has no tensor model.layers.2"),
        ("untied", "has no tensor lm_head.weight"),
    ],
)
def test_bad_checkpoints(damage: str, message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c", CONFIG)
    weights, config = folder / "model.safetensors", folder / "config.json"
    model_config = json.loads(config.read_text())
    match damage:
        case "no weights":
            weights.unlink()
        case "no config":
            config.unlink()
        case "cut":
            weights.write_bytes(weights.read_bytes()[:-100])
        case "noise":
            weights.write_bytes(np.random.default_rng(0).bytes(1000))
        case "empty":
            weights.write_bytes(b"")
        case "shape":
            model_config["intermediate_size"] = 64
        case "layers":
            model_config["num_hidden_layers"] = 3
        case "untied":
            model_config["tie_word_embeddings"] = False
    if damage != "no config":
        config.write_text(json.dumps(model_config))
    with pytest.raises(CheckpointMismatch, match=message):
        load(folder, tmp_path)


def test_the_runtime_reports_nothing_to_anybody(checkpoint: Path, tmp_path: Path) -> None:
    """onnxruntime's telemetry leaves a session file in the folder for temporary files."""
    code = (
        "import sys; from pathlib import Path\n"
        "from llm_compiler.model.engines.embedded import EmbeddedDecoder\n"
        "EmbeddedDecoder(Path(sys.argv[1]), precision='fp32', threads=1, cache=Path(sys.argv[2]))"
        ".start([5])\n"
    )
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {"TMPDIR": str(folder), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run(
        [sys.executable, "-c", code, str(checkpoint), str(tmp_path / "cache")],
        check=True,
        env=environment,
        timeout=60,
    )
    assert list(folder.iterdir()) == []
