"""Source code and prose of the corpus's packages: what pretraining mixes with IR and assembly.

From the unpacked sources of a corpus build (`.state/PACKAGE/work`): C and C++ files as ``code``;
README files, manuals, other documentation and the prose of block comments as ``text``. Left out:
what `exclusions` holds out, by name and by what a file defines; licences, and the comments that
quote them; generated files; what is not text; exact duplicates but for white space. Texts take
their package's split; of duplicates the first counts, in the order train, validation, test, so that
no text stands in two splits.

Shards `texts-NNNNN.parquet` (zstd) and `manifest.json`, written last. Needs the extra ``data``.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.corpus.exclusions import excluded_path, excluded_symbol, held_out_package
from llm_compiler.corpus.manifest import Unit
from llm_compiler.corpus.manifest_errors import reading_manifest
from llm_compiler.corpus.samples import SPLITS
from llm_compiler.errors import ArtifactError, OutputError, ShardCorrupt
from llm_compiler.output import write_atomically
from llm_compiler.parquet import require_pyarrow, write_table
from llm_compiler.records import content_hash

__all__ = ["Text", "TextsReport", "collect_texts", "package_texts", "text_paths"]

_FORMAT = "llm-compiler texts, version 1"
_MANIFEST = "manifest.json"
_SHARD_CHARACTERS = 64_000_000
_MIN_CHARACTERS, _MAX_CHARACTERS = 200, 2_000_000
_CODE = re.compile(r".*\.(c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx)", re.IGNORECASE)
_PROSE = re.compile(
    r"(readme|news|faq|hacking|contributing|design|notes|tutorial|manual)([.-].*)?"
    r"|.*\.(md|rst|adoc|texi|texinfo|[1-8]|[1-8]\.in)",
    re.IGNORECASE,
)
_PLAIN_DOCUMENT = re.compile(r"(.*/)?(docs?|documentation|manual)/.*\.txt", re.IGNORECASE)
_LEGAL_FILE = re.compile(
    r"(copying|licen[cs]e|copyright|patents|authors|fdl|gpl)\b.*", re.IGNORECASE
)
_LEGAL = re.compile(
    r"copyright|licen[cs]ed? |warranty|redistribut|spdx-|permission is hereby|public domain"
    r"|free software foundation",
    re.IGNORECASE,
)
_GENERATED = re.compile(
    r"do not edit|automatically generated|generated (by|from|automatically)", re.I
)
# Not those in strings: a quoted "/*" is taken for a comment's start too rarely to matter.
_BLOCK_COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)
_LINE_COMMENTS = re.compile(r"(?:^[ \t]*//[^\n]*\n)+", re.MULTILINE)
_COMMENT = re.compile(
    f"{_BLOCK_COMMENT.pattern}|{_LINE_COMMENTS.pattern}", re.MULTILINE | re.DOTALL
)
_COMMENT_EDGE = re.compile(r"^[ \t]*(?:/{2,}[!<]?|\*+(?!/))? ?", re.MULTILINE)
# What begins at a line's start and is called: definitions and prototypes, in ANSI and GNU style.
_DEFINED = re.compile(r"^(?:[A-Za-z_][\w \t*]*?[ \t*])?([A-Za-z_]\w*)[ \t]*\(", re.MULTILINE)
_TROFF_COMMENT = re.compile(r"^['.]?\\\".*\n", re.MULTILINE)
_SENTENCE = re.compile(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One file's code or prose; `kind` is ``code`` or ``text``."""

    package: str
    split: str
    license: str
    path: str
    kind: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextsReport:
    """What was collected, by kind and split, and files left out by cause."""

    num_texts: dict[str, int]
    num_characters: dict[str, int]
    left_out: dict[str, int]


def text_paths(folder: Path) -> list[Path]:
    """Return the shards of a finished collection.

    Raises:
        ManifestMissing: there is none.
        ShardCorrupt: its manifest or one of its shards is damaged.
    """
    path = folder / _MANIFEST
    with reading_manifest(path, "texts", missing="; run `llm-compiler dataset texts`"):
        manifest = json.loads(path.read_bytes())
        if manifest["format"] != _FORMAT:
            raise ShardCorrupt(f"{folder} holds no texts but '{manifest['format']}'")
        shards = [(folder / shard["name"], shard["num_bytes"]) for shard in manifest["shards"]]
    for shard, num_bytes in shards:
        if not shard.is_file() or shard.stat().st_size != num_bytes:
            raise ShardCorrupt(f"{shard} is missing or cut short: collect the texts again")
    return [shard for shard, _ in shards]


def package_texts(
    folder: Path, *, package: str, split: str, license: str, left_out: Counter[str]
) -> Iterator[Text]:
    """Yield the texts of one unpacked package, by path; `left_out` counts the rest by cause."""
    seen: set[str] = set()
    for path in sorted(_files(folder)):
        name = path.relative_to(folder).as_posix()
        is_code = _CODE.fullmatch(path.name) is not None
        if not is_code and not (_PROSE.fullmatch(path.name) or _PLAIN_DOCUMENT.fullmatch(name)):
            continue
        if _LEGAL_FILE.fullmatch(path.name):
            left_out["licence"] += 1
        elif excluded_path(name) is not None:
            left_out["held out by name"] += 1
        elif (text := _read(path)) is None:
            left_out["not text, or too long"] += 1
        elif _GENERATED.search(text[:2_000]):
            left_out["generated"] += 1
        elif is_code and excluded_symbol(_DEFINED.findall(text)) is not None:
            left_out["held out by content"] += 1
        else:
            base = {"package": package, "split": split, "license": license, "path": name}
            if is_code:
                text = _without_licence(text)
                if prose := _prose_of_comments(text, seen):
                    yield Text(**base, kind="text", text=prose)
            else:
                text = _TROFF_COMMENT.sub("", text).lstrip()
            if len(text) >= _MIN_CHARACTERS:
                yield Text(**base, kind="code" if is_code else "text", text=text)
            else:
                left_out["too short"] += 1


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [word for word in folders if not word.startswith(".") and word != "debian"]
        for name in files:
            path = Path(root, name)
            if not path.is_symlink():
                yield path


def _read(path: Path) -> str | None:
    try:
        if path.stat().st_size > _MAX_CHARACTERS:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    if b"\0" in data:
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n")


def _without_licence(text: str) -> str:
    """Drop the comments that quote a licence or claim a copyright."""

    def replace(match: re.Match[str]) -> str:
        return "" if _LEGAL.search(match[0]) else match[0]

    return _LINE_COMMENTS.sub(replace, _BLOCK_COMMENT.sub(replace, text)).lstrip()


def _prose_of_comments(text: str, seen: set[str]) -> str:
    """Return the comments that say a sentence, without their frames; empty if few do.

    Args:
        seen: hashes of comments met before: what stands in every file counts once.
    """
    comments = []
    for match in _COMMENT.finditer(text):
        prose = _COMMENT_EDGE.sub("", match[1] or match[0]).strip(" *\n\t")
        key = content_hash(prose.encode())
        if len(prose) >= 80 and _SENTENCE.search(prose) and key not in seen:
            seen.add(key)
            comments.append(prose)
    found = "\n\n".join(comments)
    return found if len(found) >= _MIN_CHARACTERS else ""


def collect_texts(
    corpus: Path,
    units: list[Unit],
    out: Path,
    *,
    on_progress: Callable[[int, str], None] = lambda done, package: None,
) -> TextsReport:
    """Write the texts of the packages that a corpus's units are from.

    Raises:
        ArtifactError: none of the packages' sources is there.
        OutputError: the folder cannot be written.
    """
    packages = {unit.package: unit for unit in units if held_out_package(unit.package) is None}
    names = sorted(packages, key=lambda name: (SPLITS.index(packages[name].split), name))
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / _MANIFEST).unlink(missing_ok=True)
        for path in out.glob("texts-*.parquet"):
            path.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    left_out: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    writer = _ShardWriter(out)
    seen: set[str] = set()
    for done, name in enumerate(names, start=1):
        unit = packages[name]
        folder = corpus / ".state" / name / "work" / name
        if not folder.is_dir():
            left_out["package without sources"] += 1
            continue
        for text in package_texts(
            folder, package=name, split=unit.split, license=unit.license, left_out=left_out
        ):
            key = content_hash(" ".join(text.text.split()).encode())
            if key in seen:
                left_out["duplicate"] += 1
                continue
            seen.add(key)
            writer.add(text, key)
            counts[f"{text.kind} {text.split}"] += 1
            characters[f"{text.kind} {text.split}"] += len(text.text)
        on_progress(done, name)
    writer.flush()
    if not writer.shards:
        raise ArtifactError(f"{corpus / '.state'} holds no sources of the corpus's packages")
    report = TextsReport(
        num_texts=dict(sorted(counts.items())),
        num_characters=dict(sorted(characters.items())),
        left_out=dict(sorted(left_out.items())),
    )
    manifest = {"format": _FORMAT, **asdict(report), "shards": writer.shards}
    write_atomically(out / _MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return report


class _ShardWriter:
    """Writes texts in shards of about equal length."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._rows: list[dict[str, Any]] = []
        self._characters = 0
        self.shards: list[dict[str, Any]] = []

    def add(self, text: Text, key: str) -> None:
        row = asdict(text)
        self._rows.append({**row, "text_hash": key, "num_characters": len(text.text)})
        self._characters += len(text.text)
        if self._characters >= _SHARD_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        if not self._rows:
            return
        pyarrow, _ = require_pyarrow()
        types = {"num_characters": pyarrow.int32()}
        schema = pyarrow.schema(
            [(name, types.get(name, pyarrow.string())) for name in self._rows[0]]
        )
        path = self._out / f"texts-{len(self.shards):05d}.parquet"
        write_table(
            pyarrow.Table.from_pylist(self._rows, schema=schema),
            path,
            compression_level=12,
            row_group_size=2_000,
        )
        self.shards.append(
            {"name": path.name, "num_bytes": path.stat().st_size, "num_texts": len(self._rows)}
        )
        self._rows, self._characters = [], 0
