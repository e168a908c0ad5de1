"""Inputs for a function: drawn, and varied until its basic blocks have run."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_compiler.errors import CompileFailed
from llm_compiler.llvm.assembler import assemble
from llm_compiler.verify.inputs import Frame, Input, InputGenerator
from llm_compiler.verify.lifted import Signature
from llm_compiler.verify.probes import (
    address_offsets,
    comparison_constants,
    memory_fields,
    with_probes,
)
from llm_compiler.verify.side_by_side.clock import Clock
from llm_compiler.verify.side_by_side.options import ExecuteOptions
from llm_compiler.verify.side_by_side.outcomes import HUNG
from llm_compiler.verify.side_by_side.programs import Executable, Programs, stub_address
from llm_compiler.verify.side_by_side.world import NUM_CALLBACKS, World

__all__ = ["FIRST_INPUTS", "PIECE", "Found", "search_inputs"]

FIRST_INPUTS = 8
PIECE = 96
"""Inputs between two looks at the clock."""
_MUTANT_ROUNDS = 2
"""That are run though all blocks have run."""
_ENOUGH = 1.5
"""Times as many inputs as a verdict needs have to run to their end, if there is time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Inputs on which the original ends, those that reach most first, and what they run of it."""

    inputs: list[Input] = field(repr=False)
    num_tried: int
    num_covered: int
    num_blocks: int


def search_inputs(
    programs: Programs,
    options: ExecuteOptions,
    text: str,
    name: str,
    world: World,
    signature: Signature,
    frame: Frame,
    clock: Clock,
) -> Found:
    """Return inputs that run the original to its end, and as many of its blocks as were reached."""
    generator = InputGenerator(
        signature,
        frame,
        seed=options.seed,
        constants=comparison_constants(text, name, programs.target.architecture),
        num_extra_buffers=len(world.data) + 1,
        variable_bytes=sum((size + 7) // 8 * 8 for _, size in world.variables),
        fields=memory_fields(text, name, programs.target.architecture),
        offsets=address_offsets(text, name, programs.target.architecture),
        functions=[
            stub_address(index)
            for index in range(len(world.functions), len(world.functions) + NUM_CALLBACKS)
        ],
    )
    probed, blocks = _probed(programs, text, name, world)
    inputs: list[Input] = []
    num_tried = 0
    seen: set[int] = set()
    telling: list[Input] = []
    begun: set[int] = set()
    hopeful: list[Input] = []
    ending: list[Input] = []
    batch = [generator.draw() for _ in range(options.num_inputs)]
    for number in range(options.num_rounds + options.num_searches + 1):
        if probed is None:
            inputs, num_tried = batch, len(batch)
            break
        hung = start = 0
        size = FIRST_INPUTS if not number else PIECE
        while start < len(batch):
            piece = batch[start : start + size]
            num_tried += len(piece)
            outcomes = programs.run(probed, piece, world, frame, num_blocks=blocks)
            for given, outcome in zip(piece, outcomes, strict=True):
                ran = {i for i, byte in enumerate(outcome.coverage) if byte}
                if outcome.is_complete:
                    is_short = len(ending) < _ENOUGH * options.min_inputs
                    if number <= options.num_rounds or is_short or not ran <= seen:
                        inputs.append(given)
                    ending.append(given)
                if not ran <= begun:
                    begun |= ran
                    hopeful.append(given)
                if outcome.is_complete and not ran <= seen:
                    seen |= ran
                    telling.append(given)
            never = sum(each_outcome.kind == HUNG for each_outcome in outcomes)
            start += len(piece)
            if 4 * never > len(piece) and ending:
                # Runs that never end cost their time limit: stay near those that end.
                batch[start:] = [
                    generator.mutate(generator._random.choice(ending)) for _ in batch[start:]
                ]
            hung, size = hung + never, PIECE
            if clock.is_over:
                break
        is_enough = len(seen) == blocks and len(ending) >= _ENOUGH * options.min_inputs
        # Mutants meet the constants that memory is compared with: where one off counts.
        if clock.is_over or (is_enough and number >= _MUTANT_ROUNDS):
            break
        if 4 * hung > len(batch) and not ending:
            break
        # Those that got somewhere new and crashed there may be a mutation away from an end.
        near = ending if len(ending) < _ENOUGH * options.min_inputs else hopeful[-8:]
        sources = [group for group in (telling[-8:], telling, near) if group]
        batch = [
            generator.mutate(generator._random.choice(sources[index % len(sources)]))
            if sources and generator._random.random() < 0.8
            else generator.draw()
            for index in range(options.num_inputs // 2)
        ]
    # What reaches most runs first: the comparison may be short of time.
    chosen = {id(item) for item in telling}
    inputs = telling + [item for item in inputs if id(item) not in chosen]
    return Found(inputs=inputs, num_tried=num_tried, num_covered=len(seen), num_blocks=blocks)


def _probed(
    programs: Programs, text: str, name: str, world: World
) -> tuple[Executable | None, int]:
    """Return the original with probes; None where these do not fit into its code."""
    target = programs.target
    probed, blocks = with_probes(text, name, target.architecture)
    output = programs.folder / "probed.o"
    try:
        assemble(probed, target.architecture, target.toolchain, output, name=name)
        return programs.link(output, name, world, "probed"), blocks
    except CompileFailed:
        return None, blocks
