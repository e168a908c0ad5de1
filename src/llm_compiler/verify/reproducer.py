"""Keep what shows that a pass list is wrong, and make it smaller on request.

A reproducer is a folder that stands by itself: the program, its unoptimised bitcode, the list, what
was expected and what came, and ``interesting.sh``, which ends with 0 where the list breaks the file
it is given: the script that ``llvm-reduce`` and C-Vise ask for. Safe in threads.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.errors import CompileFailed, InputError, OutputError, TimedOut, ToolchainNotFound
from llm_compiler.process import run
from llm_compiler.records import Verdict, VerdictKind
from llm_compiler.verify.suite import Program
from llm_compiler.verify.target import Target

__all__ = ["Reproducer", "minimize", "save_reproducer"]

_SCRIPT = """\
#!/bin/sh
# {title}
# usage: interesting.sh [FILE]    FILE: C, C++ or LLVM-IR; default: {source}
# Ends with 0 where FILE ends well at -O0 (and alike at -O2, so that it is not undefined
# behaviour that shows), but not with the pass list.
set -u
file=$(readlink -f "${{1:-{source}}}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
ulimit -c 0
LLVM=${{LLVM_BIN:-{bin_dir}}}
clang="$LLVM/{clang} --target={triple} -w"
passes={passes}

case "$file" in
*.c | *.cc | *.cpp | *.cxx)
    $clang -Oz -Xclang -disable-llvm-passes -emit-llvm -c {flags} "$file" -o start.bc || exit 1 ;;
*) cp "$file" start.bc ;;
esac
link() {{ $clang $3 -x ir "$1" -o "$2" -pthread -lm {link_flags} >"$2.log" 2>&1; }}
result() {{ timeout 10 {runner} "./$1" >"$1.out" 2>/dev/null; echo "exit code $?" >>"$1.out"; }}

link start.bc plain -O0 && result plain || exit 1
[ "$(tail -n 1 plain.out)" = "exit code 0" ] || exit 1
"$LLVM/opt" -passes='default<O2>' start.bc -o o2.bc && link o2.bc o2 "$unoptimized" || exit 1
result o2
cmp -s plain.out o2.out || exit 1

timeout 60 "$LLVM/opt" -passes="$passes" start.bc -o listed.bc >opt.log 2>&1
status=$?
if [ $status -ne 0 ]; then
    [ "{kind}" = compiler ] && exit 0
    exit 1
fi
if ! link listed.bc listed "$unoptimized"; then
    [ "{kind}" != output ] && exit 0
    exit 1
fi
[ "{kind}" = output ] || exit 1
result listed
[ $# -eq 0 ] && diff plain.out listed.out
! cmp -s plain.out listed.out
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducer:
    """A saved folder. `reproduced`: the stock tools show the fault as well."""

    folder: Path
    program: Program
    target: Target
    reproduced: bool

    @property
    def bitcode(self) -> Path:
        """The program before the passes."""
        return self.folder / "unoptimized.bc"

    @property
    def script(self) -> Path:
        """The interestingness test."""
        return self.folder / "interesting.sh"


def _kind(reason: str) -> str:
    if reason.startswith("compiler"):
        return "compiler"
    return "link" if reason.startswith("does not link") else "output"


def save_reproducer(
    verdict: Verdict, program: Program, target: Target, expected: bytes, folder: Path
) -> Reproducer:
    """Write a folder that shows why a list was rejected; see the module's docstring.

    `PassListEval.save_reproducer` knows program, target and expected output.

    Raises:
        InputError: the verdict is no rejection.
        OutputError: the folder cannot be written.
        CompileFailed: the program does not compile any more.
    """
    if verdict.kind is not VerdictKind.REJECTED:
        raise InputError(f"'{verdict.passes}' was not rejected: there is nothing to reproduce")
    script = _SCRIPT.format(
        title=f"{verdict.program}: {verdict.reason}".replace("\n", " "),
        source=program.file_name,
        bin_dir=target.toolchain.bin_dir,
        clang="clang++" if program.language == "c++" else "clang",
        triple=target.triple,
        passes=shlex.quote(verdict.passes.pipeline),
        flags=shlex.join(program.flags),
        link_flags=shlex.join(program.link_flags),
        runner=shlex.join(target.runner),
        kind=_kind(verdict.reason),
    ).replace('"$unoptimized"', '"-Oz -Xclang -disable-llvm-passes"')
    try:
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / program.file_name
        source.write_text(program.source, "utf-8", "surrogateescape")
        (folder / "passes.txt").write_text(verdict.passes.pipeline + "\n")
        (folder / "expected.txt").write_bytes(expected)
        (folder / "interesting.sh").write_text(script)
        (folder / "interesting.sh").chmod(0o755)
    except OSError as error:
        raise OutputError(f"the reproducer {folder} cannot be written: {error}") from error
    front_end = ["-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-c", "-w"]
    target.compile(
        [*front_end, *program.flags, program.file_name, "-o", "unoptimized.bc"],
        language=program.language,
        cwd=folder,
    )
    shown = run(["./interesting.sh"], timeout_s=120, cwd=folder)
    (folder / "difference.txt").write_bytes(
        f"{verdict.architecture}, LLVM {verdict.llvm_major}: {verdict.reason}\n".encode()
        + shown.stdout
    )
    return Reproducer(folder=folder, program=program, target=target, reproduced=shown.ok)


def minimize(
    reproducer: Reproducer, *, tool: str = "llvm-reduce", timeout_s: float = 600.0
) -> Path:
    """Return a smaller file that shows the same fault, made by ``llvm-reduce`` or ``cvise``.

    ``llvm-reduce`` leaves ``reduced.ll``, C-Vise a ``reduced`` source file.

    Raises:
        InputError: the stock tools do not show the fault, or there is no such tool.
        ToolchainNotFound: the tool is not installed.
        CompileFailed, TimedOut: it gave nothing.
    """
    if not reproducer.reproduced:
        raise InputError(
            f"{reproducer.script} does not show the fault with the stock tools: "
            "there is nothing to minimise by"
        )
    folder = reproducer.folder.resolve()
    if tool == "llvm-reduce":
        output = folder / "reduced.ll"
        program = str(reproducer.target.toolchain.tool("llvm-reduce"))
        command = [program, f"--test={folder / 'interesting.sh'}", str(folder / "unoptimized.bc")]
        command += ["-o", str(output)]
    elif tool == "cvise":
        found = shutil.which("cvise")
        if found is None:
            raise ToolchainNotFound("cvise was not found: install it with 'apt-get install cvise'")
        output = folder / f"reduced{Path(reproducer.program.file_name).suffix}"
        shutil.copy(folder / reproducer.program.file_name, output)
        # C-Vise runs its test without arguments beside the file that it changes in place.
        wrapper = folder / "cvise.sh"
        test = shlex.quote(str(folder / "interesting.sh"))
        wrapper.write_text(f"#!/bin/sh\nexec {test} {output.name} >/dev/null\n")
        wrapper.chmod(0o755)
        command = [found, str(wrapper), output.name]
    else:
        raise InputError(f"'{tool}' cannot minimise a reproducer: use llvm-reduce or cvise")
    completed = run(command, timeout_s=timeout_s, cwd=folder)
    if completed.timed_out and not output.exists():
        raise TimedOut(f"{tool} took longer than {timeout_s:g} s on {folder}")
    if not output.exists():
        words = completed.stderr_text.strip()
        raise CompileFailed(f"{tool} gave nothing for {folder}: {words[-300:]}", detail=words)
    return output
