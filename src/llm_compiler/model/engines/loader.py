"""Makes engines by name; imports what an engine needs only when it is asked for."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from llm_compiler.errors import CheckpointMismatch, ConfigError
from llm_compiler.model.configs import CONFIG_FILE
from llm_compiler.model.engines.engine import Engine

__all__ = [
    "ENGINES",
    "has_shipped_model",
    "load_engine",
    "public_name",
    "require_named_model",
    "shipped_model",
]

ENGINES: Final = ("embedded", "transformers", "openai")


def has_shipped_model() -> bool:
    """Whether this installation came with weights."""
    return (_shipped_folder() / CONFIG_FILE).is_file()


def _shipped_folder() -> Path:
    return Path(str(resources.files("llm_compiler"))) / "data" / "model"


def shipped_model() -> Path:
    """Return the folder of the weights that came with the package.

    Raises:
        CheckpointMismatch: this installation has none.
    """
    folder = _shipped_folder()
    if not has_shipped_model():
        raise CheckpointMismatch(
            f"this installation has no model ({folder} is missing): name a checkpoint with "
            "--model FOLDER, or use --proposer coreset"
        )
    return folder


def public_name(model: str | Path) -> str:
    """Return a model's name for reports, without the machine's folders.

    A folder is named by its last part, the weights of this package as "shipped model".
    """
    folder = Path(model)
    if not folder.is_dir():
        return str(model)
    folder = folder.resolve()
    return "shipped model" if folder == _shipped_folder().resolve() else folder.name


def require_named_model(engine: str, model: str | None) -> None:
    """Refuse a model that was named and is not there, before anything is done for it.

    A server that does not answer, or weights that are damaged, are found out later.

    Raises:
        CheckpointMismatch: the folder does not exist, or is no checkpoint's.
    """
    if model is None or engine == "openai":
        return
    folder = Path(model).expanduser()
    is_path = engine == "embedded" or model.startswith(("/", ".", "~"))
    if is_path and not folder.is_dir():
        raise CheckpointMismatch(f"there is no checkpoint at {model}")
    if engine == "embedded" and not (folder / CONFIG_FILE).is_file():
        raise CheckpointMismatch(f"{model} holds no checkpoint: it has no {CONFIG_FILE}")


def load_engine(
    name: str = "embedded",
    model: str | Path | None = None,
    *,
    precision: str | None = None,
    threads: int | None = None,
) -> Engine:
    """Load an engine; the caller closes it.

    Args:
        name: one of `ENGINES`.
        model: a checkpoint's folder; of ``transformers`` also a name on the hub; of ``openai`` the
            server's URL (None: LLM_COMPILER_API_BASE; `completions.ApiOptions` has the rest).
            None: the weights that came with the package.
        precision: of the matrices. ``embedded``: int8 (the default) or fp32; ``transformers``:
            bf16 or fp32, by default what suits the device.
        threads: of ``embedded``; None: as many as there are cores.

    Raises:
        ConfigError: there is no such engine.
        CheckpointMismatch, TokenizerMismatch, EngineError, ToolchainNotFound: it cannot be loaded.
    """
    if name == "embedded":
        from llm_compiler.model.engines.embedded import PRECISIONS, load_embedded

        precision = precision or PRECISIONS[0]
        if precision not in PRECISIONS:
            wanted = ", ".join(PRECISIONS)
            raise ConfigError(f"the precision '{precision}' is unknown: expected one of {wanted}")
        folder = shipped_model() if model is None else Path(model)
        if not folder.is_dir():
            raise CheckpointMismatch(f"there is no checkpoint at {folder}")
        return load_embedded(folder, precision=precision, threads=threads)
    if name == "transformers":
        from llm_compiler.model.engines.transformers import load_transformers

        return load_transformers(model or shipped_model(), precision=precision)
    if name == "openai":
        from llm_compiler.model.engines.completions import ApiOptions
        from llm_compiler.model.engines.openai import load_openai

        return load_openai(ApiOptions.from_environment(None if model is None else str(model)))
    raise ConfigError(f"the engine '{name}' is unknown: expected one of {', '.join(ENGINES)}")
