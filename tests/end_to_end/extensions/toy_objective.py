"""An objective: bytes that are neither code nor writable data, such as constants and tables."""

from llm_compiler.search.objective import Objective, register

register(
    Objective(
        name="constants",
        title="allocated bytes beside .text and .data",
        unit="bytes",
        of=lambda found: found.size_bytes - found.text_data_bytes,
    )
)
