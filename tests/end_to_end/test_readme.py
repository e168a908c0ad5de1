"""The commands of README.md, as they are written there, and its links."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from llm_compiler.process import run

from .conftest import COMMAND

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FOO = """#include <string.h>
int count(const char *text, char c) {
  int n = 0;
  for (const char *at = text; (at = strchr(at, c)); at++) n++;
  return n;
}
"""


def commands() -> list[str]:
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("llm-compiler ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's project: foo.c, and sources that need a header folder."""
    home = tmp_path_factory.mktemp("project")
    (home / "foo.c").write_text(FOO)
    for name in ("src", "include"):
        (home / name).mkdir()
    (home / "include" / "shapes.h").write_text("struct shape { int width, height; };\n")
    bodies = {
        "area": "int area(struct shape s) { return s.width * s.height; }\n",
        "main": "int area(struct shape); int main(int n, char **v) { (void)v;"
        " return area((struct shape){n, 2}) - 2; }\n",
    }
    for name, body in bodies.items():
        (home / "src" / f"{name}.c").write_text(f'#include "shapes.h"\n{body}')
    return home


def test_the_readme_shows_commands() -> None:
    assert len(commands()) >= 5


def test_each_command_works_as_written(folder: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}",
    }
    for command in commands():
        done = run(["bash", "-c", command], timeout_s=100, cwd=folder, env=environment)
        # 1 is a negative verdict: a prediction or a lift may be wrong, and says so.
        allowed = (0, 1) if "--check" in command or "disassemble" in command else (0,)
        assert done.exit_status in allowed, (command, done.stderr_text)
    assert (folder / "foo.o").is_file()
    assert (folder / "foo.ll").read_text().startswith((";", "source_filename", "target"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
