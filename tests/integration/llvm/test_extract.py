"""One function of a module with what it needs: `Module.extract`."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from llm_compiler.errors import InputError
from llm_compiler.llvm.extract import extract_function, extract_functions
from llm_compiler.llvm.module import Context, Module
from llm_compiler.llvm.module_jobs import EmitJob, ExtractJob, InspectJob
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run
from llm_compiler.records import PassList, Status
from llm_compiler.workers import LocalPool, run_jobs

CompileUnit = Callable[[str], bytes]
OZ = PassList(("default<Oz>",))


def compile_text(toolchain: Toolchain, source: str, language: str = "c") -> bytes:
    done = run(
        [
            toolchain.tool("clang"),
            *("-x", language, "-Oz", "-Xclang", "-disable-llvm-passes"),
            *("-emit-llvm", "-c", "-", "-o", "-"),
        ],
        timeout_s=60,
        stdin=source.encode(),
    )
    assert done.ok, done.stderr_text
    return done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "sort_algorithms.c",
        "computed_goto_vm.c",
        "function_pointer_tables.c",
        "inline_asm.c",
        "varargs_mixed.c",
        "setjmp_cleanup.c",
        "global_data_relocations.c",
        "attributes_and_extensions.c",
        "lisp/eval.c",
        "lisp/gc.c",
        "virtual_diamond.cpp",
        "exceptions_nested.cpp",
        "static_init_order.cpp",
        "templates_and_constexpr.cpp",
    ],
)
def test_every_function_of_a_program_verifies_and_compiles(
    pool: LocalPool, compile_unit: CompileUnit, name: str
) -> None:
    bitcode = compile_unit(name)
    functions = run_jobs(pool, [InspectJob(inputs=(bitcode,))])[0][0].functions
    assert functions
    extracted = run_jobs(pool, [ExtractJob(bitcode=bitcode, functions=functions)])[0]
    refused = {
        f: e.detail for f, e in zip(functions, extracted, strict=True) if e.status is not Status.OK
    }
    assert refused == {}
    inputs = tuple(item.data for item in extracted)
    inspected = run_jobs(pool, [InspectJob(inputs=inputs)])[0]
    emitted = run_jobs(
        pool, [EmitJob(modules=inputs, passes=PassList()), EmitJob(modules=inputs, passes=OZ)]
    )
    for function, seen, plain, small in zip(functions, inspected, *emitted, strict=True):
        assert seen.status is Status.OK, (function, seen.detail)
        assert seen.functions == (function,), "the one function, and no other body"
        assert plain.status is Status.OK, (function, plain.detail)
        assert small.status is Status.OK, (function, small.detail)


def test_statics_and_the_data_that_a_function_uses_are_kept(toolchain: Toolchain) -> None:
    bitcode = compile_text(
        toolchain,
        """
        static const int table[4] = {11, 22, 33, 44};
        static const char *const words[] = {"alpha", "beta"};
        static int calls;               /* used by `look` only */
        static int shared = 7;          /* used by both */
        int visible = 3;
        static int look(int i) { calls++; shared++; return table[i] + words[i & 1][0] + visible; }
        int other(void) { return shared * look(2); }
        int unrelated(void) { return 99; }
        """,
    )
    with Context() as context:
        module = context.parse(bitcode)
        text = extract_function(module, "look").to_text()
        # Its own constants and data, with their initialisers.
        assert "[4 x i32] [i32 11, i32 22, i32 33, i32 44]" in text
        assert 'c"alpha\\00"' in text
        assert re.search(r"@calls = internal global i32 0", text)
        # A variable that others write too keeps its value, but is no longer private.
        assert re.search(r"@shared = hidden global i32 7", text)
        # An external variable is somebody else's.
        assert re.search(r"@visible = external (dso_local )?global i32", text)
        assert "unrelated" not in text
        assert "@other" not in text
        assert re.search(r"define hidden i32 @look", text)


def test_a_mutable_static_of_two_functions_is_not_folded(toolchain: Toolchain) -> None:
    bitcode = compile_text(
        toolchain,
        """
        static int state = 7;
        void set(int x) { state = x; }
        int get(void) { return state; }
        static int mine = 5;
        int only(void) { return mine; }
        """,
    )
    with Context() as context:
        module = context.parse(bitcode)
        for name, folded in (("get", False), ("only", True)):
            with extract_function(module, name) as extracted:
                extracted.run_passes("default<Oz>")
                text = extracted.to_text()
                assert ("load i32" not in text) == folded, text
        # In the whole module `get` reads the variable as well.
        module.run_passes("default<Oz>")
        assert re.search(r"@get\(\).*?load i32", module.to_text(), re.DOTALL)


def test_statics_that_are_called_become_declarations(toolchain: Toolchain) -> None:
    bitcode = compile_text(
        toolchain,
        "static int helper(int x) { return x * 3; } int f(int x) { return helper(x) + 1; }",
    )
    with Context() as context, context.parse(bitcode) as module:
        text = extract_function(module, "f").to_text()
    assert "declare hidden i32 @helper" in text
    assert text.count("define ") == 1


def test_extraction_leaves_the_module_alone(compile_unit: CompileUnit) -> None:
    with Context() as context, context.parse(compile_unit("sort_algorithms.c")) as module:
        before = module.bitcode_hash()
        for name in module.defined_functions():
            extract_function(module, name).close()
        assert module.bitcode_hash() == before


def test_cpp_templates_and_comdats_are_extracted(toolchain: Toolchain) -> None:
    bitcode = compile_text(
        toolchain,
        """
        template <class T> T largest(T a, T b) { return a < b ? b : a; }
        struct Base { virtual int id() { return 1; } virtual ~Base() {} };
        int use(Base &b) { return largest(b.id(), 2) + (int)largest(1.5, 2.5); }
        Base *make() { return new Base; }
        """,
        "c++",
    )
    with Context() as context, context.parse(bitcode) as module:
        for name in module.defined_functions():
            with extract_function(module, name) as extracted:
                assert extracted.verify() == ""
                assert extracted.defined_functions() == (name,)


def test_aliases_are_replaced_by_what_they_stand_for(toolchain: Toolchain) -> None:
    bitcode = compile_text(
        toolchain,
        'int real(int x) { return x + 1; } int also(int) __attribute__((alias("real")));'
        "int f(int x) { return also(x); }",
    )
    with (
        Context() as context,
        context.parse(bitcode) as module,
        extract_function(module, "f") as extracted,
    ):
        assert extracted.verify() == ""
        assert "@also" not in extracted.to_text()
        assert "declare" in extracted.to_text()


def test_functions_beside_an_ifunc_are_extracted(toolchain: Toolchain) -> None:
    bitcode = compile_text(
        toolchain,
        "static int one(int x) { return x + 1; } static void *choose(void) { return one; }"
        'int pick(int) __attribute__((ifunc("choose")));'
        "int plain(int x) { return x * 2; } int user(int x) { return pick(x); }",
    )
    with Context() as context, context.parse(bitcode) as module:
        with extract_function(module, "plain") as extracted:
            assert extracted.verify() == ""
            assert extracted.defined_functions() == ("plain",)
        # What an ifunc resolves to cannot be left out, so its callers cannot stand alone.
        with pytest.raises(InputError, match="'user' cannot stand alone: "):
            extract_function(module, "user")


def texts_one_by_one(bitcode: bytes, names: tuple[str, ...]) -> list[str]:
    found = []
    for name in names:
        # A context each: a module that cannot be cloned is parsed, which renames its types.
        with Context() as context:
            module = context.parse(bitcode)
            try:
                text = extract_function(module, name).to_text()
            except InputError as error:
                text = str(error)
        found.append(text)
    return found


def texts_at_once(bitcode: bytes, names: tuple[str, ...]) -> list[str]:
    with Context() as context:
        extracted = extract_functions(context.parse(bitcode), names)
        return [
            module.to_text() if isinstance(module, Module) else str(module) for module in extracted
        ]


def canonical_hashes(texts: list[str]) -> list[str]:
    hashes = []
    for text in texts:
        # The order of uses, which neither text nor bitcode keeps, orders constants in bitcode.
        with Context() as context:
            hashes.append(context.parse(text.encode()).bitcode_hash())
    return hashes


@pytest.mark.parametrize(
    "name",
    [
        "sort_algorithms.c",
        "volatile_counts.c",
        "function_pointer_tables.c",
        "inline_asm.c",
        "lisp/gc.c",
        "virtual_diamond.cpp",
        "exceptions_nested.cpp",
        "static_init_order.cpp",
        "generic_containers.cpp",
    ],
)
def test_many_functions_are_extracted_as_one_is(compile_unit: CompileUnit, name: str) -> None:
    bitcode = compile_unit(name)
    with Context() as context:
        names = context.parse(bitcode).defined_functions()[:60]
    expected = canonical_hashes(texts_one_by_one(bitcode, names))
    assert canonical_hashes(texts_at_once(bitcode, names)) == expected
    # The same from any step on, as after a crash, and for any part of the functions.
    middle = len(names) // 2
    assert canonical_hashes(texts_at_once(bitcode, names[middle:])) == expected[middle:]
    assert canonical_hashes(texts_at_once(bitcode, names[::3])) == expected[::3]


def test_many_functions_with_computed_gotos_are_extracted(compile_unit: CompileUnit) -> None:
    bitcode = compile_unit("computed_goto_vm.c")
    with Context() as context:
        names = context.parse(bitcode).defined_functions()
    found = texts_at_once(bitcode, names)
    assert texts_at_once(bitcode, names[2:]) == found[2:]
    for name, text in zip(names, found, strict=True):
        with Context() as context:
            module = context.parse(text.encode())
            assert module.defined_functions() == (name,)
            assert module.verify() == ""
    assert any("blockaddress" in text for text in found)


def test_statics_and_ifuncs_among_many_functions(toolchain: Toolchain) -> None:
    bitcode = compile_text(
        toolchain,
        """
        static int shared = 7, mine = 5, unused_by_most[4];
        static int *const alias_of_shared = &shared;
        int get(void) { return *alias_of_shared; }
        void set(int x) { shared = x; }
        int only(void) { return mine++; }
        static void *choose(void) { return only; }
        int pick(void) __attribute__((ifunc("choose")));
        int user(void) { return pick(); }
        int also(void) __attribute__((alias("get")));
        int caller(void) { return also() + unused_by_most[1]; }
        """,
    )
    names = ("get", "set", "user", "only", "missing", "choose", "caller")
    found = texts_at_once(bitcode, names)
    assert found[2].startswith("'user' cannot stand alone")
    assert found[4].startswith("the module defines no function 'missing'")
    assert "@shared = hidden global i32 7" in found[0]
    assert "@mine = internal global i32 5" in found[3]
    assert found == texts_one_by_one(bitcode, names)
