"""Finding LLVM, with shell scripts in the place of its programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_compiler.errors import ToolchainMismatch, ToolchainNotFound
from llm_compiler.llvm import toolchain as module
from llm_compiler.llvm.toolchain import find_toolchain

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make an LLVM in a folder: programs that print a version, and an empty library."""

    def make(name: str = "llvm", *, library: str = "", **versions: str) -> Path:
        prefix = tmp_path / name
        (prefix / "bin").mkdir(parents=True)
        (prefix / "lib").mkdir()
        for tool, version in versions.items():
            what = "Debian clang" if tool == "clang" else "Debian LLVM"
            path = prefix / "bin" / tool
            path.write_text(f"#!/bin/sh\necho '{what} version {version} (3)'\n")
            path.chmod(0o755)
        if library:
            (prefix / "lib" / library).touch()
        monkeypatch.setenv("LLM_COMPILER_LLVM", str(prefix))
        return prefix

    module._find.cache_clear()
    yield make
    module._find.cache_clear()


def test_a_whole_installation_is_taken(install: Install) -> None:
    prefix = install(clang="19.1.7", opt="19.1.7", library="libLLVM.so.19.1")
    found = find_toolchain()
    assert (found.version, found.major) == ("19.1.7", 19)
    assert found.bin_dir == prefix / "bin"
    assert found.libllvm == prefix / "lib" / "libLLVM.so.19.1"
    assert found.tool("opt") == prefix / "bin" / "opt"
    with pytest.raises(ToolchainNotFound, match=r"'llvm-reduce' is missing .*apt-get install"):
        found.tool("llvm-reduce")


def test_the_bin_folder_itself_may_be_named(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = install(clang="19.1.7", opt="19.1.7", library="libLLVM.so.19.1")
    monkeypatch.setenv("LLM_COMPILER_LLVM", str(prefix / "bin"))
    assert find_toolchain().bin_dir == prefix / "bin"


@pytest.mark.parametrize("version", ["17.0.6", "18.1.8", "20.1.2", "21.1.0", "22.1.0"])
def test_versions_17_to_22_are_supported(install: Install, version: str) -> None:
    major = version.split(".")[0]
    install(clang=version, opt=version, library=f"libLLVM-{major}.so.1")
    assert find_toolchain().version == version


@pytest.mark.parametrize("version", ["15.0.7", "16.0.6", "23.0.0"])
def test_other_versions_are_refused_with_the_range(install: Install, version: str) -> None:
    install(clang=version, opt=version)
    with pytest.raises(ToolchainNotFound, match=f"version {version}, and only 17 to 22"):
        find_toolchain()


def test_clang_and_opt_of_different_versions_are_refused(install: Install) -> None:
    install(clang="19.1.7", opt="18.1.8", library="libLLVM.so.19.1")
    with pytest.raises(
        ToolchainMismatch, match=r"clang is version 19\.1\.7 but .*opt is .*18\.1\.8"
    ):
        find_toolchain()


def test_clang_without_opt_is_refused(install: Install) -> None:
    install(clang="19.1.7")
    with pytest.raises(ToolchainNotFound, match=r"clang 19\.1\.7 but no opt: install llvm-19"):
        find_toolchain()


def test_a_missing_library_is_named(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(clang="19.1.7", opt="19.1.7")
    monkeypatch.setattr(module, "_find_libllvm", lambda prefix, major: None)
    with pytest.raises(ToolchainNotFound, match="libLLVM 19 was not found: install libllvm19"):
        find_toolchain()


def test_a_clang_that_does_not_run_is_named(install: Install) -> None:
    prefix = install(clang="19.1.7")
    (prefix / "bin" / "clang").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ToolchainNotFound, match="does not run or does not print a version"):
        find_toolchain()


def test_a_wrong_folder_is_refused_with_what_to_install(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_COMPILER_LLVM", str(tmp_path / "none"))
    with pytest.raises(
        ToolchainNotFound, match=r"LLM_COMPILER_LLVM=.*none cannot be used: .*apt-get install"
    ):
        find_toolchain()


def test_no_llvm_at_all_says_what_to_install(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_COMPILER_LLVM", raising=False)
    monkeypatch.setattr(module, "_bin_folders", list)
    with pytest.raises(ToolchainNotFound, match=r"no clang was found.*apt-get install clang-19"):
        find_toolchain()


def test_an_unusable_version_is_passed_over_for_a_usable_one(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = install("old", clang="15.0.7", opt="15.0.7")
    good = install("good", clang="19.1.7", opt="19.1.7", library="libLLVM.so.19.1")
    monkeypatch.delenv("LLM_COMPILER_LLVM")
    monkeypatch.setattr(module, "_bin_folders", lambda: [old / "bin", good / "bin"])
    assert find_toolchain().bin_dir == good / "bin"
