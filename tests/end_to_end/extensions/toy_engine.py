"""An engine without a model: the first lists are the best, and passes change nothing."""

from llm_compiler.model.engines.engine import BaseEngine
from llm_compiler.model.engines.registry import EngineKind, LoadOptions, register
from llm_compiler.model.engines.requests import (
    Capability,
    CodeAnswer,
    Emulate,
    Lift,
    Proposal,
    Propose,
)

ALL = frozenset({Capability.PROPOSE, Capability.LIFT, Capability.EMULATE})


class Echo(BaseEngine):
    """Says what it is asked about."""

    name = model = "echo"
    context = 1 << 20
    capabilities = ALL

    def propose(self, request: Propose) -> list[Proposal]:
        """Return the first of the lists that were not tried."""
        lists = (request.open_lists or [])[: request.num_candidates]
        return [Proposal(passes=recipe, log_probability=0.0) for recipe in lists]

    def lift(self, request: Lift) -> list[CodeAnswer]:
        """Return text that is no IR: lifting finds that out."""
        return [CodeAnswer(code=request.assembly)]

    def emulate(self, request: Emulate) -> list[CodeAnswer]:
        """Return the module as it is."""
        return [
            CodeAnswer(
                code=request.code,
                num_instructions=request.num_instructions,
                size_bytes=request.size_bytes,
                text_data_bytes=request.text_data_bytes,
            )
        ]


def load(model: str | None, options: LoadOptions) -> Echo:
    """Return it."""
    return Echo()


register(EngineKind(name="echo", title="no model at all", load=load, capabilities=ALL))
