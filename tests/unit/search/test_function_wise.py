"""The choice of lists by function follows what functions take and need."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest

from llm_compiler.llvm.function_wise.plan import make_plan
from llm_compiler.llvm.function_wise.structure import Structure
from llm_compiler.records import Measurement, PassList, Status, SymbolSize
from llm_compiler.search.function_wise import Chooser, choose_lists
from llm_compiler.search.objective import TEXT_DATA

A, B, C = (PassList((name,)) for name in ("a", "b", "c"))


def symbol(name: str, size: int, *used: str, local: bool = False, data: int = 0) -> SymbolSize:
    return SymbolSize(
        name=name,
        is_function=True,
        is_exported=not local,
        text_bytes=size,
        data_bytes=data,
        references=used,
    )


def measured(*symbols: SymbolSize) -> Measurement:
    return Measurement(status=Status.OK, size_bytes=10_000, text_data_bytes=5_000, symbols=symbols)


def structure(*names: str, local: tuple[str, ...] = (), **more: object) -> Structure:
    return Structure(
        functions=names,
        exported=tuple(name for name in names if name not in local),
        local_functions=frozenset(local),
        num_instructions=dict.fromkeys(names, 10),
        **more,  # type: ignore[arg-type]
    )


def test_each_function_gets_its_smallest_list() -> None:
    found = choose_lists(
        structure("f", "g"),
        {
            A: measured(symbol("f", 10), symbol("g", 30)),
            B: measured(symbol("f", 20), symbol("g", 5)),
        },
    )
    assert found == {"f": A, "g": B}


def test_a_static_function_counts_only_while_somebody_needs_it() -> None:
    # B inlines s into f, which grows by less than s takes; then nobody needs s.
    found = choose_lists(
        structure("f", "s", local=("s",)),
        {
            A: measured(symbol("f", 100, "s"), symbol("s", 40, local=True)),
            B: measured(symbol("f", 120)),
        },
    )
    assert found["f"] == B


def test_a_function_inlined_by_all_users_at_once_is_found() -> None:
    # Each caller alone grows by 10; together they save the 50 bytes of s.
    whole = {
        A: measured(*(symbol(n, 100, "s") for n in "fgh"), symbol("s", 50, local=True)),
        B: measured(*(symbol(n, 110) for n in "fgh")),
    }
    found = choose_lists(structure("f", "g", "h", "s", local=("s",)), whole)
    assert [found[name] for name in "fgh"] == [B, B, B]


def variable(name: str, size: int) -> SymbolSize:
    return SymbolSize(name=name, is_function=False, is_exported=False, data_bytes=size)


@pytest.mark.parametrize("prefix", ["", ".L"])
def test_a_table_counts_whole_while_anybody_reads_it(prefix: str) -> None:
    # B makes f of code, 30 bytes larger; the table of 60 goes only if g does without it too,
    # which B does not. Half of the table is nothing that f could save alone.
    table = variable(f"{prefix}table", 60)
    used = table.name
    whole = {
        A: measured(symbol("f", 100, used), symbol("g", 100, used), table),
        B: measured(symbol("f", 120), symbol("g", 110, used), table),
        C: measured(symbol("f", 121), symbol("g", 125)),
    }
    known = structure("f", "g", local_variables=frozenset(["table"]))
    assert choose_lists(known, {x: whole[x] for x in (A, B)}) == {"f": A, "g": A}
    # Both at once: 120 + 125 are less than 100 + 100 + 60.
    assert choose_lists(known, whole) == {"f": B, "g": C}


def test_a_variable_that_others_may_name_is_there_in_any_case() -> None:
    table = variable("table", 60)
    whole = {
        A: measured(symbol("f", 100, "table"), table),
        B: measured(symbol("f", 120), table),
    }
    known = structure("f")
    assert choose_lists(replace(known, exported=("f", "table")), whole) == {"f": A}


def test_functions_that_are_tied_or_pinned_move_as_one() -> None:
    whole = {
        A: measured(symbol("f", 10), symbol("g", 30), symbol("h", 9)),
        B: measured(symbol("f", 20), symbol("g", 5), symbol("h", 10)),
    }
    tied = choose_lists(structure("f", "g", "h", ties=(("f", "g"),)), whole)
    assert tied == {"f": B, "g": B, "h": A}
    pinned = choose_lists(structure("f", "g", "h", pinned=frozenset(["g", "h"])), whole)
    assert pinned == {"f": A, "g": B, "h": B}


def test_the_objective_decides_what_is_counted() -> None:
    whole = {A: measured(symbol("f", 10, data=90)), B: measured(symbol("f", 20, data=0))}
    assert choose_lists(structure("f"), whole) == {"f": B}
    assert choose_lists(structure("f"), whole, objective=TEXT_DATA) == {"f": A}


def test_no_more_lists_than_allowed() -> None:
    names = [f"f{i}" for i in range(12)]
    lists = [PassList((f"p{i}",)) for i in range(12)]
    whole = {
        recipe: measured(*(symbol(n, 50 - 10 * (i == j)) for j, n in enumerate(names)))
        for i, recipe in enumerate(lists)
    }
    assert len(set(choose_lists(structure(*names), whole, max_lists=3).values())) == 3


def test_what_an_assembly_took_corrects_the_choice() -> None:
    whole = {
        A: measured(symbol("f", 10), symbol("g", 30)),
        B: measured(symbol("f", 12), symbol("g", 20)),
    }
    chooser = Chooser(structure("f", "g"), whole)
    first = chooser.choose()
    assert first == {"f": A, "g": B}
    chooser.learn(first, measured(symbol("f", 15), symbol("g", 20)))
    assert chooser.choose() == {"f": B, "g": B}


def test_an_assembly_without_symbols_teaches_nothing() -> None:
    chooser = Chooser(structure("f"), {A: measured(symbol("f", 10)), B: measured(symbol("f", 12))})
    first = chooser.choose()
    chooser.learn(first, measured())
    assert chooser.choose() == first


def test_nothing_is_chosen_where_nothing_is_known() -> None:
    refused = Measurement(status=Status.REFUSED)
    assert choose_lists(structure("f"), {A: refused}) == {}
    assert choose_lists(structure(), {A: measured(symbol("f", 1))}) == {}


@pytest.mark.parametrize("seed", range(6))
def test_the_search_comes_near_the_best_of_all_choices(seed: int) -> None:
    draw = random.Random(seed)
    names, local = ("f", "g", "h", "s", "t"), ("s", "t")
    whole = {}
    for recipe in (A, B, C):
        symbols = []
        for index, name in enumerate(names):
            used = [n for n in names[index + 1 :] if n in local and draw.random() < 0.6]
            symbols.append(symbol(name, draw.randrange(20, 120), *used, local=name in local))
        whole[recipe] = measured(*symbols)

    def cost(choice: tuple[PassList, ...]) -> float:
        tables = {
            each_recipe: {s.name: s for s in found.symbols} for each_recipe, found in whole.items()
        }
        lists = dict(zip(names, choice, strict=True))
        pending, seen, total = ["f", "g", "h"], {"f", "g", "h"}, 0.0
        while pending:
            name = pending.pop()
            symbol_size = tables[lists[name]][name]
            total += symbol_size.size_bytes
            for used in symbol_size.references:
                if used not in seen:
                    seen.add(used)
                    pending.append(used)
        return total

    found = choose_lists(structure(*names, local=local), whole)
    best = min(map(cost, product((A, B, C), repeat=len(names))))
    assert cost(tuple(found[name] for name in names)) <= 1.05 * best


def test_a_plan_holds_each_function_once_and_imports_what_may_be_inlined() -> None:
    unit = structure(
        *("f", "g", "s", "w"),
        local=("s",),
        references={"f": frozenset("sw"), "s": frozenset("g")},
        importable_functions=frozenset("fgs"),
        pinned=frozenset("g"),
    )
    plan = make_plan(unit, {"f": A, "g": B, "s": C, "w": C})
    assert [part.recipe for part in plan.parts] == [B, A, C]
    assert plan.parts[0].is_base
    assert sorted(n for part in plan.parts for n in part.functions) == ["f", "g", "s", "w"]
    by_recipe = {part.recipe: part for part in plan.parts}
    assert by_recipe[A].imported == ("g", "s"), "not the weak function"
    kept = make_plan(unit, {"f": A, "g": B, "s": A, "w": A}, keep_internal=True)
    assert {part.recipe: part.internal_functions for part in kept.parts} == {B: (), A: ("s",)}
