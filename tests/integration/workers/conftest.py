from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SUPPORT = Path(__file__).with_name("support")


@pytest.fixture(scope="session")
def jobs() -> Iterator[ModuleType]:
    """The module `jobs_for_tests`, importable by workers that are started while it is in use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SUPPORT))
        before = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(SUPPORT), before))))
        yield importlib.import_module("jobs_for_tests")
        sys.modules.pop("jobs_for_tests", None)
