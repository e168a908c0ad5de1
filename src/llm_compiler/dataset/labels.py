"""Labels as the flag-tuning stage asks for them: the best list of a module.

The table is `search.labels`'s. Content hashes tie it to samples: what a rebuilt corpus no longer
has is counted, not an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llm_compiler.errors import ArtifactError
from llm_compiler.records import PassList
from llm_compiler.search.labels import ModuleLabels, read_labels

__all__ = ["Labels"]


class Labels:
    """The sizes that every list makes of every labelled module.

    Args:
        metric: which sizes decide: ``size_bytes`` or ``text_data_bytes``.

    Raises:
        ArtifactError: the file is missing, damaged, or holds no labels.
    """

    def __init__(self, path: Path, *, metric: str = "size_bytes") -> None:
        assert metric in ("size_bytes", "text_data_bytes"), metric
        if not path.is_file():
            raise ArtifactError(f"there are no labels at {path}: `llm-compiler labels` makes them")
        self.lists, modules = read_labels(path)
        if not modules:
            raise ArtifactError(f"{path} holds no labels")
        self.metric = metric
        self._modules = {module.module_hash: module for module in modules}

    def __len__(self) -> int:
        return len(self._modules)

    def __contains__(self, module_hash: str) -> bool:
        return module_hash in self._modules

    def module(self, module_hash: str) -> ModuleLabels:
        """Return all sizes of a module.

        Raises:
            KeyError: it has no labels.
        """
        return self._modules[module_hash]

    def num_unmatched(self, hashes: Iterable[str]) -> int:
        """Return how many labelled modules are not among these."""
        return len(self._modules.keys() - set(hashes))

    def best(self, module_hash: str) -> tuple[PassList | None, dict[PassList, int]]:
        """Return the list that makes a module smallest, and every list's size by the metric.

        The list is None where none is smaller than ``default<Oz>``. Of equal ones the shortest
        wins, then the first. Lists that failed on the module have no size.

        Raises:
            KeyError: it has no labels.
        """
        # The first size is default<Oz>'s; a failed list has -1.
        baseline, *sizes = getattr(self._modules[module_hash], self.metric)
        found = {passes: size for passes, size in zip(self.lists, sizes, strict=True) if size >= 0}
        best = min(found, key=lambda passes: (found[passes], len(passes)), default=None)
        if best is not None and 0 <= baseline <= found[best]:
            best = None
        return best, found
