"""Pack a training run's data, weights and code into parts for another machine.

The run is a configuration of `llm-compiler train` whose data are token shards and label shards.
Documents are shuffled, exact duplicates dropped, and packed in members of half a million tokens;
members of all sources alternate by their shares, so that every part is a fair mixture and the first
one, which also holds what is needed to begin, is the most valuable. Killed, the same command goes
on: compressed members are kept beside the parts.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import llm_compiler
from llm_compiler.errors import ArtifactError, ConfigError, OutputError
from llm_compiler.kit.parts import encode_documents, write_part
from llm_compiler.model.label_shards import is_label_shards
from llm_compiler.model.prompts import load_prompts
from llm_compiler.model.token_shards import TokenShards, is_token_shards
from llm_compiler.output import write_atomically
from llm_compiler.records import content_hash
from llm_compiler.train.checkpoint import find_weights, history
from llm_compiler.train.configs import TrainConfig

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["CALL_BYTES", "PART_BYTES", "PackReport", "pack", "room_of", "travelling_bytes"]

CALL_BYTES: Final = 64 * 2**20
"""What one call carries to the machine."""
PART_BYTES: Final = 58 * 2**20
_MEMBER_TOKENS: Final = 500_000
_OVERHEAD: Final = 64 * 1024
_Found = tuple["NDArray[numpy.uint16]", int, int]
"""Tokens, tokens of the prompt, place of the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReport:
    """What was packed."""

    parts: list[dict[str, Any]]
    """Of each: its name, bytes, and tokens by source."""
    tokens: int
    duplicates: int
    modules: bool
    """Whether there are labels of flag tuning."""


def travelling_bytes(folder: Path) -> int:
    """Return the bytes of a checkout's files that travel with each call: those that git knows of.

    Read from git's index itself, so that nothing is run; 0 where there is no checkout.
    """
    found = folder.resolve()
    while not (found / ".git").exists():
        if found.parent == found:
            return 0
        found = found.parent
    git = found / ".git"
    if git.is_file():  # a worktree
        git = Path(git.read_text().removeprefix("gitdir:").strip())
    try:
        data = (git / "index").read_bytes()
    except OSError:
        return 0
    count = int.from_bytes(data[8:12], "big")
    total, at = 0, 12
    for _ in range(count):
        total += int.from_bytes(data[at + 36 : at + 40], "big")
        name = data.index(b"\0", at + 62)
        at += (name - at + 8) // 8 * 8
    return total


def pack(
    config: TrainConfig,
    out: Path,
    *,
    more: Mapping[str, list[Path]] | None = None,
    part_bytes: int = PART_BYTES,
    max_parts: int = 0,
    on_progress: Callable[[int, str], None] = lambda done, words: None,
) -> PackReport:
    """Write parts, and `kit.json` last.

    Args:
        more: by source, further folders of token shards.
        part_bytes: of the largest part.
        max_parts: 0: as many as the data gives.
        on_progress: called after each member.

    Raises:
        ConfigError: data are neither token shards nor label shards, or a part is too small.
        ArtifactError: data are missing or damaged, or of another tokenizer.
        OutputError: `out` cannot be written.
    """
    prompts = load_prompts(config.tokenizer)
    try:
        (out / "members").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    sources, labels = _open(config, more or {}, prompts.fingerprint)
    plan = _plan(config, prompts)
    first = _first_members(config, labels)
    rest = dict(sources)
    shares = {name: plan["shares"][name] for name in rest}
    duplicates = 0
    streams = {}
    for name, shards in rest.items():
        documents, copies = _documents(shards, config.document_tokens)
        duplicates += copies
        streams[name] = _members(name, documents, out / "members", config.seed)
    spent = dict.fromkeys(streams, 0)
    parts: list[dict[str, Any]] = []
    held, size, tokens = first, _size(first), dict[str, int]()
    if size > part_bytes:
        raise ConfigError(
            f"a part of {part_bytes} bytes does not hold the {size} bytes to begin with"
        )

    def close() -> None:
        nonlocal held, size, tokens
        path = out / f"part-{len(parts):03d}.tar"
        written = write_part(path, len(parts), plan, held)
        parts.append({"name": path.name, "bytes": written, "tokens": tokens})
        held, size, tokens = {}, 0, {}

    count = 0
    while streams and not (max_parts and len(parts) >= max_parts):
        name = min(streams, key=lambda stream: spent[stream] / shares[stream])
        member = next(streams[name], None)
        if member is None:
            del streams[name]
            continue
        data, num_tokens = member
        if size + len(data) + _OVERHEAD > part_bytes:
            close()
            if max_parts and len(parts) >= max_parts:
                break
        held[f"tokens/{name}/{count:05d}.zst"] = data
        size += len(data) + 2048
        tokens[name] = tokens.get(name, 0) + num_tokens
        spent[name] += num_tokens
        count += 1
        on_progress(count, f"part {len(parts)}, {sum(spent.values()) / 1e6:.1f} M tokens")
    if held:
        close()
    for path in out.glob("part-*.tar"):
        if path.name not in {part["name"] for part in parts}:
            path.unlink()
    report = PackReport(
        parts=parts,
        tokens=sum(sum(part["tokens"].values()) for part in parts),
        duplicates=duplicates,
        modules=bool(labels),
    )
    write_atomically(out / "kit.json", (json.dumps(asdict(report), indent=1) + "\n").encode())
    return report


def _size(members: Mapping[str, bytes]) -> int:
    return sum(len(data) + 2048 for data in members.values()) + _OVERHEAD


def _open(
    config: TrainConfig, more: Mapping[str, list[Path]], prompts: str
) -> tuple[list[tuple[str, list[TokenShards]]], Path | None]:
    sources, labels = [], None
    for name in config.shares():
        folders = [config.data[name].path, *more.get(name, ())]
        if is_label_shards(folders[0]):
            labels = folders[0]
            continue
        shards = []
        for folder in folders:
            if not is_token_shards(folder):
                raise ConfigError(
                    f"{folder} holds neither token shards nor label shards: make them with "
                    "'tokenizer pack' or 'labels pack'"
                )
            shards.append(TokenShards(folder))
            if shards[-1].prompts != prompts:
                raise ArtifactError(f"the tokens in {folder} were made by another tokenizer")
        sources.append((name, shards))
    if unknown := sorted(set(more) - {name for name, _ in sources}):
        raise ConfigError(f"'{unknown[0]}' is no source of token shards in the configuration")
    return sources, labels


def _plan(config: TrainConfig, prompts: Any) -> dict[str, Any]:
    return {
        "model": asdict(config.model),
        "tokenizer": prompts.tokenizer_fingerprint,
        "prompts": prompts.fingerprint,
        "context": config.document_tokens,
        "pad": 0,
        "seed": config.seed,
        "row_tokens": config.row_tokens,
        "rows_per_step": config.rows_per_step,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "shares": config.shares(),
        "labels": asdict(config.labels),
        "history": history(find_weights(config.init)) if config.init else [],
    }


def _first_members(config: TrainConfig, labels: Path | None) -> dict[str, bytes]:
    members = {"code.tar.gz": _code()}
    prompts = load_prompts(config.tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        prompts.save(Path(folder))
        for path in sorted(Path(folder).iterdir()):
            members[f"tokenizer/{path.name}"] = path.read_bytes()
    if labels is not None:
        for path in sorted(labels.iterdir()):
            if path.is_file():
                members[f"labels/{path.name}"] = path.read_bytes()
    if config.init is not None:
        folder_of = find_weights(config.init)
        members["init/model.safetensors"] = (folder_of / "model.safetensors").read_bytes()
        members["init/config.json"] = (folder_of / "config.json").read_bytes()
    return members


def _code() -> bytes:
    """Return the package as it stands, without the shipped weights, for PYTHONPATH=src."""
    root = Path(llm_compiler.__file__).parent
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=9) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".safetensors" and "__pycache__" not in path.parts:
                info = archive.gettarinfo(path, f"src/llm_compiler/{path.relative_to(root)}")
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                with open(path, "rb") as file:
                    archive.addfile(info, file)
    return stream.getvalue()


def _documents(shards: list[TokenShards], context: int) -> tuple[list[_Found], int]:
    """Return the documents that are short enough, each once, and how many copies there were."""
    found, seen, copies = [], set(), 0
    for shard in shards:
        for position in range(len(shard)):
            ids, num_prompt, task = shard[position]
            if not 1 < len(ids) <= context:
                continue
            key = content_hash(ids.tobytes())
            if key in seen:
                copies += 1
                continue
            seen.add(key)
            found.append((ids, num_prompt, task))
    return found, copies


def _members(
    name: str, documents: list[_Found], cache: Path, seed: int
) -> Iterator[tuple[bytes, int]]:
    """Yield members of a source, compressed, and their tokens; those that are there are read."""
    import numpy

    rng = numpy.random.default_rng([seed, *name.encode()])
    held: list[_Found] = []
    total = 0
    order = rng.permutation(len(documents)).tolist()
    for number, position in enumerate(order):
        held.append(documents[position])
        total += len(documents[position][0])
        if total >= _MEMBER_TOKENS or number == len(order) - 1:
            raw = b"".join(ids.tobytes() + bytes([task]) for ids, _, task in held)
            path = cache / f"{name}-{content_hash(raw)}.zst"
            if not path.exists():
                write_atomically(path, encode_documents(held))
            yield path.read_bytes(), total
            held, total = [], 0


def room_of(folder: Path) -> int:
    """Return the bytes that a part may have beside the checkout that a folder is in."""
    return min(PART_BYTES, CALL_BYTES - travelling_bytes(folder) - 2 * 2**20)
