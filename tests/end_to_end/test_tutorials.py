"""The blocks of docs/tutorials.md, pasted into one shell in their order."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from .conftest import COMMAND

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials.md"


@pytest.mark.timeout(300)
def test_each_block_works_as_written(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", TUTORIALS.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 5
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(blocks)],
        cwd=tmp_path,
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "define i32 @count_words" in done.stdout
