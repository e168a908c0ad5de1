"""Weights as whole numbers of 8 bits: half the bytes of bf16, one scale a row.

A matrix is stored as int8 with a scale of 16 bits for each row (`docs/decisions/0020`): in a
safetensors file, ``NAME`` is an int8 tensor and ``NAME_scale`` (rows, 1) its fp16 scales, so that a
number is their product; what is no matrix stays bf16. The embedded engine computes in int8 with a
scale a row anyway, so nothing is lost where the weights are used. numpy only: no PyTorch, no
safetensors. Pure functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from llm_compiler.errors import CheckpointMismatch
from llm_compiler.output import write_atomically

__all__ = [
    "SCALE",
    "dequantised",
    "is_int8",
    "quantised",
    "read_header",
    "store_bf16",
    "store_int8",
]

SCALE: Final = "_scale"
"""After the name of a tensor: its scales."""
_HIGHEST: Final = 127
_SMALLEST: Final = 1e-7
"""Of a scale in fp16: rows of zeros have it. (Below 6e-5 fp16 has fewer digits: weights' scales are
above.)"""
_ALIGNMENT: Final = 8

FloatArray = NDArray[np.float32]


def quantised(matrix: FloatArray) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Return a matrix's whole numbers, and the scale of each row.

    Returns:
        (rows, columns) int8 from -127 to 127, and (rows, 1) fp16.
    """
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    scales = np.maximum(largest / _HIGHEST, _SMALLEST).astype(np.float16)
    # Scales are rounded: a row's largest number may come out as 128 of them.
    whole = np.rint(matrix / scales.astype(np.float32)).clip(-_HIGHEST, _HIGHEST)
    return whole.astype(np.int8), scales


def dequantised(whole: NDArray[np.int8], scales: NDArray[np.float16]) -> FloatArray:
    """Return the matrix that whole numbers and scales stand for; the inverse of `quantised`.

    Args:
        whole: (rows, columns).
        scales: (rows, 1).
    """
    return whole.astype(np.float32) * scales.astype(np.float32)


def read_header(data: NDArray[np.uint8]) -> tuple[dict[str, Any], int]:
    """Return a safetensors file's header, and where its tensors begin.

    Raises:
        ValueError, KeyError: it is none.
    """
    length = int.from_bytes(data[:8].tobytes(), "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length].tobytes())
    if not isinstance(header, dict):
        raise ValueError("the header is no object")
    return header, 8 + length


def is_int8(path: Path) -> bool:
    """Whether a file of weights has matrices of whole numbers.

    Raises:
        CheckpointMismatch: it is missing, or no safetensors file.
    """
    header, _ = read_header(_mapped(path))
    return any(item.get("dtype") == "I8" for name, item in header.items() if name != "__metadata__")


def _mapped(path: Path) -> NDArray[np.uint8]:
    try:
        data: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        read_header(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointMismatch(f"{path} is no safetensors file: {error}") from error
    return data


def store_int8(source: Path, out: Path) -> int:
    """Write a file of weights again, its matrices as int8; return its size in bytes.

    Args:
        source: safetensors of bf16, fp16 or fp32.

    Raises:
        CheckpointMismatch: `source` is no such file.
        OutputError: `out` cannot be written.
    """
    data = _mapped(source)
    header, begin = read_header(data)
    tensors: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    for name, item in header.items():
        if name == "__metadata__":
            continue
        start, end = item["data_offsets"]
        raw = data[begin + start : begin + end]
        shape = tuple(item["shape"])
        if len(shape) != 2:
            tensors[name] = item["dtype"], shape, raw.tobytes()
            continue
        whole, scales = quantised(_as_float(raw, item["dtype"], source).reshape(shape))
        tensors[name] = "I8", shape, whole.tobytes()
        tensors[name + SCALE] = "F16", scales.shape, scales.tobytes()
    written = _file(tensors, {"format": "pt", "quantised": "int8, a scale a row"})
    write_atomically(out, written)
    return len(written)


def store_bf16(source: Path, out: Path) -> int:
    """Write a file of weights again, its matrices of int8 as bf16; return its size in bytes.

    What tools read that know nothing of scales.

    Raises:
        CheckpointMismatch: `source` is no such file.
        OutputError: `out` cannot be written.
    """
    data = _mapped(source)
    header, begin = read_header(data)
    header.pop("__metadata__", None)
    tensors: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    for name, item in header.items():
        start, end = item["data_offsets"]
        raw, shape = data[begin + start : begin + end], tuple(item["shape"])
        if item["dtype"] == "I8":
            try:
                first, last = header[name + SCALE]["data_offsets"]
            except KeyError:
                raise CheckpointMismatch(f"{source}: {name} has no scales") from None
            scales = data[begin + first : begin + last].view(np.float16).reshape(shape[0], 1)
            exact = dequantised(raw.view(np.int8).reshape(shape), scales)
            tensors[name] = "BF16", shape, _as_bf16(exact).tobytes()
        elif not (name.endswith(SCALE) and name.removesuffix(SCALE) in header):
            tensors[name] = item["dtype"], shape, raw.tobytes()
    written = _file(tensors, {"format": "pt"})
    write_atomically(out, written)
    return len(written)


def _as_bf16(values: FloatArray) -> NDArray[np.uint16]:
    """Return the nearest numbers of 16 bits, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _as_float(raw: NDArray[np.uint8], kind: str, path: Path) -> FloatArray:
    if kind == "BF16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if kind not in ("F16", "F32"):
        raise CheckpointMismatch(f"{path} has a matrix of type {kind}: bf16 and floats become int8")
    return raw.view(np.float16 if kind == "F16" else np.float32).astype(np.float32)


def _file(
    tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]], metadata: Mapping[str, str]
) -> bytes:
    """Return a safetensors file: its header, filled up with blanks to 8 bytes, and the tensors."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    position = 0
    # Wide types first, as the format wants every tensor at a multiple of its numbers' size.
    order = sorted(tensors, key=lambda name: (tensors[name][0] == "I8", name))
    for name in order:
        kind, shape, raw = tensors[name]
        header[name] = {
            "dtype": kind,
            "shape": list(shape),
            "data_offsets": [position, position + len(raw)],
        }
        position += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *(tensors[name][2] for name in order)])
