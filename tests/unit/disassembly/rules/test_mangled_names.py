"""What C++ functions take, as their names say."""

from __future__ import annotations

import pytest

from llm_compiler.disassembly.rules.mangled_names import named_parameters, read_parameters


@pytest.mark.parametrize(
    ("text", "types", "extra", "vectors"),
    [
        # One more on x86-64: the address of a result in memory.
        ("f(int, int*)", ("i32", "ptr"), 1, 0),
        ("f()", (), 1, 0),
        ("mix(double, long, float, unsigned char)", ("i64", "i32"), 1, 2),
        ("ns::Maker::make(char const*, int) const", ("ptr", "ptr", "i32"), 1, 0),
        ("ns::Maker::make(char const*, int)", ("ptr", "i32"), 2, 0),
        ("ns::Maker::Maker(int)", ("ptr", "i32"), 0, 0),
        ("ns::Maker<int, A<b> >::~Maker()", ("ptr",), 0, 0),
        ("void sort<int*>(int*, int*)", ("ptr", "ptr"), 1, 0),
        ("call(void (*)(int, char), void*)", ("ptr", "ptr"), 1, 0),
        ("take(std::vector<int, std::allocator<int> > const&, bool)", ("ptr", "i32"), 1, 0),
        ("table(int (&) [4])", ("ptr",), 1, 0),
    ],
)
def test_types_of_parameters(text: str, types: tuple[str, ...], extra: int, vectors: int) -> None:
    found = read_parameters(text, has_result_register=False)
    assert found is not None
    assert (found.types, found.extra, found.vectors) == (types, extra, vectors)
    there = read_parameters(text, has_result_register=True)
    assert there is not None
    assert there.types == types
    assert there.extra <= extra


@pytest.mark.parametrize(
    "text",
    [
        "by_value(std::pair<int, int>)",
        "colour(Colour)",
        "log(char const*, ...)",
        "f(int, int, int, int, int, int, int)",
        "vtable for Maker",
        "main",
        "auto f<int>(int)::'lambda'(int)::operator()(int) const",
        "wide(__int128)",
    ],
)
def test_what_a_name_leaves_open_is_not_known(text: str) -> None:
    assert read_parameters(text, has_result_register=False) is None


def test_mangled_names() -> None:
    found = named_parameters(["_Z1fiPi", "main", "_ZN1AC1Ei", "_ZTI1A"], has_result_register=False)
    assert set(found) == {"_Z1fiPi", "_ZN1AC1Ei"}
    assert found["_ZN1AC1Ei"].most == 2
