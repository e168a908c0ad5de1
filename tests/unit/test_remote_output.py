"""Outputs at an address: fetched, written here, sent whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_compiler.errors import ConfigError, OutputError, ToolchainNotFound
from llm_compiler.remote_output import local_copy, shown, url_of

fsspec = pytest.importorskip("fsspec", reason="needs the extra remote")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def memory() -> Any:
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    return files


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("s3://bucket/a/b.parquet", "s3://bucket/a/b.parquet"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("memory://a/b", "memory://a/b"),
        ("file:///tmp/a", "file:///tmp/a"),
        ("a/b.parquet", None),
        ("/tmp/a:/b", None),
        ("c:/b", None),
    ],
)
def test_an_address_is_known_by_its_form(typed: str, url: str | None) -> None:
    assert url_of(Path(typed)) == url
    assert shown(Path(typed)) == (url or typed)


def test_a_folder_of_that_name_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "s3:").mkdir()
    assert url_of(Path("s3:/a")) is None


def test_a_local_path_is_itself(tmp_path: Path) -> None:
    with local_copy(tmp_path / "a") as path:
        assert path == tmp_path / "a"


def test_a_file_is_fetched_changed_and_sent(memory: Any, cache: Path) -> None:
    target = Path("memory://bucket/table")
    with local_copy(target) as path:
        assert not path.exists()
        path.write_bytes(b"one")
        path.with_suffix(".journal").write_bytes(b"stays here")
    with local_copy(target) as path:
        assert path.read_bytes() == b"one"
        assert not path.with_suffix(".journal").exists()
        path.write_bytes(b"two")
    assert memory.cat("/bucket/table") == b"two"
    assert memory.find("/bucket") == ["/bucket/table"]
    assert [each_path.name for each_path in cache.rglob("*") if each_path.is_file()] == [".lock"]


@pytest.mark.parametrize("scheme", ["memory://bucket", "file"])
def test_a_folder_is_sent_with_its_manifest_last(
    memory: Any, tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = scheme if "://" in scheme else f"file://{tmp_path}/there"
    sent: list[str] = []
    files = fsspec.core.url_to_fs(root)[0]
    move = type(files).mv

    def record(self: Any, source: str, target: str, **settings: Any) -> None:
        sent.append(target.rpartition("/")[2])
        move(self, source, target, **settings)

    monkeypatch.setattr(type(files), "mv", record)
    target = Path(f"{root}/samples")
    with local_copy(target) as path:
        (path / "train").mkdir(parents=True)
        (path / ".state").mkdir()
        (path / ".state" / "x").write_text("hidden")
        (path / "manifest.json").write_text("{}")
        (path / "train" / "z.parquet").write_text("rows")
    assert sent == ["z.parquet", "manifest.json"]
    with local_copy(target) as path:
        found = {
            each_path.relative_to(path).as_posix()
            for each_path in path.rglob("*")
            if each_path.is_file()
        }
    assert found == {"train/z.parquet", "manifest.json"}


def test_a_run_that_fails_sends_nothing_and_goes_on_where_it_was(memory: Any) -> None:
    target = Path("memory://bucket/table")

    def fail() -> None:
        with local_copy(target) as path:
            path.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not memory.exists("/bucket/table")
    with local_copy(target) as path:
        assert path.read_bytes() == b"half"


def test_a_store_that_refuses_is_one_sentence_and_the_work_is_kept(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no\ncredentials")

    target = Path("memory://bucket/table")
    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "put_file", refuse)
        with pytest.raises(OutputError, match="cannot write memory://bucket/table: no credentials"):
            with local_copy(target) as path:
                path.write_bytes(b"work")
    with local_copy(target) as path:
        assert path.read_bytes() == b"work"
    assert memory.cat("/bucket/table") == b"work"


def test_two_runs_of_one_address_are_refused(memory: Any) -> None:
    with local_copy(Path("memory://bucket/table")) as path:
        path.write_bytes(b"x")
        with pytest.raises(OutputError, match="another run on this machine writes"):
            with local_copy(Path("memory://bucket/table")):
                pass


def test_an_unknown_kind_of_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="frob://a/b is no address that fsspec knows"):
        with local_copy(Path("frob://a/b")):
            pass


def test_without_fsspec_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(ToolchainNotFound, match=r"pip install 'llm-compiler\[remote\]'"):
        with local_copy(Path("s3://a/b")):
            pass
