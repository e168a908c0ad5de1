"""Compiles the client in C, and starts what is left to Python: the slow way into ``llm-cc``.

The script ``llm-cc`` comes here where there is no compiled client for it, or where that is of
another version; it is made once, in the user's private folder. Where it cannot be made, the client
in Python (`client`) answers, and where there is no private folder, clang.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_compiler import __version__
from llm_compiler.cc.cache import Cache
from llm_compiler.cc.client import ClientConfig, become_clang, run_client
from llm_compiler.cc.protocol import PROTOCOL
from llm_compiler.errors import LlmCompilerError
from llm_compiler.isolation import python_command, secure_start
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.process import run
from llm_compiler.user_folders import llm_cc_folder

__all__ = ["client_config", "compile_client", "main"]

_SOURCE = Path(__file__).with_name("client.c")
_SCRIPT_VARIABLE = "LLM_CC_SCRIPT"
"""Set by the script: where it looks for the compiled client."""
_AGAIN_VARIABLE = "LLM_CC_SETUP"
"""Set for a client that was just compiled: should it come back, it is not compiled once more."""
_TIMEOUT_S = 120.0
_PLAIN_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class _Stamp:
    path: str
    mtime_ns: int
    size: int


def client_config(toolchain: Toolchain) -> ClientConfig:
    """Return what a client of this installation knows."""
    clang, clangxx = (str(toolchain.tool(name)) for name in ("clang", "clang++"))
    stamps = []
    package = Path(__file__).parent.parent
    for path in (package / "__init__.py", _SOURCE, Path(clang).resolve()):
        found = path.stat()
        stamps.append(_Stamp(str(path), found.st_mtime_ns, found.st_size))
    server = tuple(python_command("llm_compiler.cc.server"))
    words = [__version__, PROTOCOL, clang, *server, *(repr(asdict(stamp)) for stamp in stamps)]
    key = hashlib.blake2b("\0".join(words).encode(), digest_size=8).hexdigest()
    return ClientConfig(
        clang=clang,
        clangxx=clangxx,
        key=key,
        server=server,
        setup=tuple(python_command("llm_compiler.cc.install")),
        stamps=tuple((stamp.path, stamp.mtime_ns, stamp.size) for stamp in stamps),
    )


def compile_client(config: ClientConfig, path: Path) -> bool:
    """Compile the client to a path; return whether it is there and runs.

    Nothing of the build's environment takes part: its variables would change what clang does.
    """
    env = {name: os.environ[name] for name in _PLAIN_ENVIRONMENT if name in os.environ}
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(prefix=".client-", dir=path.parent))
    except OSError:
        return False
    try:
        (folder / "client.h").write_text(_header(config), "utf-8", "surrogateescape")
        shutil.copyfile(_SOURCE, folder / "client.c")
        made = folder / "client"
        command = [config.clang, "-O1", "-w", str(folder / "client.c"), "-o", str(made)]
        if not run(command, timeout_s=_TIMEOUT_S, env=env).ok:
            return False
        # A folder may be mounted so that nothing in it can be started.
        env["LLM_CC_DISABLE"] = "1"
        if not run([made, "--version"], timeout_s=_TIMEOUT_S, env=env).ok:
            return False
        os.replace(made, path)
    except OSError:
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def _header(config: ClientConfig) -> str:
    def text(value: str) -> str:
        octal = "".join(f"\\{byte:03o}" for byte in os.fsencode(value))
        return f'"{octal}"'

    def texts(name: str, values: tuple[str, ...]) -> str:
        return f"static const char *const {name}[] = {{{', '.join(map(text, values))}, 0}};\n"

    stamps = ", ".join(
        f"{{{text(path)}, {mtime}LL, {size}LL}}" for path, mtime, size in config.stamps
    )
    return (
        f"static const char *const CLANG = {text(config.clang)};\n"
        f"static const char *const CLANGXX = {text(config.clangxx)};\n"
        f"static const char *const KEY = {text(config.key)};\n"
        f"static const char *const PROTOCOL = {text(PROTOCOL)};\n"
        + texts("SERVER", config.server)
        + texts("SETUP", config.setup)
        + "static const struct stamp { const char *path; long long mtime_ns, size; } STAMPS[] = "
        f"{{{stamps}, {{0, 0, 0}}}};\n"
    )


def main() -> None:
    """Answer a call: ``install NAME ARGUMENT...``, NAME as the user typed it.

    Raises:
        SystemExit: always, where no other program takes this one's place.
    """
    secure_start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise SystemExit(_answer())


def _answer() -> int:
    name, *arguments = sys.argv[1:] or ["llm-cc"]
    is_cxx = "++" in os.path.basename(name)
    try:
        toolchain = find_toolchain()
        config = client_config(toolchain)
    except (LlmCompilerError, OSError) as error:
        print(f"llm-cc: {error}", file=sys.stderr)
        return 127
    folder = llm_cc_folder(os.environ)
    own = _own_command(arguments, folder, config)
    if own is not None:
        return own
    if folder is None or not folder.is_absolute():
        become_clang(config, is_cxx, arguments)
    path = _client_path(folder, config, name)
    again = os.environ.pop(_AGAIN_VARIABLE, "")
    if not again and compile_client(config, path):
        environment = {**os.environ, _AGAIN_VARIABLE: "1"}
        with contextlib.suppress(OSError):
            os.execve(path, [str(path), *arguments], environment)
    return run_client(config, is_cxx, arguments)


def _client_path(folder: Path, config: ClientConfig, name: str) -> Path:
    """Return where the script finds its client; without a script, a place by this installation."""
    script = os.environ.pop(_SCRIPT_VARIABLE, "")
    inside = folder / "clients"
    if script and inside in Path(script).parents:
        return Path(script)
    where = hashlib.blake2b(os.fsencode(sys.prefix + config.clang), digest_size=8).hexdigest()
    return inside / where / os.path.basename(name)


def _own_command(arguments: list[str], folder: Path | None, config: ClientConfig) -> int | None:
    """Answer what is not clang's; return the exit code, None where it is."""
    match arguments:
        case ["--llm-cc-client", *_]:
            if folder is None:
                print("llm-cc: there is no home folder: set LLM_CC_DIR", file=sys.stderr)
                return 8
            os.environ.pop(_SCRIPT_VARIABLE, "")
            paths = [_client_path(folder, config, item) for item in ("llm-cc", "llm-c++")]
            compiled = [compile_client(config, path) for path in paths]
            if not all(compiled):
                print("llm-cc: the client in C cannot be compiled", file=sys.stderr)
                return 5
            print(paths[0].parent)
        case ["--cache-stats", *rest]:
            with Cache((folder or Path("/nonexistent")) / "cache") as cache:
                found = cache.statistics()
            if "--json" in rest:
                print(json.dumps(asdict(found)))
            else:
                asked = found.hits + found.misses
                share = f" ({100 * found.hits / asked:.1f} %)" if asked else ""
                print(f"{found.folder}: {found.num_entries} objects, {found.bytes / 1e6:.1f} MB")
                print(f"{found.hits} of {asked} compilations found{share}")
        case ["--cache-clear", *_]:
            with Cache((folder or Path("/nonexistent")) / "cache") as cache:
                cache.clear()
        case ["--llm-cc-stop", *_]:
            _stop_servers(folder)
        case _:
            return None
    return 0


def _stop_servers(folder: Path | None) -> None:
    """Let this user's servers end: one that is no longer found under its name does, at rest."""
    for path in (folder / "run").glob("*") if folder is not None else ():
        if path.is_socket() and path.lstat().st_uid == os.geteuid():
            with contextlib.suppress(OSError):
                path.unlink()
