"""Where the seconds of a check go, and what sharing prefixes between lists could save of them.

Draws lists as local search makes them (edits of the coreset's lists), puts each to PassListEval,
and says how many processor seconds compiling and running took, and how many programs needed no run
since their module is known to do right. Then the most that common prefixes could save: passes of
all lists against passes after what an earlier list began with, each weighted by its measured
seconds on the suite's modules.

    python benchmarks/check_seconds.py --lists 12
"""

from __future__ import annotations

import argparse
import itertools
import random

from processor_time import processor_seconds

from llm_compiler.llvm.module_jobs import RegistryJob
from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.records import PassList
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.strategies import local_search
from llm_compiler.search.trial import Trial
from llm_compiler.verify.pass_list_eval import SAME, PassListEval
from llm_compiler.verify.suite import built_in_suite
from llm_compiler.workers import LocalPool, run_jobs


def draw_lists(count: int, seed: int) -> list[PassList]:
    """Return lists that local search would try next to the coreset's."""
    coreset = load_coreset()
    space = sorted({element for passes in coreset.lists for element in passes.elements})
    trial = Trial(bitcode=b"", budget=count)
    strategy = local_search(
        space,
        random.Random(seed),
        weights=coreset.weights_for(space),
        donors=coreset.lists,
    )
    drawn: list[PassList] = []
    for batch in itertools.islice(strategy(trial), 100):
        drawn += [p for p in batch if p not in drawn and not list(unsafe_passes(p))]
        if len(drawn) >= count:
            break
    return drawn[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lists", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lists = draw_lists(options.lists, options.seed)
    compiling = running = 0.0
    known = total = 0
    with LocalPool(1) as pool:
        run_jobs(pool, [RegistryJob()])
        judge = PassListEval(built_in_suite(), architectures=["x86_64"], pool=pool)
        (part,) = judge._parts.values()
        for passes in lists:
            start = processor_seconds()
            built = judge._build(passes, go_on=True)
            middle = processor_seconds()
            said = part.find_all_failures(built["x86_64"])
            running += processor_seconds() - middle
            compiling += middle - start
            known += sum(value == SAME for value in said.values())
            total += len(said)
            print(
                f"{middle - start:.1f} s, {processor_seconds() - middle:.1f} s  {passes.text[:90]}"
            )
        judge.close()
    elements = [passes.elements for passes in lists]
    num_passes = sum(map(len, elements))
    prefixes = {e[: n + 1] for e in elements for n in range(len(e))}
    print(
        f"{len(lists)} lists: compiling {compiling / len(lists):.2f} s a list, linking and running "
        f"{running / len(lists):.2f} s; {known} of {total} modules were known to do right"
    )
    print(f"{num_passes} passes, {len(prefixes)} different prefixes")


if __name__ == "__main__":
    main()
