"""Units assembled from functions of different lists do what their source says, byte by byte again.

The cases in ``tests/cases/function_wise`` hold what makes taking units apart hard.
"""

from __future__ import annotations

import random
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.errors import CompileFailed, ToolchainNotFound
from llm_compiler.llvm.elf import SymbolKind, parse_elf
from llm_compiler.llvm.function_wise.assemble import Assembler
from llm_compiler.llvm.function_wise.assemble_jobs import AssembleJob, UnitStructure
from llm_compiler.llvm.function_wise.plan import SUFFIXES, AssemblyPlan, make_plan
from llm_compiler.llvm.function_wise.structure import Structure
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.stock import ClangFlags, Stock
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.optimization.function_wise import rebuild_assembly, unit_structure
from llm_compiler.records import PassList, Recipe
from llm_compiler.search.coreset import load_coreset
from llm_compiler.verify.target import Target, find_target
from llm_compiler.workers import LocalPool, run_jobs

CASES = Path(__file__).parents[2] / "cases" / "function_wise"
OZ, INLINE = PassList(("default<Oz>",)), PassList(("cgscc(inline)", "function(sroa<modify-cfg>)"))


def target_of(architecture: str, toolchain: Toolchain) -> Target:
    try:
        return find_target(architecture, toolchain)
    except ToolchainNotFound as error:
        pytest.skip(str(error))


def unoptimized(stock: Stock, source: Path, folder: Path) -> Path:
    output = folder / "unit.bc"
    stock.compile_source(stock.frontend_command(source, output), source)
    return output


def random_plan(structure: Structure, seed: int, *, keep_internal: bool) -> AssemblyPlan:
    draw = random.Random(seed)
    some = draw.sample(load_coreset().lists[:16], 3)
    recipes = {name: draw.choice(some) for name in structure.functions}
    return make_plan(
        structure, recipes, keep_internal=keep_internal, suffix=SUFFIXES[seed % len(SUFFIXES)]
    )


@pytest.mark.parametrize(
    ("case", "architecture", "seed"),
    [
        ("traps.c", "x86_64", 1),
        ("traps.c", "x86_64", 2),
        ("traps.c", "aarch64", 3),
        ("traps.cc", "x86_64", 4),
        ("traps.cc", "aarch64", 6),
    ],
)
def test_random_assemblies_run_right_and_are_made_again_byte_for_byte(
    toolchain: Toolchain, pool: LocalPool, tmp_path: Path, case: str, architecture: str, seed: int
) -> None:
    target = target_of(architecture, toolchain)
    flags = ClangFlags(kept=("-w", "-fPIC"))
    stock = Stock(toolchain=toolchain, target_triple=target.triple, flags=flags)
    source = CASES / case
    language = "c++" if case.endswith(".cc") else "c"
    target.compile(["-O0", "-w", str(source), "-o", str(tmp_path / "right")], language=language)
    expected = target.run(tmp_path / "right", timeout_s=20)
    assert expected.ok
    unit = unoptimized(stock, source, tmp_path)
    structure = unit_structure(pool, unit.read_bytes())
    assert structure.structure.refusal == ""
    plan = random_plan(structure.structure, seed, keep_internal=bool(seed % 2))
    assert len(plan.parts) == 3
    data, assembly = rebuild_assembly(pool, stock, structure, plan, unit, tmp_path, pic=True)
    (tmp_path / "assembled.o").write_bytes(data)
    target.link([tmp_path / "assembled.o"], tmp_path / "program")
    got = target.run(tmp_path / "program", timeout_s=20)
    assert got.stdout == expected.stdout
    assert got.exit_status == expected.exit_status
    # In process the same came about.
    job = AssembleJob(bitcode=unit.read_bytes(), plans=(plan,))
    measured = run_jobs(pool, [job])[0][0].measurement
    assert measured.size_bytes == pytest.approx(section_sizes(data).size_bytes, rel=0.02)
    if seed not in (1, 4):
        return
    again = tmp_path / "again"
    again.mkdir()
    for command in assembly.replay(source, again / "made.o"):
        assert Path(shlex.split(command)[0]).name.split("-")[0] in (
            "clang",
            "clang++",
            "opt",
            "llvm",
        )
        subprocess.run(command, shell=True, check=True, cwd=again)
    assert (again / "made.o").read_bytes() == data


def test_names_and_their_files_stay(toolchain: Toolchain, pool: LocalPool, tmp_path: Path) -> None:
    stock = Stock(toolchain=toolchain, target_triple="x86_64-linux-gnu")
    unit = unoptimized(stock, CASES / "traps.c", tmp_path)
    structure = unit_structure(pool, unit.read_bytes())
    plan = random_plan(structure.structure, 8, keep_internal=False)
    data, _ = rebuild_assembly(pool, stock, structure, plan, unit, tmp_path, pic=True)
    elf = parse_elf(data)
    names = {symbol.name: symbol for symbol in elf.symbols if symbol.is_defined and symbol.name}
    assert [symbol.name for symbol in elf.symbols if symbol.kind is SymbolKind.FILE] == ["traps.c"]
    for name in ("kept_by_used", "called_from_assembly", "read_from_assembly", "primes"):
        assert names[name].is_local, name
    for name in ("behind_alias", "other_name", "choose", "indirect", "weak_number"):
        assert not names[name].is_local, name


def structure_of(text: str) -> Structure:
    with Assembler(text.encode()) as assembler:
        return assembler.structure


DECLARED = 'target triple = "x86_64-linux-gnu"\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '@llvm.used = appending global [1 x ptr] [ptr @f], section "llvm.metadata"\n'
            "define internal void @f() { ret void }",
            "'f' is static and retained",
        ),
        ("$c = comdat any\ndefine internal void @f() comdat($c) { ret void }", "of a comdat"),
        ('define void @"a;b"() { ret void }', "cannot be written in a pass list"),
        (
            "define void @f() !dbg !4 { ret void }\n"
            "!llvm.dbg.cu = !{!0}\n!llvm.module.flags = !{!3}\n"
            "!0 = distinct !DICompileUnit(language: DW_LANG_C99, file: !1)\n"
            '!1 = !DIFile(filename: "a.c", directory: "")\n'
            '!3 = !{i32 2, !"Debug Info Version", i32 3}\n'
            '!4 = distinct !DISubprogram(name: "f", file: !1, unit: !0, '
            "spFlags: DISPFlagDefinition)",
            "debug information",
        ),
    ],
)
def test_what_cannot_be_taken_apart_says_why(text: str, reason: str) -> None:
    structure = structure_of(DECLARED + text)
    assert reason in structure.refusal
    assert structure.functions == ()


def test_the_structure_says_what_must_stay_together() -> None:
    structure = structure_of(
        DECLARED
        + """
$pair = comdat any
@table = internal constant [2 x ptr] [ptr blockaddress(@jumps, %a), ptr blockaddress(@jumps, %b)]
@visible = constant i32 4
@replaceable = weak constant i32 5
@alias = alias void (), ptr @target
define internal void @once() { ret void }
define void @target() { call void @once() ret void }
define linkonce_odr void @first() comdat($pair) { ret void }
define linkonce_odr void @second() comdat($pair) { ret void }
define i32 @jumps(i32 %n) {
  %slot = getelementptr ptr, ptr @table, i32 %n
  %where = load ptr, ptr %slot
  indirectbr ptr %where, [label %a, label %b]
a: ret i32 1
b: ret i32 2
}
define weak void @weak() { ret void }
define internal i32 @abs(i32 %x) { ret i32 %x }
define i32 @calls(i32 %x) { %y = call i32 @abs(i32 %x) %z = call i32 @abs(i32 %y) ret i32 %z }
"""
    )
    assert "once" not in structure.functions, "merged into its only caller"
    assert structure.pinned == {"jumps"}
    assert structure.ties == (("first", "second"),)
    assert structure.aliases == (("alias", "target"),)
    assert structure.opaque_constants == {"table", "replaceable"}
    assert structure.importable_constants == {"visible"}
    assert {"weak", "jumps"} & structure.importable_functions == set()
    assert set(structure.discardable_functions) == {"first", "second"}
    plan = make_plan(structure, {"first": OZ, "jumps": INLINE}, default=OZ)
    base = plan.parts[0]
    assert base.is_base
    assert base.recipe == INLINE
    assert base.functions == ("jumps",)
    assert plan.recipes["second"] == OZ
    assert [part.aliases for part in plan.parts] == [(), ("alias",)]


def test_a_static_function_with_a_library_name_is_shielded() -> None:
    text = DECLARED + (
        "define internal i32 @abs(i32 %x) { %y = mul i32 %x, 3 ret i32 %y }\n"
        "define i32 @f(i32 %x) { %y = call i32 @abs(i32 %x) ret i32 %y }\n"
        "define i32 @g() { %y = call i32 @abs(i32 -2) ret i32 %y }\n"
    )
    with Assembler(text.encode()) as assembler:
        assert assembler.prefix.shielded == ("abs",)
        recipe = PassList(("function(instcombine<no-verify-fixpoint>)",))
        plan = make_plan(assembler.structure, {"f": recipe, "g": recipe, "abs": OZ})
        with assembler.assemble(plan) as module:
            assert "llvm.abs" not in module.to_text()
            assert "ret i32 2" not in module.to_text()


def test_nothing_is_inferred_from_what_another_list_makes() -> None:
    # With OZ alone LLVM knows that `quiet` reads and writes nothing; another list makes it, so the
    # call must stay in the part that only sees it.
    text = DECLARED + (
        "@sink = global i32 0\n"
        "define i32 @quiet(i32 %x) noinline { ret i32 7 }\n"
        "define void @user() { %y = call i32 @quiet(i32 1) ret void }\n"
    )
    with Assembler(text.encode()) as assembler:
        apart = make_plan(assembler.structure, {"quiet": INLINE, "user": OZ}, suffix="globaldce")
        with assembler.assemble(apart) as module:
            assert "call i32 @quiet" in module.to_text()
        together = make_plan(assembler.structure, {}, default=OZ, suffix="globaldce")
        with assembler.assemble(together) as module:
            assert "call i32 @quiet" not in module.to_text()


def test_attributes_and_options_of_recipes_reach_the_object(
    toolchain: Toolchain, pool: LocalPool, tmp_path: Path, compile_unit: Callable[[str], bytes]
) -> None:
    bitcode = compile_unit("switch_dense.c")
    stock = Stock(toolchain=toolchain, target_triple="x86_64-linux-gnu")
    unit = tmp_path / "unit.bc"
    unit.write_bytes(bitcode)
    structure: UnitStructure = unit_structure(pool, bitcode)
    recipes = {
        "plain": OZ,
        "framed": parse_recipe("default<Oz> +frame-pointer=all"),
        # Taken away before the passes, as the stock tools do: afterwards the code is another.
        "levelled": parse_recipe("default<O2> +size-level=2"),
        "limited": parse_recipe("default<O2> +inline-threshold=500 +size-level=2"),
    }
    sizes = {}
    for name, recipe in recipes.items():
        plan = make_plan(structure.structure, {}, default=recipe)
        data, assembly = rebuild_assembly(pool, stock, structure, plan, unit, tmp_path, pic=True)
        measured = run_jobs(pool, [AssembleJob(bitcode=bitcode, plans=(plan,))])[0][0].measurement
        sizes[name] = section_sizes(data).size_bytes
        assert measured.size_bytes == sizes[name]
        commands = " ".join(assembly.replay(unit, tmp_path / "x.o"))
        assert ("--frame-pointer=all" in commands) is (name == "framed")
        assert ("--inline-threshold=500" in commands) is (name == "limited")
    assert len({sizes[name] for name in ("plain", "framed", "levelled")}) == 3
    with_options = make_plan(
        structure.structure, {}, default=OZ, options=("outliner-benefit-threshold=8",)
    )
    _, assembly = rebuild_assembly(pool, stock, structure, with_options, unit, tmp_path, pic=True)
    last = assembly.replay(unit, tmp_path / "x.o")[-1]
    assert "-mllvm -outliner-benefit-threshold=8" in last


def test_too_many_names_for_a_command_line_are_refused(
    toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    names = [f"a_rather_long_name_of_a_function_number_{i}" for i in range(2500)]
    structure = Structure(functions=tuple(names), exported=tuple(names))
    plan = make_plan(structure, {}, default=Recipe())
    with pytest.raises(CompileFailed, match="too many names"):
        rebuild_assembly(
            pool,
            Stock(toolchain=toolchain),
            UnitStructure(structure=structure),
            plan,
            tmp_path / "unit.bc",
            tmp_path,
            pic=True,
        )
