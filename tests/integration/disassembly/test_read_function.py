"""Functions of assembly, objects and executables as text that is proved by assembling it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.disassembly.reassemble import Reassembled, _pieces, reassemble
from llm_compiler.errors import InputError, UnsupportedTarget
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run

from .conftest import SOURCE, Compile, compile_each

Read = Callable[[Path], Binary]


def texts(binary: Binary) -> dict[str, FunctionText]:
    reader = FunctionReader(binary)
    return {symbol.name: reader.read(symbol) for symbol in binary.functions()}


def proved(binary: Binary, toolchain: Toolchain, folder: Path) -> dict[str, Reassembled]:
    reader = FunctionReader(binary)
    return {
        symbol.name: reassemble(
            binary, symbol, reader.read(symbol), toolchain, folder / f"{symbol.name}.proof.o"
        )
        for symbol in binary.functions()
    }


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("suffix", [".s", ".o"])
@pytest.mark.parametrize("level", ["-Oz", "-O2"])
def test_every_function_assembles_to_itself(
    architecture: str,
    suffix: str,
    level: str,
    compile_c: Compile,
    read: Read,
    toolchain: Toolchain,
    tmp_path: Path,
) -> None:
    binary = read(compile_c(SOURCE, "a" + suffix, architecture, level, "-fPIC"))
    found = proved(binary, toolchain, tmp_path)
    assert set(found) == {"classify", "scale", "both", "use_external", "copy"}
    assert not any(reassembled.is_reencoded for reassembled in found.values())


def test_text_holds_what_the_function_refers_to(compile_c: Compile, read: Read) -> None:
    found = texts(read(compile_c(SOURCE, "a.o")))["classify"]
    for line in (
        ".globl classify",
        "leaq .LJTI0_0(%rip), %rcx",
        "callq puts@PLT",
        '.asciz "one"',
        ".short 9",
        ".hidden counter",
    ):
        assert line in found.text.splitlines(), found.text
    assert len(re.findall(r"^\.long \.LBB0_\d+-\.LJTI0_0$", found.text, re.MULTILINE)) == 7
    assert [variable.name for variable in found.variables] == ["counter"]


def test_jump_table_of_aarch64_becomes_distances(compile_c: Compile, read: Read) -> None:
    found = texts(read(compile_c(SOURCE, "a.o", "aarch64")))["classify"].text
    assert len(re.findall(r"^\.byte \(\.LBB0_\d+-\.LBB0_\d+\)>>2$", found, re.MULTILINE)) == 7


def test_static_functions_become_hidden(compile_c: Compile, read: Read) -> None:
    found = texts(read(compile_c(SOURCE, "a.o")))
    assert found["scale"].is_static
    assert ".hidden scale\n.globl scale\n" in found["scale"].text
    assert found["both"].static_functions == ("scale",)
    assert "callq scale\n" in found["both"].text
    assert found["both"].text.endswith(".hidden scale\n")


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("level", ["O0", "Oz", "O2"])
def test_text_read_from_an_object_is_the_text_that_models_learn_from(
    architecture: str, level: str, compile_c: Compile, read: Read, tmp_path: Path
) -> None:
    source = SOURCE + (
        "int loop(int x) { while (external != x) x = x * 3 + 1; return x; }\n"
        "int again(int x) { return x < 2 ? x : again(x - 1) * again(x - 2); }\n"
        "void forever(void) { for (;;) ; }\n"
        "unsigned last(unsigned x) { return x ? x * 5 : 4294967295u; }\n"
    )
    bitcode = compile_c(
        source, "a.ll", architecture, "-Oz", "-fPIC", "-Xclang", "-disable-llvm-passes"
    )
    if level == "O0":
        bitcode = compile_c(source, "a.ll", architecture, "-O0", "-fPIC")
    with Context() as context:
        module = context.parse(bitcode.read_bytes())
        for compiled in compile_each(module, level, tmp_path):
            found = texts(read(compiled.object))[compiled.name].text
            short, learnt_short = (
                shorten_assembly(text, compiled.triple) for text in (found, compiled.text)
            )
            assert short.text == learnt_short.text
            # Names of strings are gone from AArch64's objects.
            if ".L.str" not in compiled.text:
                assert found == compiled.text


@pytest.mark.parametrize("kind", ["a.s", "a.o"])
def test_gcc(
    kind: str, compile_c: Compile, read: Read, toolchain: Toolchain, tmp_path: Path
) -> None:
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    binary = read(compile_c(SOURCE, kind, "x86_64", "-O2", compiler="gcc"))
    if binary.elf.architecture != "x86_64":
        pytest.skip("needs an x86-64 gcc")
    assert "retq" in texts(binary)["use_external"].text
    assert len(proved(binary, toolchain, tmp_path)) >= 5


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_executable_without_relocations(
    architecture: str, compile_c: Compile, read: Read, toolchain: Toolchain, tmp_path: Path
) -> None:
    whole = SOURCE.replace("external;", "external2;").replace("extern int puts", "int puts")
    whole = whole.replace("external2;", "external = 7;").replace(
        "int puts(const char *), ", "extern int puts(const char *); int "
    )
    whole += "int main(void) { return classify(external) + (int)both(1, 2); }"
    binary = read(compile_c(whole, "a", architecture, "-Oz"))
    reader = FunctionReader(binary)
    for name in ("classify", "scale", "both", "use_external", "copy"):
        symbol = next(function for function in binary.functions() if function.name == name)
        text = reader.read(symbol)
        reassemble(binary, symbol, text, toolchain, tmp_path / "proof.o")
        if name == "classify":
            assert '.asciz "four"' in text.text
            assert ".LJTI0_0" in text.text
            assert re.search(r"^(callq puts@PLT|bl puts)$", text.text, re.MULTILINE)


def test_what_cannot_be_read_says_why(compile_c: Compile, read: Read, tmp_path: Path) -> None:
    path = tmp_path / "hand.s"
    path.write_text(
        ".text\n.globl empty\n.type empty,@function\nempty:\n.size empty,0\n"
        ".globl mixed\n.type mixed,@function\nmixed:\njmp 1f\n.byte 0x06,0x06\n1: retq\n"
        ".size mixed,.-mixed\n"
        ".globl fine\n.type fine,@function\nfine:\nsyscall\nretq\n.size fine,.-fine\n"
    )
    binary = read(path)
    reader = FunctionReader(binary)
    symbols = {function.name: function for function in binary.functions()}
    with pytest.raises(Unreadable, match="is empty"):
        reader.read(symbols["empty"])
    with pytest.raises(Unreadable, match="data among its instructions"):
        reader.read(symbols["mixed"])
    assert reader.read(symbols["fine"]).num_instructions == 2


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("flag", ["-ffunction-sections", "-fno-function-sections"])
def test_empty_functions_and_aliases_are_functions_of_their_own(
    flag: str, architecture: str, compile_c: Compile, read: Read
) -> None:
    source = (
        "void first(void) { __builtin_unreachable(); }\n"
        "int next(int a) { return a + 1; }\n"
        'int other(int) __attribute__((weak, alias("next")));\n'
        "void last(void) { __builtin_unreachable(); }\n"
        "void *choose(void) { return next; }\n"
        'int chosen(int) __attribute__((ifunc("choose")));\n'
    )
    binary = read(compile_c(source, "a.o", architecture, "-O2", "-fPIC", flag))
    symbols = {function.name: function for function in binary.functions()}
    assert set(symbols) == {"first", "next", "other", "last", "choose", "chosen"}
    reader = FunctionReader(binary)
    for name in ("first", "last"):
        with pytest.raises(Unreadable, match="is empty"):
            reader.read(symbols[name])
    pairs = [(a, b) for a in symbols for b in symbols if a < b]
    aliases = [pair for pair in pairs if binary.is_alias(*(symbols[word] for word in pair))]
    assert aliases == [("next", "other")]
    texts = [reader.read(symbols[name]).text for name in ("next", "other")]
    assert texts[0] == texts[1].replace("other", "next").replace(".weak", ".globl")
    assert reader.read(symbols["choose"]).num_instructions > 1
    with pytest.raises(Unreadable, match="ifunc"):
        reader.read(symbols["chosen"])


def test_hand_written_assembly_without_types(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "hand.s"
    path.write_text(".globl add\nadd:\n lea (%rdi,%rsi), %rax\n ret\n")
    assert "leaq (%rdi, %rsi), %rax\nretq\n" in texts(read(path))["add"].text


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("a.s", b".globl f\nf:\n frobnicate %eax\n", InputError, "a.s.*:3.*does not assemble|3: "),
        ("a.s", b"", InputError, "is empty"),
        ("a.s", b".data\nx: .long 1\n", InputError, "names no function"),
        ("a.o", b"\x7fELF" + bytes(6), InputError, "cut off"),
        ("a.o", b"!<arch>\n", InputError, "is an archive"),
        (
            "a.o",
            b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x01\0\x28\0" + bytes(40),
            UnsupportedTarget,
            "32-bit Arm",
        ),
    ],
)
def test_bad_input(
    name: str, data: bytes, error: type[Exception], message: str, read: Read, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=message):
        read(tmp_path / name)


def test_stripped_and_damaged_objects(compile_c: Compile, read: Read, toolchain: Toolchain) -> None:
    path = compile_c(SOURCE, "a.o")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged ELF file"):
        read(path)
    path.write_bytes(whole)
    assert run([toolchain.tool("llvm-strip"), "--strip-all", path], timeout_s=20).ok
    with pytest.raises(InputError, match=r"no symbol table \(stripped\)|names no function"):
        read(path)


def test_any_byte_may_be_wrong(compile_c: Compile, read: Read) -> None:
    path = compile_c(SOURCE, "a.o")
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        try:
            texts(read(path))
        except (InputError, Unreadable):
            refused += 1
    assert 0 < refused < 61


def test_a_string_behind_a_string_is_its_own(
    compile_c: Compile, read: Read, toolchain: Toolchain, tmp_path: Path
) -> None:
    # At -O0, objects have symbols for some strings only: what begins where one ends is another.
    source = (
        'static const char *names[] = {"zero", "one"};\nextern int puts(const char *);\n'
        'int f(int x) { puts("first"); return puts(names[x & 1]); }\n'
    )
    binary = read(compile_c(source, "a.o", "x86_64", "-O0", "-fPIC"))
    text = texts(binary)["f"].text
    assert '.asciz "zero"' in text
    assert not re.search(r"^\.quad \S+\+\d", text, re.MULTILINE)
    proved(binary, toolchain, tmp_path)


TABLE_AND_FILLER = r"""
int puts(const char *);
int choose(int x, int y) {
    switch (x) {
    case 0: return y + 5;
    case 1: puts("1"); return 2;
    case 2: return x * y;
    case 3: return y - 3;
    case 4: puts("4"); return y ^ 7;
    case 5: return y * y;
    }
    return 0;
}
static const __attribute__((aligned(16))) int table[9] = {3, 1, 4, 1, 5, 9, 2, 6, 5};
int at(unsigned x) { return table[x % 9]; }
"""


def test_what_fills_up_after_a_jump_table_is_no_entry(
    compile_c: Compile, read: Callable[[Path], Binary]
) -> None:
    binary = read(compile_c(TABLE_AND_FILLER, "tables.o"))
    symbol = binary.elf.symbol("choose")
    assert symbol is not None
    text = FunctionReader(binary).read(symbol).text
    _, _, table = text.partition(".LJTI0_0:\n")
    entries = re.match(r"(?:\.long \.LBB0_\d+-\.LJTI0_0\n)*", table)
    assert entries is not None
    assert entries[0].count("\n") == 6
    assert not re.match(r"\.(?:quad|long|zero|byte) ", table[entries.end() :])


def test_filler_between_a_jump_table_and_the_function_s_own_constants_stays_out(
    compile_c: Compile, read: Read, toolchain: Toolchain, tmp_path: Path
) -> None:
    """What is assembled again has the table's label as a symbol, and the same filler."""
    source = TABLE_AND_FILLER.replace(
        "case 3: return y - 3;", "case 3: return y - table[y & 7];"
    ).replace("int at(unsigned x) { return table[x % 9]; }\n", "")
    declaration = "static const __attribute__((aligned(16))) int table[9];\n"
    found = proved(read(compile_c(declaration + source, "own.o")), toolchain, tmp_path)
    assert set(found) == {"choose"}


def test_thread_local_variables_of_an_aarch64_program_assemble_again(
    compile_c: Compile, read: Read, toolchain: Toolchain, tmp_path: Path
) -> None:
    source = """
__thread int here; static __thread long mine[4];
long *element(int i) { return &mine[i]; }
int add(int x) { here += x; return here; }
"""
    binary = read(compile_c(source, "tls.o", "aarch64", "-Oz", "-fPIE"))
    assert set(proved(binary, toolchain, tmp_path)) == {"element", "add"}


GCC_TABLE = """.text
.globl pick
.type pick, @function
pick:
cmp w0, #3
b.hi .Lother
adrp x1, .Ltable
add x1, x1, :lo12:.Ltable
ldrh w0, [x1, w0, uxtw #1]
adr x1, .Lbase
add x0, x1, w0, sxth #2
br x0
.Lfirst:
mov w0, #5
ret
.Lbase:
mov w0, #6
ret
.Llast:
adrp x1, .Lwide
ldr q0, [x1, :lo12:.Lwide]
str q0, [x2]
.Lother:
mov w0, wzr
ret
.size pick, .-pick
.section .rodata
.p2align 4
.Ltable:
.2byte (.Lfirst-.Lbase)/4
.2byte (.Lbase-.Lbase)/4
.2byte (.Llast-.Lbase)/4
.2byte (.Lother-.Lbase)/4
.p2align 4
.Lwide:
.xword 1, 2
"""


def test_a_table_of_gcc_leads_back_too(read: Read, toolchain: Toolchain, tmp_path: Path) -> None:
    """Its distances count from the middle, and filler after it reads like the block there."""
    source = tmp_path / "pick.s"
    source.write_text(GCC_TABLE)
    binary = read(source)
    assert binary.elf.architecture == "aarch64"
    text = texts(binary)["pick"].text
    entries = re.findall(r"^\.hword \((\.LBB\w+)-(\.LBB\w+)\)/4$", text, re.MULTILINE)
    assert len(entries) == 4
    assert len({base for _, base in entries}) == 1
    assert len({block for block, _ in entries}) == 4
    assert set(proved(binary, toolchain, tmp_path)) == {"pick"}


def test_zeros_are_the_same_however_they_are_written(
    read: Read, toolchain: Toolchain, tmp_path: Path
) -> None:
    """What a piece of zeros reads like depends on how wide the code nearby uses it."""
    source = tmp_path / "zeros.s"
    source.write_text(
        ".text\n.globl set\n.type set, @function\nset:\nadrp x8, words\n"
        "add x8, x8, :lo12:words\nldr x9, [x8, #8]\nstr x0, [x8]\nstr x1, [x8, #8]\nmov x0, x9\n"
        "ret\n.size set, .-set\n.bss\n.p2align 3\n.type words, @object\nwords:\n.zero 24\n"
        ".size words, 24\n"
    )
    assert set(proved(read(source), toolchain, tmp_path)) == {"set"}


def test_numbers_are_the_same_however_wide_they_are_written() -> None:
    def piece(*lines: str) -> list[str]:
        text = "".join(f"{line}\n" for line in ("words:", *lines))
        return _pieces(text)[0]["words"]

    assert piece(".xword 0") == piece(".zero 8") == piece(".word 0", ".zero 4")
    assert piece(".xword 0") != piece(".zero 7")
    assert piece(".word 9") == piece(".byte 9", ".zero 3") != piece(".hword 9")
    assert piece(".word -2") == piece(".byte 254", ".byte 255", ".hword -1")
    assert piece(".word 9", ".word other") != piece(".word 9")
