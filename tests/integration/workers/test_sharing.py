from __future__ import annotations

import random
from collections.abc import Callable
from types import ModuleType

from llm_compiler.records import PassList
from llm_compiler.workers import LocalPool, run_jobs


def test_sharing_really_saves_work(jobs: ModuleType, compile_unit: Callable[[str], bytes]) -> None:
    rng = random.Random(3)
    names = ("mem2reg", "simplifycfg", "dce", "adce", "early-cse", "sccp", "reassociate")
    space = [f"function({name})" for name in names]
    lists: list[PassList] = [PassList()]
    for _ in range(60):
        parent = rng.choice(lists)
        lists.append(parent.with_inserted(rng.randint(0, len(parent)), rng.choice(space)))
    bitcode = compile_unit("switch_state_machine.c")
    with LocalPool(1) as pool:
        shared, alone = (
            run_jobs(
                pool, [jobs.CountingJob(bitcode=bitcode, pass_lists=tuple(lists), share=share)]
            )[0][0]
            for share in (True, False)
        )
    pairs = zip(shared[0], alone[0], strict=True)
    # Use-list orders are not part of a module's hash, and may decide a few bytes.
    assert sum(item.size_bytes != other.size_bytes for item, other in pairs) <= 1
    assert alone[1] == sum(map(len, lists))
    assert shared[1] < 0.7 * alone[1]
    assert shared[2] < alone[2] == len(lists)
