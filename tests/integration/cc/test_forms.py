"""Every form of call that makes code: smaller than clang's, and the same otherwise."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.toolchain import find_toolchain

from .conftest import PROGRAM

if TYPE_CHECKING:
    from .conftest import LlmCc

PRINTED = b"b: 2\na: 1\n"


@pytest.fixture
def sources(program: Path) -> Path:
    """The program in two files: what main calls is in ``b.c``."""
    text = (program / "a.c").read_text()
    start = text.index("int main")
    (program / "b.c").write_text(text[:start])
    struct = "struct node { struct node *next; int key; char name[16]; };\n"
    (program / "main.c").write_text(
        struct + "int total(struct node *);\nstruct node *find(struct node *, const char *);\n"
        "void show(struct node *);\n" + text[start:]
    )
    return program


def size(path: Path) -> int:
    return section_sizes(path.read_bytes()).size_bytes


def both(
    llm_cc: LlmCc, *arguments: str, cwd: Path, made: tuple[str, ...]
) -> dict[str, tuple[Path, Path]]:
    """Call clang and llm-cc; return what they made, by name: (ours, clang's)."""
    for folder, call in (("clang", llm_cc.run_clang), ("ours", llm_cc)):
        (cwd / folder).mkdir(exist_ok=True)
        for path in cwd.glob("*.[ch]*"):
            if path.is_file():
                copy = cwd / folder / path.name
                copy.write_bytes(path.read_bytes())
        done = call(*arguments, cwd=cwd / folder)
        assert (done.returncode, done.stderr) == (0, b""), arguments
    names = [{path.name for path in (cwd / item).iterdir()} for item in ("ours", "clang")]
    assert names[0] == names[1]
    return {name: (cwd / "ours" / name, cwd / "clang" / name) for name in made}


def printed(program: Path) -> bytes:
    return subprocess.run([program], capture_output=True, timeout=20, check=False).stdout


def test_several_objects_of_one_call(llm_cc: LlmCc, sources: Path) -> None:
    made = both(llm_cc, "-Oz", "-c", "b.c", "main.c", cwd=sources, made=("b.o", "main.o"))
    assert size(made["b.o"][0]) < size(made["b.o"][1])
    assert size(made["main.o"][0]) <= size(made["main.o"][1])
    llm_cc("b.o", "main.o", "-o", "prog", cwd=sources / "ours")
    assert printed(sources / "ours" / "prog") == PRINTED


def test_a_program_from_its_sources(llm_cc: LlmCc, sources: Path) -> None:
    arguments = ("-Oz", "main.c", "b.c", "-o", "prog", "-MD", "-Wl,--gc-sections")
    made = both(llm_cc, *arguments, cwd=sources, made=("prog",))
    ours, clangs = made["prog"]
    assert size(ours) < size(clangs)
    assert printed(ours) == printed(clangs) == PRINTED
    assert ours.stat().st_mode == clangs.stat().st_mode
    found = json.loads((llm_cc.folder / "journal.jsonl").read_text().splitlines()[-1])
    assert found["output"] == str(ours)
    assert found["optimized_bytes"] == size(ours)


def test_assembly(llm_cc: LlmCc, sources: Path) -> None:
    made = both(llm_cc, "-Oz", "-S", "b.c", "-MD", cwd=sources, made=("b.s",))
    objects = []
    for path in made["b.s"]:
        assert b'.file\t"b.c"' in path.read_bytes()
        done = llm_cc.run_clang("-c", path.name, "-o", "b.o", cwd=path.parent)
        assert done.returncode == 0, done.stderr
        objects.append(size(path.parent / "b.o"))
    assert objects[0] < objects[1]
    # What is known is written without clang, to another name as well.
    done = llm_cc("-Oz", "-S", "b.c", "-o", "again.s", "-MD", cwd=sources / "ours")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (sources / "ours" / "again.s").read_bytes() == made["b.s"][0].read_bytes()
    assert "again.s: b.c" in (sources / "ours" / "again.d").read_text()


def test_a_source_at_standard_input(llm_cc: LlmCc, tmp_path: Path) -> None:
    text = PROGRAM.encode()
    made = []
    for client, name in ((llm_cc.clang, "clang.o"), (str(llm_cc.client), "ours.o")):
        for arguments in (("-c", "-o", name), ("-o", name + ".prog")):
            done = subprocess.run(
                [client, "-Oz", "-x", "c", "-", *arguments],
                input=text,
                cwd=tmp_path,
                env=llm_cc.environment(),
                capture_output=True,
                timeout=100,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, b"")
        made.append(size(tmp_path / name))
        assert printed(tmp_path / (name + ".prog")) == PRINTED
    assert made[1] < made[0]


def test_precompiled_headers_are_part_of_the_source(llm_cc: LlmCc, sources: Path) -> None:
    for value in (3, 4):
        # In the header's own text it is 9: what is compiled comes from the compiled header.
        header = f"static int shift(int x) {{ return x * {value} + {value} % 7; }}\n"
        (sources / "pre.h").write_text(header)
        (sources / "use.c").write_text(
            (sources / "b.c").read_text() + "int used(int x) { return shift(x) + shift(x + 1); }\n"
        )
        llm_cc.run_clang("-Oz", "-x", "c-header", "pre.h", "-o", "pre.h.pch", cwd=sources)
        results = []
        for client, name in ((llm_cc.run_clang, "clang.o"), (llm_cc, "ours.o"), (llm_cc, "hit.o")):
            done = client(
                "-Oz", "-c", "-include-pch", "pre.h.pch", "use.c", "-o", name, cwd=sources
            )
            assert (done.returncode, done.stderr) == (0, b"")
            results.append(size(sources / name))
        assert results[1] < results[0]
        (sources / "run.c").write_text(
            "int used(int);\nint main(void) { return used(5); } /* long enough to be a source */\n"
        )
        llm_cc.run_clang("run.c", "hit.o", "-o", "prog", cwd=sources)
        ran = subprocess.run([sources / "prog"], timeout=20, check=False)
        assert ran.returncode == value * 11 + 2 * (value % 7)


def _debug_names(path: Path) -> list[tuple[str, str]]:
    command: list[str | Path] = [find_toolchain().tool("llvm-dwarfdump"), "--debug-info", path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.finditer(r'DW_AT_(?:GNU_)?dwo_name\s+\("([^"]*)"\)|DWO_id = (\S+)', text)
    return [(item[1] or "", item[2] or "") for item in found]


@pytest.mark.parametrize("mode", ["-gsplit-dwarf", "-gsplit-dwarf=single"])
def test_split_debug_information_goes_with_its_object(
    llm_cc: LlmCc, sources: Path, mode: str
) -> None:
    arguments = ("-Oz", "-g", mode, "-c", "b.c", "-o", "out.o")
    is_split = mode == "-gsplit-dwarf"
    names = ("out.o", "out.dwo") if is_split else ("out.o",)
    made = both(llm_cc, *arguments, cwd=sources, made=names)
    if not is_split:
        assert size(made["out.o"][0]) == size(made["out.o"][1])  # left to clang
        return
    ours, clangs = made["out.o"]
    assert size(ours) < size(clangs)
    kept = {name: pair[0].read_bytes() for name, pair in made.items()}
    said = _debug_names(ours)
    assert ("out.dwo", "") in said
    assert ("out.dwo", "") in _debug_names(clangs)
    numbers = {word for _, word in [*said, *_debug_names(made["out.dwo"][0])] if word}
    assert len(numbers) == 1  # the two belong together
    command: list[str | Path] = [
        find_toolchain().tool("llvm-dwarfdump"),
        "--verify",
        made["out.dwo"][0],
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    for path in made["out.dwo"][0].parent.glob("out.*"):
        path.unlink()
    again = llm_cc(*arguments, cwd=sources / "ours")
    assert again.returncode == 0
    assert {name: (sources / "ours" / name).read_bytes() for name in names} == kept


def test_kept_intermediate_files_are_those_of_the_object(llm_cc: LlmCc, sources: Path) -> None:
    names = ("b.o", "b.s", "b.i", "b.bc")
    made = both(llm_cc, "-Oz", "-c", "b.c", "-save-temps", cwd=sources, made=names)
    assert size(made["b.o"][0]) < size(made["b.o"][1])
    for name in ("b.i", "b.bc"):
        assert made[name][0].read_bytes() == made[name][1].read_bytes()
    llm_cc.run_clang("-c", "b.s", "-o", "from_assembly.o", cwd=sources / "ours")
    assert size(sources / "ours" / "from_assembly.o") == size(made["b.o"][0])


def test_a_failing_source_among_several_is_clangs_to_report(llm_cc: LlmCc, sources: Path) -> None:
    (sources / "bad.c").write_text("int f(void) { return missing; }\n" * 3)
    for arguments in (
        ("-Oz", "-c", "b.c", "bad.c"),
        ("-Oz", "main.c", "b.c", "-o", "prog", "-lmissing_library"),
        ("-Oz", "-S", "bad.c"),
    ):
        ours, clangs = llm_cc(*arguments, cwd=sources), llm_cc.run_clang(*arguments, cwd=sources)
        assert ours.returncode == clangs.returncode != 0
        cut = [re.sub(rb"/\S*-[0-9a-f]{6}\.o", b"", process.stderr) for process in (ours, clangs)]
        assert cut[0] == cut[1]
        assert not (sources / "prog").exists()
