"""Makes engines by name; imports what an engine needs only when it is asked for."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from llm_compiler.errors import CheckpointMismatch
from llm_compiler.model.configs import CONFIG_FILE
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.registry import DEFAULT_ENGINE, LoadOptions, engine_kind

__all__ = [
    "has_shipped_model",
    "load_engine",
    "public_name",
    "shipped_model",
    "weights_hash",
    "weights_of",
]

_EDGE_BYTES = 1 << 20


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


def weights_of(name: str, model: str | None) -> str | Path | None:
    """Return what names an engine's weights; None: nothing here does."""
    if model is None and engine_kind(name).uses_shipped_weights:
        return shipped_model()
    return model


def weights_hash(folder: Path) -> str:
    """Return what names the weights of a folder; other weights have another name.

    Their sizes, beginnings and ends count: reading all of them would take minutes for large models.
    """
    digest = hashlib.blake2b(digest_size=16)
    # Answers that are replayed (`*.ll`, `*.s`) are a model's weights, too.
    names = ("*.safetensors", "config.json", "*.ll", "*.s")
    for file in sorted(path for name in names for path in folder.glob(name)):
        size = file.stat().st_size
        with file.open("rb") as stream:
            digest.update(f"{file.name} {size} ".encode() + stream.read(_EDGE_BYTES))
            if size > _EDGE_BYTES:
                stream.seek(-_EDGE_BYTES, 2)
                digest.update(stream.read(_EDGE_BYTES))
    return digest.hexdigest()


def load_engine(
    name: str = DEFAULT_ENGINE,
    model: str | Path | None = None,
    *,
    precision: str | None = None,
    threads: int | None = None,
) -> Engine:
    """Load an engine; the caller closes it.

    Args:
        name: of the `registry`.
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
    kind = engine_kind(name)
    return kind.make(
        None if model is None else str(model), LoadOptions(precision=precision, threads=threads)
    )
