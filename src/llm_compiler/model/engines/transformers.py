"""The transformers engine: any checkpoint of a causal language model, on a CPU or a GPU.

Checkpoints with our tokenizer answer as the embedded engine does; all others (Meta's LLM Compiler,
Code Llama, anything trained on the paper's prompts) are asked in the paper's words. Code that comes
with a checkpoint is never run. Imports PyTorch and transformers inside functions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import (
    CheckpointMismatch,
    ConfigError,
    EngineError,
    LlmCompilerError,
)
from llm_compiler.extras import require
from llm_compiler.model.configs import CONFIG_FILE
from llm_compiler.model.engines.compact import CompactEngine
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import shipped_model
from llm_compiler.model.engines.paper import DecoderText, PaperEngine
from llm_compiler.model.engines.registry import LoadOptions
from llm_compiler.model.engines.torch_decoder import TorchDecoder
from llm_compiler.model.engines.weights import WEIGHTS_FILE
from llm_compiler.model.int8_storage import is_int8
from llm_compiler.model.prompts import CompactPrompts, load_prompts

__all__ = ["PRECISIONS", "load_by_options", "load_transformers"]

PRECISIONS: Final = ("bf16", "fp32")
_FILES: Final = ("*.json", "*.safetensors", "*.model")


def load_transformers(
    model: str | Path,
    *,
    precision: str | None = None,
    device: str | None = None,
    revision: str | None = None,
) -> Engine:
    """Load a checkpoint as an engine.

    Args:
        model: a folder, or a name on the hub (``facebook/llm-compiler-7b-ftd``), which is fetched
            once, as transformers does; with HF_HUB_OFFLINE=1 only what is there already.
        precision: bf16 or fp32; None: bf16 on a GPU that can, else fp32.
        device: as PyTorch writes it: ``cuda``, ``cuda:1``, ``cpu``, ``mps``; None: a GPU if there
            is one.
        revision: of a model on the hub.

    Raises:
        ConfigError: the precision or device is unknown.
        CheckpointMismatch: there is no such checkpoint, or it is damaged.
        TokenizerMismatch: it has no tokenizer.json.
        EngineError: it does not fit into memory.
        ToolchainNotFound: PyTorch or transformers is not installed.
    """
    torch, transformers = _require()
    if precision is not None and precision not in PRECISIONS:
        wanted = ", ".join(PRECISIONS)
        raise ConfigError(f"the precision '{precision}' is unknown: expected one of {wanted}")
    position = _device(torch, device)
    if precision is None:
        precision = "bf16" if position.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    folder = _folder(str(model), revision)
    prompts = load_prompts(folder)
    if (own := folder / WEIGHTS_FILE).is_file() and is_int8(own):
        # transformers would take whole numbers for weights, and leave their scales out.
        raise CheckpointMismatch(
            f"{model} stores its weights as int8: --engine embedded reads them, and `model push` "
            "writes them as bf16"
        )
    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    with _explained(str(model)):
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        loaded, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            **{"dtype" if (major, minor) >= (4, 56) else "torch_dtype": dtype},
            attn_implementation="sdpa",
            trust_remote_code=False,
            use_safetensors=True,  # else a pickle would do as well
            local_files_only=True,
            output_loading_info=True,
        )
        # transformers would answer with random numbers in their place.
        if missing := sorted({*loading["missing_keys"], *map(str, loading["mismatched_keys"])}):
            raise CheckpointMismatch(
                f"{model}: {len(missing)} tensors are missing or of another shape than "
                f"{CONFIG_FILE} says, {missing[0]} among them"
            )
        loaded = loaded.to(position).eval()
    config = loaded.config.get_text_config()
    decoder = TorchDecoder(loaded, context=config.max_position_embeddings)
    if isinstance(prompts, CompactPrompts):
        return CompactEngine(decoder, prompts, name="transformers", model=str(model))
    if prompts.vocab_size > decoder.vocab_size:
        decoder.close()
        raise CheckpointMismatch(
            f"{model}: the model has {decoder.vocab_size} tokens, its tokenizer "
            f"{prompts.vocab_size}: they do not belong together"
        )
    return PaperEngine(DecoderText(decoder, prompts), name="transformers", model=str(model))


def load_by_options(model: str | None, options: LoadOptions) -> Engine:
    """Load a checkpoint, or the shipped weights; for the registry.

    Raises:
        LlmCompilerError: as `load_transformers`.
    """
    return load_transformers(model or shipped_model(), precision=options.precision)


def _require() -> tuple[Any, Any]:
    return require("torch", extra="train"), require("transformers", extra="train")


def _device(torch: Any, name: str | None) -> Any:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"the device '{name}' is unknown to PyTorch") from error


def _folder(model: str, revision: str | None) -> Path:
    """Return where a checkpoint's files are, fetching them if it is a name on the hub."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / CONFIG_FILE).is_file():
            raise CheckpointMismatch(f"{folder} holds no checkpoint: there is no {CONFIG_FILE}")
        return folder
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise CheckpointMismatch(f"there is no checkpoint at {model}")
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(model, revision=revision, allow_patterns=_FILES)
        )
    except Exception as error:  # of the network, of access, of the disk
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointMismatch(
            f"{model} is no folder and could not be fetched from the hub: {reason}"
        ) from error


@contextlib.contextmanager
def _explained(model: str) -> Iterator[None]:
    """Tell what went wrong in our words; and keep transformers' own words away."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    except LlmCompilerError:
        raise
    except MemoryError as error:
        raise EngineError(f"{model} does not fit into memory") from error
    except Exception as error:  # transformers, safetensors and PyTorch each have their own
        if "out of memory" in str(error):
            raise EngineError(f"{model} does not fit into the GPU's memory: {error}") from error
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointMismatch(f"{model} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
