from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llm_compiler.model.decoding import Finding, IdArray, log_softmax
from llm_compiler.model.engines.embedded import EmbeddedDecoder
from llm_compiler.model.generation import generate
from llm_compiler.model.ranking import TokenTrie, beams, most_probable

from .reference import Reference, tiny_config, write_checkpoint

CONFIG = tiny_config(40)
PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]
END = 0


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedDecoder:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, CONFIG)
    return EmbeddedDecoder(folder, precision="fp32", threads=1, cache=folder)


def random_sequences(num: int, *, tokens: int, longest: int, seed: int = 0) -> list[list[int]]:
    """Distinct ones over few tokens, so that they share beginnings; each ends with END."""
    random = np.random.default_rng(seed)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < num:
        length = int(random.integers(0, longest))
        found[*random.integers(1, tokens + 1, length).tolist(), END] = None
    return [list(pair) for pair in found]


def exact(sequences: list[list[int]]) -> dict[tuple[int, ...], float]:
    """Log-probabilities of all sequences, each decoded alone, masked step by step."""
    reference = Reference(CONFIG)
    found = {}
    for sequence in sequences:
        rows = reference.log_probabilities([*PROMPT, *sequence])[len(PROMPT) - 1 :]
        total = 0.0
        for position, id_ in enumerate(sequence):
            following = {
                group[position]
                for group in sequences
                if len(group) > position and group[:position] == sequence[:position]
            }
            total += rows[position][id_] - math.log(
                sum(math.exp(rows[position][i]) for i in following)
            )
        found[tuple(sequence)] = total
    return found


@pytest.mark.parametrize("batch", [512, 7, 1])
@pytest.mark.parametrize("num", [1, 5, 60])
def test_most_probable_is_exact(decoder: EmbeddedDecoder, batch: int, num: int) -> None:
    sequences = random_sequences(60, tokens=4, longest=9)
    trie = TokenTrie(sequences)
    expected = exact(sequences)
    assert sum(map(math.exp, expected.values())) == pytest.approx(1)
    found = most_probable(decoder.start(PROMPT), trie, num, batch=batch)
    best = sorted(expected, key=lambda ids: -expected[ids])[:num]
    assert [each_finding.ids for each_finding in found] == best
    for finding in found:
        assert finding.log_probability == pytest.approx(expected[finding.ids], abs=1e-3)
        assert sequences[trie.find(finding.ids)] == list(finding.ids)


def test_a_whole_trie_sums_to_one(decoder: EmbeddedDecoder) -> None:
    trie = TokenTrie(random_sequences(300, tokens=30, longest=12))
    found = most_probable(decoder.start(PROMPT), trie, 1000)
    assert len(found) == 300
    assert sum(math.exp(finding.log_probability) for finding in found) == pytest.approx(1, abs=1e-4)


def test_a_trie_without_choice_asks_nothing(decoder: EmbeddedDecoder) -> None:
    found = most_probable(decoder.start(PROMPT), TokenTrie([[7, 8, END]]), 4)
    assert found == [Finding(ids=(7, 8, END), log_probability=0.0)]
    assert most_probable(decoder.start(PROMPT), TokenTrie([]), 4) == []


def test_equal_sequences_count_once_and_beginnings_are_refused() -> None:
    trie = TokenTrie([[5, END], [6, END], [5, END]])
    assert trie.find([5, END]) == 0
    assert len(trie.place) == 2
    for wrong in ([[5], [5, 6]], [[5, 6], [5]], [[]]):
        with pytest.raises(ValueError, match="beginning of another"):
            TokenTrie(wrong)


class Grammar:
    """At most `longest` of `tokens`, then END."""

    def __init__(self, tokens: Sequence[int], longest: int) -> None:
        self.tokens = np.array([END, *tokens])
        self.longest = longest

    def start(self) -> int:
        return 0

    def advance(self, state: int, id_: int) -> int:
        return -1 if id_ == END else state + 1

    def allowed(self, state: int) -> IdArray:
        if state < 0:
            return self.tokens[:0]
        return self.tokens if state < self.longest else self.tokens[:1]


def test_wide_beams_find_what_is_best(decoder: EmbeddedDecoder) -> None:
    grammar = Grammar((5, 6, 7), 3)
    every = [[*pair, END] for n in range(4) for pair in itertools.product((5, 6, 7), repeat=n)]
    expected = exact(every)
    best = sorted(expected, key=lambda ids: -expected[ids])[:10]
    tokens = grammar.tokens
    found = beams(decoder.start(PROMPT), grammar, tokens, 10, width=30, max_tokens=4)
    assert [each_finding.ids for each_finding in found] == best
    for finding in found:
        assert finding.log_probability == pytest.approx(expected[finding.ids], abs=1e-3)
    narrow = beams(decoder.start(PROMPT), grammar, tokens, 10, max_tokens=4)
    assert len({each_finding.ids for each_finding in narrow}) == 10
    assert len(beams(decoder.start(PROMPT), grammar, tokens, 100, max_tokens=4)) == len(every)
    short = beams(decoder.start(PROMPT), grammar, tokens, 100, max_tokens=3)
    assert {len(each_finding.ids) for each_finding in short} == {1, 2, 3}


def test_greedy_text(decoder: EmbeddedDecoder) -> None:
    reference = Reference(CONFIG)
    (found,) = generate(decoder.start(PROMPT), 1, end=END, max_tokens=12)
    ids: list[int] = []
    total = 0.0
    while len(ids) < 12 and (not ids or ids[-1] != END):
        row = reference.log_probabilities([*PROMPT, *ids])[-1]
        ids.append(int(row.argmax()))
        total += row.max()
    assert found.ids == tuple(ids)
    assert found.finished == (ids[-1] == END)
    assert found.log_probability == pytest.approx(total, abs=1e-3)


def test_drawn_texts(decoder: EmbeddedDecoder) -> None:
    def draw(num: int, seed: int = 1, temperature: float = 1.0) -> list[Finding]:
        state = decoder.start(PROMPT)
        return generate(state, num, end=END, max_tokens=80, temperature=temperature, seed=seed)

    found = draw(12)
    assert found == draw(12)
    assert found[1:] != draw(12, seed=2)[1:]
    # The first is greedy whatever is drawn, and more texts do not change the first ones.
    assert found[0].ids == generate(decoder.start(PROMPT), 1, end=END, max_tokens=80)[0].ids
    assert [each_finding.ids for each_finding in draw(5)] == [
        each_finding.ids for each_finding in found[:5]
    ]
    assert len({each_finding.ids for each_finding in found}) == len(found)
    reference = Reference(CONFIG)
    for finding in found:
        assert finding.finished == (finding.ids[-1] == END)
        assert END not in finding.ids[:-1]
        assert finding.finished or len(finding.ids) == 80
        rows = reference.log_probabilities([*PROMPT, *finding.ids])[len(PROMPT) - 1 :]
        total = sum(rows[place][id_] for place, id_ in enumerate(finding.ids))
        assert finding.log_probability == pytest.approx(total, abs=1e-2)
    # Near temperature 0 all are greedy, and equal ones are left out.
    assert len(draw(12, temperature=1e-4)) == 1


def test_draws_follow_the_probabilities(decoder: EmbeddedDecoder) -> None:
    """Shares of first tokens among many draws, at temperature 2."""
    row = decoder.start(PROMPT).first / 2
    expected = np.exp(log_softmax(row))
    shares = np.zeros(CONFIG.vocab_size)
    state = decoder.start(PROMPT)
    for seed in range(1500):
        for finding in generate(state, 2, end=END, max_tokens=1, temperature=2.0, seed=seed)[1:]:
            shares[finding.ids[0]] += 1
    greedy = int(row.argmax())
    shares[greedy] = 1500 - shares.sum()  # a draw equal to the greedy text is left out
    np.testing.assert_allclose(shares / 1500, expected, atol=0.05)


def test_texts_by_beams(decoder: EmbeddedDecoder) -> None:
    found = generate(decoder.start(PROMPT), 6, end=END, max_tokens=30)
    greedy = generate(decoder.start(PROMPT), 1, end=END, max_tokens=30)[0]
    assert found[0].ids == greedy.ids
    assert len({finding.ids for finding in found}) == len(found) == 6
    others = [finding.log_probability for finding in found[1:] if finding.finished]
    assert others == sorted(others, reverse=True)
    # As wide as the vocabulary: of two tokens, the best of all there are.
    reference = Reference(CONFIG)
    first = reference.log_probabilities(PROMPT)[-1]
    every = {
        (index, two): first[index] + step
        for index in range(1, 40)
        for two, step in enumerate(reference.log_probabilities([*PROMPT, index])[-1])
    }
    best = sorted(every, key=lambda ids: -every[ids])
    wide = generate(decoder.start(PROMPT), 40, end=END, max_tokens=2)
    assert (END,) in {finding.ids for finding in wide}
    assert {finding.ids for finding in wide} - {(END,)} == set(best[:39])


def test_beams_end_when_their_time_is_up(decoder: EmbeddedDecoder) -> None:
    greedy = generate(decoder.start(PROMPT), 1, end=END, max_tokens=30)[0]
    found = generate(decoder.start(PROMPT), 6, end=END, max_tokens=30, seconds=1e-9)
    first = next(finding for finding in found if finding.ids[0] == greedy.ids[0])
    assert first.ids == greedy.ids[: len(first.ids)]
    assert len(first.ids) == 1 or first.finished
    assert len(generate(decoder.start(PROMPT), 6, end=END, max_tokens=30, seconds=600)) == 6


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_texts_obey_a_constraint(decoder: EmbeddedDecoder, temperature: float) -> None:
    grammar = Grammar((5, 6), 3)
    state = decoder.start(PROMPT)
    found = generate(state, 9, end=END, max_tokens=9, constraint=grammar, temperature=temperature)
    expected = exact(
        [[*pair, END] for n in range(4) for pair in itertools.product((5, 6), repeat=n)]
    )
    assert len(found) > 1
    for finding in found:
        assert finding.finished
        assert finding.log_probability == pytest.approx(expected[finding.ids], abs=1e-3)


def test_what_was_decoded_before_has_no_influence(decoder: EmbeddedDecoder, tmp_path: Path) -> None:
    trie = TokenTrie(random_sequences(60, tokens=4, longest=9))
    once = most_probable(decoder.start(PROMPT), trie, 60)
    generate(decoder.start(PROMPT[:3]), 4, end=END, max_tokens=9, temperature=1.0)
    fresh = EmbeddedDecoder(
        write_checkpoint(tmp_path, CONFIG), precision="fp32", threads=1, cache=tmp_path
    )
    assert most_probable(decoder.start(PROMPT), trie, 60) == once
    assert most_probable(fresh.start(PROMPT), trie, 60) == once


class Ascending:
    """Refuses tokens that are not larger than the one before; the end may always stand."""

    def start(self) -> int:
        return 0

    def step(self, state: int, id_: int) -> int | None:
        return id_ if id_ > state or id_ == END else None


@pytest.mark.parametrize(("num", "temperature"), [(1, 0.0), (6, 0.0), (6, 1.5)])
def test_what_a_checker_refuses_is_passed_over(
    decoder: EmbeddedDecoder, num: int, temperature: float
) -> None:
    found = generate(
        decoder.start(PROMPT),
        num,
        end=END,
        max_tokens=60,
        checker=Ascending(),
        temperature=temperature,
    )
    assert 0.5 * num < len(found) <= num
    for finding in found:
        assert finding.finished
        assert list(finding.ids[:-1]) == sorted(set(finding.ids[:-1]))
        assert finding.ids[-1] == END
    # The greedy one takes the best of those that may stand, step by step.
    reference = Reference(CONFIG)
    ids, last = list(PROMPT), 0
    for taken in found[0].ids:
        row = reference.log_probabilities(ids)[-1]
        best = max((i for i in range(40) if i > last or i == END), key=lambda i: row[i])
        assert taken == best
        ids.append(taken)
        last = taken


def test_a_text_that_cannot_go_on_is_given_up(decoder: EmbeddedDecoder) -> None:
    class Never:
        def start(self) -> int:
            return 0

        def step(self, state: int, id_: int) -> int | None:
            return state + 1 if state < 3 and id_ != END else None

    for num in (1, 4):
        found = generate(decoder.start(PROMPT), num, end=END, max_tokens=9, checker=Never())
        assert not any(finding.finished for finding in found)
        assert all(len(finding.ids) <= 3 for finding in found)
