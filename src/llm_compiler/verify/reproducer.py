"""Keep what shows that a pass list is wrong, and make it smaller on request.

A reproducer is a folder that stands by itself: the program, its unoptimised bitcode, the list, what
was expected and what came, and ``interesting.sh``, which ends with 0 where the list breaks the file
it is given: the script that ``llvm-reduce`` and C-Vise ask for. Safe in threads.
"""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.errors import CompileFailed, InputError, OutputError, TimedOut, ToolchainNotFound
from llm_compiler.llvm.levels import pipeline_for
from llm_compiler.llvm.settings import backend_flags, opt_flags, opt_pipeline
from llm_compiler.process import run, which
from llm_compiler.records import Verdict, VerdictKind
from llm_compiler.verify.suite import Program
from llm_compiler.verify.target import Target

__all__ = ["Reproducer", "minimize", "save_reproducer"]

_SCRIPT_NAME = "interesting.sh"
_BITCODE_NAME = "unoptimized.bc"
_FRONT_END = ("-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-c", "-w")

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
attributes={attributes}
options={options}

case "$file" in
*.c | *.cc | *.cpp | *.cxx)
    $clang -Oz -Xclang -disable-llvm-passes -emit-llvm -c {flags} "$file" -o start.bc || exit 1 ;;
*) cp "$file" start.bc ;;
esac
no_passes="-Oz -Xclang -disable-llvm-passes"
link() {{ $clang $3 -x ir "$1" -o "$2" -pthread -lm {link_flags} >"$2.log" 2>&1; }}
limit=${{RUN_TIMEOUT_S:-10}}
result() {{
    timeout "$limit" {runner} "./$1" >"$1.out" 2>/dev/null
    echo "exit code $?" >>"$1.out"
}}

link start.bc plain -O0 && result plain || exit 1
[ "$(tail -n 1 plain.out)" = "exit code 0" ] || exit 1
"$LLVM/opt" -passes='default<O2>' start.bc -o o2.bc || exit 1
link o2.bc o2 "$no_passes" || exit 1
result o2
cmp -s plain.out o2.out || exit 1

timeout 60 "$LLVM/opt" -passes="$passes" $attributes start.bc -o listed.bc >opt.log 2>&1
status=$?
if [ $status -ne 0 ]; then
    [ "{kind}" = compiler ] && exit 0
    exit 1
fi
if ! link listed.bc listed "$no_passes $options"; then
    [ "{kind}" != output ] && exit 0
    exit 1
fi
[ "{kind}" = output ] || exit 1
result listed
[ $# -eq 0 ] && diff plain.out listed.out
! cmp -s plain.out listed.out
"""


def _kind(reason: str) -> str:
    if reason.startswith("compiler"):
        return "compiler"
    return "link" if reason.startswith("does not link") else "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducer:
    """A saved folder. `reproduced`: the stock tools show the fault as well."""

    folder: Path
    program: Program
    target: Target
    reproduced: bool

    @property
    def script(self) -> Path:
        """The interestingness test."""
        return self.folder / _SCRIPT_NAME


def save_reproducer(
    verdict: Verdict, program: Program, target: Target, expected: bytes, folder: Path
) -> Reproducer:
    """Write what shows why a list was rejected into a folder.

    `PassListEval.save_reproducer` knows program, target and expected output.

    Raises:
        InputError: the verdict is no rejection.
        OutputError: the folder cannot be written.
    """
    if verdict.kind is not VerdictKind.REJECTED:
        raise InputError(f"'{verdict.passes}' was not rejected: there is nothing to reproduce")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / program.file_name
        source.write_text(program.source, "utf-8", "surrogateescape")
        (folder / "passes.txt").write_text(verdict.passes.text + "\n")
        (folder / "expected.txt").write_bytes(expected)
        (folder / _SCRIPT_NAME).write_text(_script(verdict, program, target))
        (folder / _SCRIPT_NAME).chmod(0o755)
        target.compile(
            [*_FRONT_END, *program.flags, program.file_name, "-o", _BITCODE_NAME],
            language=program.language,
            cwd=folder,
        )
        shown = run([f"./{_SCRIPT_NAME}"], timeout_s=180, cwd=folder)
        heading = f"{verdict.architecture}, LLVM {verdict.llvm_major}: {verdict.reason}\n"
        if not shown.ok:
            heading += "(the stock tools do not show it: only LLVM in process does)\n"
        (folder / "difference.txt").write_bytes(heading.encode() + shown.stdout)
    except OSError as error:
        raise OutputError(f"the reproducer {folder} cannot be written: {error}") from error
    return Reproducer(folder=folder, program=program, target=target, reproduced=shown.ok)


def _script(verdict: Verdict, program: Program, target: Target) -> str:
    return _SCRIPT.format(
        title=f"{verdict.program}: {verdict.reason}".replace("\n", " "),
        source=program.file_name,
        bin_dir=target.toolchain.bin_dir,
        clang="clang++" if program.language == "c++" else "clang",
        triple=target.triple,
        passes=shlex.quote(pipeline_for(opt_pipeline(verdict.passes), verdict.llvm_major)),
        attributes=shlex.quote(shlex.join(opt_flags(verdict.passes))),
        options=shlex.quote(shlex.join(backend_flags(verdict.passes))),
        flags=shlex.join(program.flags),
        link_flags=shlex.join(program.link_flags),
        runner=shlex.join(target.runner),
        kind=_kind(verdict.reason),
    )


def minimize(
    reproducer: Reproducer, *, tool: str = "llvm-reduce", timeout_s: float = 600.0
) -> Path:
    """Return a smaller file that shows the same fault, made by ``llvm-reduce`` or ``cvise``.

    It lies in the reproducer's folder: ``reduced.ll``, or ``reduced.c`` (``.cpp``) by C-Vise.

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
    # Most faults show at once; only time limits would make a reduction take hours.
    environment = {**os.environ, "RUN_TIMEOUT_S": "2"}
    if tool == "llvm-reduce":
        reduce = reproducer.target.toolchain.tool("llvm-reduce")
        # Bitcode in, bitcode out, whatever the name.
        output = folder / "reduced.bc"
        command = [str(reduce), f"--test={folder / _SCRIPT_NAME}", str(folder / _BITCODE_NAME)]
        command += ["-o", str(output)]
    elif tool == "cvise":
        found = which("cvise")
        if found is None:
            raise ToolchainNotFound("cvise was not found: install it with 'apt-get install cvise'")
        source = folder / reproducer.program.file_name
        output = folder / f"reduced{source.suffix}"
        shutil.copy(source, output)
        # C-Vise runs its test without arguments beside the file that it changes in place.
        wrapper = folder / "cvise.sh"
        test = shlex.quote(str(folder / _SCRIPT_NAME))
        wrapper.write_text(f"#!/bin/sh\nexec {test} {output.name} >/dev/null\n")
        wrapper.chmod(0o755)
        command = [found, str(wrapper), output.name]
    else:
        raise InputError(f"'{tool}' cannot minimise a reproducer: use llvm-reduce or cvise")
    completed = run(command, timeout_s=timeout_s, cwd=folder, env=environment)
    if not output.exists():
        if completed.timed_out:
            raise TimedOut(f"{tool} took longer than {timeout_s:g} s on {folder}")
        words = completed.stderr_text.strip()
        raise CompileFailed(f"{tool} gave nothing for {folder}: {words[-300:]}", detail=words)
    if output.suffix == ".bc":
        dis = reproducer.target.toolchain.tool("llvm-dis")
        run([str(dis), str(output), "-o", str(output.with_suffix(".ll"))], timeout_s=60)
        return output.with_suffix(".ll")
    return output
