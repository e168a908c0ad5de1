"""Flag tuning from label shards: a tree's loss is that of its lists, and a run on them."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from llm_compiler.errors import ArtifactError
from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.label_shards import LabelShards, pack_labels
from llm_compiler.model.special import TASKS, change_place
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.records import PassList
from llm_compiler.train.configs import DataConfig, LabelConfig, TrainConfig
from llm_compiler.train.language_model import PackedModel, TreeTensors, make_llama
from llm_compiler.train.loop import train
from llm_compiler.train.packing import Row, pack_rows
from llm_compiler.train.progress import read_log
from llm_compiler.train.sources import Encoded, LabelledDocuments
from llm_compiler.train.trees import (
    ListTree,
    list_masses,
    list_savings,
    list_scores,
    tree_document,
)

from ...unit.model.label_tables import write_samples, write_table

LISTS = [
    ("globaldce",),
    ("globaldce", "globalopt"),
    ("globaldce", "globalopt", "mergefunc"),
    ("function(instcombine)", "globaldce"),
    ("function(instcombine)", "globalopt"),
]


@pytest.fixture(scope="module")
def labels(tokenizer: IrTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    samples = write_samples(folder / "samples", 20)
    lists = [PassList(pair) for pair in LISTS]
    table = write_table(folder / "labels.parquet", range(20), lists=lists)
    out = folder / "packed"
    pack_labels([samples], [table], tokenizer.folder, out, max_prompt_tokens=150, hold_out=0.4)
    return out


@pytest.fixture(scope="module")
def model(shape: ModelConfig) -> PackedModel:
    torch.manual_seed(3)
    return PackedModel(make_llama(shape), num_tasks=len(TASKS), longest=shape.context)


def run(model: PackedModel, row: Row) -> tuple[torch.Tensor, ...]:
    arrays = (row.ids, row.positions, row.targets, row.tasks)
    trees = None if row.trees is None else TreeTensors.of(row.trees, "cpu")
    result = model(*map(torch.from_numpy, arrays), row.lengths, trees)
    assert isinstance(result, tuple)
    return result


def tree_of(shards: LabelShards, place: int, **options: object) -> tuple[Encoded, np.ndarray]:
    module = shards[place]
    tree = ListTree(shards.tables[0].answers, shards.nothing_better)
    masses = list_masses(module.sizes["size_bytes"], 0.03)
    ids, found = tree_document(tree, module.prompt, masses, **options)  # type: ignore[arg-type]
    return Encoded(ids, len(module.prompt), shards.task, found), masses


def plain_of(shards: LabelShards, place: int) -> list[Encoded]:
    """One document for each list."""
    prompt = shards[place].prompt
    answers = [*shards.tables[0].answers, (shards.nothing_better,)]
    return [
        Encoded(np.concatenate([prompt, np.array(answer, np.uint16)]), len(prompt), shards.task)
        for answer in answers
    ]


def gradient(model: PackedModel, loss: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return [
        parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None
    ]


def test_a_tree_has_the_loss_of_its_lists(model: PackedModel, labels: Path) -> None:
    shards = LabelShards(labels)
    document, masses = tree_of(shards, 0, min_mass=0.0, choices_only=False)
    assert sorted(masses)[-2] > 0.05
    rows = [row for encoded in plain_of(shards, 0) for row in pack_rows([encoded], 9999)]
    expected = sum(
        mass * run(model, row)[0] for mass, row in zip(masses.tolist(), rows, strict=True)
    )
    assert isinstance(expected, torch.Tensor)
    wanted = gradient(model, expected)
    (row,) = pack_rows([document], 9999)
    loss, sums, counts, _ = run(model, row)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    assert sums[shards.task].item() == pytest.approx(loss.item())
    assert counts[shards.task].item() == pytest.approx(row.weight, rel=1e-6)
    for item, other in zip(gradient(model, loss), wanted, strict=True):
        torch.testing.assert_close(item, other, rtol=1e-3, atol=1e-4)


def test_rounds_have_the_loss_of_what_stands_behind_them(model: PackedModel, labels: Path) -> None:
    shards = LabelShards(labels)
    documents = LabelledDocuments(shards, LabelConfig(temperature=0.03, max_rounds=3), 9999)
    module = shards[0]
    sizes = module.sizes["size_bytes"]
    tried, choices = [2, 0], [0, 1, 2]
    encoded = documents.document(module, whole=True, min_mass=0.0, tried=tried, choices=choices)
    (row,) = pack_rows([encoded], 9999)
    answers = [*shards.tables[0].answers, (shards.nothing_better,)]
    expected = torch.zeros(())
    history: list[int] = []
    for count in choices:
        masses = list_masses(sizes, 0.03, tried[:count])
        for mass, answer in zip(masses.tolist(), answers, strict=True):
            ids = np.array([*module.prompt.tolist(), *history, *answer], np.uint16)
            plain = Encoded(ids, len(module.prompt) + len(history), shards.task)
            expected = expected + mass * run(model, next(iter(pack_rows([plain], 9999))))[0]
        if count < len(tried):
            position = change_place(int(sizes[1 + tried[count]]), int(sizes[0]))
            history += [*answers[tried[count]], shards.changes + position]
    torch.testing.assert_close(run(model, row)[0], expected, rtol=1e-5, atol=0)


def test_rounds_are_drawn_within_limits(labels: Path) -> None:
    shards = LabelShards(labels)
    documents = LabelledDocuments(shards, LabelConfig(max_rounds=3, num_choices=2), 9999)
    drawn = [documents.draw_rounds(shards[0], np.random.default_rng(n)) for n in range(60)]
    assert {len(tried) for tried, _ in drawn} == {0, 1, 2, 3}
    for tried, choices in drawn:
        assert len(set(tried)) == len(tried)
        assert choices == sorted(set(choices))
        assert 1 <= len(choices) <= 2
        assert max(choices) <= len(tried)


def test_rows_hold_trees_and_plain_documents(model: PackedModel, labels: Path) -> None:
    shards = LabelShards(labels)
    trees = [tree_of(shards, n, min_mass=0.01, choices_only=bool(n))[0] for n in range(3)]
    documents = [trees[0], plain_of(shards, 4)[2], trees[1], trees[2], plain_of(shards, 5)[1]]
    (row,) = pack_rows(documents, 9999)
    alone = [run(model, item)[0] for each in documents for item in pack_rows([each], 9999)]
    torch.testing.assert_close(run(model, row)[0], torch.stack(alone).sum(), rtol=1e-6, atol=0)


def test_scores_rank_as_whole_documents_do(model: PackedModel, labels: Path) -> None:
    """Masked to the tree: all that is not of it has probability 0."""
    shards = LabelShards(labels)
    document, _ = tree_of(shards, 1, min_mass=0.0, choices_only=True)
    (row,) = pack_rows([document], 9999)
    log_probs = run(model, row)[3].double().numpy()
    tree = ListTree(shards.tables[0].answers, shards.nothing_better)
    assert document.tree is not None
    scores = list_scores(tree, document.tree.edge_nodes, log_probs)
    assert np.exp(scores).sum() == pytest.approx(1)
    # By hand, from transformers' logits of one list's document.
    answer = shards.tables[0].answers[1]
    prompt = shards[1].prompt.tolist()
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        position_ids = torch.arange(ids.shape[1])[None]
        logits = model.llama(ids, position_ids=position_ids, lengths=(ids.shape[1],)).logits[0]
    total = 0.0
    begun = [*shards.tables[0].answers, (shards.nothing_better,)]
    for depth, token in enumerate(answer):
        allowed = sorted({pair[depth] for pair in begun if pair[:depth] == answer[:depth]})
        masked = logits[len(prompt) - 1 + depth, allowed].log_softmax(0)
        total += masked[allowed.index(token)].item()
    assert scores[1] == pytest.approx(total, abs=1e-4)


@pytest.fixture
def label_config(config: TrainConfig, labels: Path) -> TrainConfig:
    where = DataConfig(path=labels)
    return dataclasses.replace(
        config,
        stage="flag-tuning",
        data={**config.data, "flag-tuning": where},
        validation={"flag-tuning": where, "emulation": config.data["emulation"]},
        labels=LabelConfig(temperature=0.01, whole_share=0.5),
        max_steps=8,
    )


def test_a_run_on_labels(label_config: TrainConfig, tmp_path: Path) -> None:
    """With the earlier stages' mix; killed and resumed it has the same losses."""
    outcome = train(label_config)
    saved = outcome.savings["x86_64"]
    assert saved["num_modules"] > 3
    assert saved["oracle"]["total"] > 0
    for who in ("model", "coreset"):
        totals = [saved[f"{who} {k}"]["total"] for k in (1, 4, 16)]
        assert totals == sorted(totals)
        assert totals[-1] == pytest.approx(saved["oracle"]["total"])  # there are five lists
    assert set(outcome.validation) == {"flag-tuning", "emulate-ir"}
    whole = read_log(label_config.out)
    assert set(whole[0]["loss_by_task"]) == {"flag-tuning", "ir", "emulate-ir"}
    assert whole[-1]["savings"] == outcome.savings
    killed = dataclasses.replace(label_config, out=tmp_path / "killed")

    def interrupts(step: int, note: str) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(killed, on_progress=interrupts).status == "interrupted"
    train(killed, resume=True)
    losses = {line["step"]: line["loss"] for line in whole if "loss" in line}
    resumed = {line["step"]: line["loss"] for line in read_log(killed.out) if "loss" in line}
    assert [resumed[step] for step in range(5, 9)] == [losses[step] for step in range(5, 9)]


def test_learning_labels_improves_the_first_list(label_config: TrainConfig) -> None:
    """The last list is the best one on every module."""
    config = dataclasses.replace(label_config, mix_share=0.0, max_steps=40, learning_rate=1e-2)
    saved = train(config).savings["x86_64"]
    assert saved["coreset 1"]["total"] < 0.5 * saved["oracle"]["total"]
    assert saved["model 1"]["total"] == pytest.approx(saved["oracle"]["total"], rel=0.05)


def test_nothing_held_out(
    label_config: TrainConfig, labels: Path, tokenizer: IrTokenizer, tmp_path: Path
) -> None:
    out = tmp_path / "packed"
    tables = [labels.parent / "labels.parquet"]
    pack_labels([labels.parent / "samples"], tables, tokenizer.folder, out, max_prompt_tokens=150)
    validation = {"flag-tuning": DataConfig(path=out)}
    with pytest.raises(ArtifactError, match="hold-out"):
        train(dataclasses.replace(label_config, validation=validation))


def test_learning_savings_is_a_divergence(model: PackedModel, labels: Path) -> None:
    """KL(p || q) of the model's distribution over all lists from the savings', by hand."""
    shards = LabelShards(labels)
    documents = LabelledDocuments(shards, LabelConfig(max_rounds=2, savings_rounds=9), 256)
    options = {"whole": False, "min_mass": 0.0, "tried": [1, 3]}
    expected = []
    for count in (0, 2):
        log_q = list_savings(shards[1].sizes["size_bytes"], 0.005, [1, 3][:count])
        encoded = documents.document(shards[1], choices=[count], **options)  # type: ignore[arg-type]
        (row,) = pack_rows([encoded], 9999)
        log_probs = run(model, row)[3].double().numpy()
        assert encoded.tree is not None
        log_p = list_scores(documents.trees[0], encoded.tree.edge_nodes, log_probs)
        expected.append((np.exp(log_p) * (log_p - log_q)).sum())
    both = documents.document(
        shards[1],
        choices=[0, 2],
        savings=True,
        **options,  # type: ignore[arg-type]
    )
    whole = documents.document(shards[2], whole=True, min_mass=0.01)
    alone = run(model, next(pack_rows([whole], 9999)))[0].item()
    (row,) = pack_rows([whole, both], 9999)
    loss, sums, counts, _ = run(model, row)
    assert loss.item() - alone == pytest.approx(sum(expected), rel=1e-4)
    assert sums.sum().item() == pytest.approx(loss.item(), rel=1e-5)
    assert counts.sum().item() == pytest.approx(row.weight, rel=1e-5)
    loss.backward()


def test_learning_savings_improves_the_first_list(label_config: TrainConfig) -> None:
    labels = dataclasses.replace(label_config.labels, savings_rounds=99, whole_share=0.2)
    config = dataclasses.replace(
        label_config, mix_share=0.0, max_steps=40, learning_rate=1e-2, labels=labels
    )
    saved = train(config).savings["x86_64"]
    assert saved["model 1"]["total"] == pytest.approx(saved["oracle"]["total"], rel=0.05)
