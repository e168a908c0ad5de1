from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from llm_compiler import process
from llm_compiler.corpus.config import PackageSpec
from llm_compiler.corpus.debian import Archive, parse_showsrc
from llm_compiler.errors import ArtifactError

UPSTREAM = b"upstream 1.2"
OTHER = b"upstream 1.3"
DSC = b"dsc"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def paragraph(version: str, upstream: bytes) -> str:
    return (
        f"Package: hello\nVersion: {version}\nDirectory: pool/h\nChecksums-Sha256:\n"
        f" {digest(DSC)} 3 hello.dsc\n {digest(upstream)} 12 hello_{version}.orig.tar.gz\n"
    )


def spec(version: str = "1.2-1", sha256: str = digest(UPSTREAM)) -> PackageSpec:
    return PackageSpec(
        name="hello",
        version=version,
        sha256=sha256,
        language="c",
        license="MIT",
        split="train",
    )


class FakeApt:
    """Answers for apt-get, apt-cache and dpkg-source; `served` is what a download brings."""

    def __init__(self, index: str, served: dict[str, bytes]) -> None:
        self.index = index
        self.served = served
        self.programs: list[str] = []

    def __call__(self, arguments: list[str], **options: object) -> process.Completed:
        program = Path(arguments[0]).name
        self.programs.append(program)
        output = b""
        if program == "apt-cache":
            output = self.index.encode()
        elif program == "apt-get" and "source" in arguments:
            folder = options["cwd"]
            assert isinstance(folder, Path)
            for name, data in self.served.items():
                (folder / name).write_bytes(data)
        elif program == "dpkg-source":
            Path(arguments[-1]).mkdir()
        return process.Completed(
            arguments=tuple(arguments),
            exit_status=0,
            stdout=output,
            stderr=b"words of apt",
            seconds=0.0,
            timed_out=False,
        )


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_compiler.corpus.debian.time.sleep", lambda seconds: None)


def archive(tmp_path: Path, fake: FakeApt, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setattr("llm_compiler.corpus.debian.process.run", fake)
    return Archive(tmp_path / "apt", apt_folder=tmp_path / "etc")


def test_the_pinned_version_is_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeApt(
        paragraph("1.2-1", UPSTREAM), {"hello.dsc": DSC, "hello_1.2-1.orig.tar.gz": UPSTREAM}
    )
    store = archive(tmp_path, fake, monkeypatch)
    for _ in range(2):
        fetched = store.fetch(spec(), destination=tmp_path / "hello")
        assert (fetched.version, fetched.successor) == ("1.2-1", False)
    assert fake.programs.count("apt-get") == 2  # one update, one download


def test_a_successor_with_the_same_tarball_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = paragraph("1.2-2", UPSTREAM) + "\n" + paragraph("1.3-1", OTHER)
    fake = FakeApt(index, {"hello.dsc": DSC, "hello_1.2-2.orig.tar.gz": UPSTREAM})
    fetched = archive(tmp_path, fake, monkeypatch).fetch(spec(), destination=tmp_path / "hello")
    assert (fetched.version, fetched.successor) == ("1.2-2", True)


def test_a_newer_upstream_is_accepted_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeApt(paragraph("1.3-1", OTHER), {"hello.dsc": DSC, "hello_1.3-1.orig.tar.gz": OTHER})
    fetched = archive(tmp_path, fake, monkeypatch).fetch(spec(), destination=tmp_path / "hello")
    assert (fetched.version, fetched.sha256, fetched.successor) == ("1.3-1", digest(OTHER), True)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match="has no source package hello"):
        archive(tmp_path, FakeApt("", {}), monkeypatch).fetch(spec(), destination=tmp_path / "x")


@pytest.mark.usefixtures("no_waiting")
def test_a_truncated_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeApt(
        paragraph("1.2-1", UPSTREAM), {"hello.dsc": DSC, "hello_1.2-1.orig.tar.gz": UPSTREAM[:5]}
    )
    with pytest.raises(ArtifactError, match="incomplete or damaged") as caught:
        archive(tmp_path, fake, monkeypatch).fetch(spec(), destination=tmp_path / "hello")
    assert caught.value.detail == "words of apt"
    assert not (tmp_path / "hello").exists()


def test_a_tarball_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeApt(paragraph("1.2-1", OTHER), {"hello.dsc": DSC, "hello_1.2-1.orig.tar.gz": OTHER})
    with pytest.raises(ArtifactError, match="the configuration pins"):
        archive(tmp_path, fake, monkeypatch).fetch(spec(), destination=tmp_path / "hello")


def test_no_apt_is_an_artifact_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> process.Completed:
        raise FileNotFoundError("apt-get")

    monkeypatch.setattr("llm_compiler.corpus.debian.process.run", missing)
    with pytest.raises(ArtifactError, match="need apt and dpkg-dev"):
        Archive(tmp_path / "apt", apt_folder=tmp_path).list_versions("hello")


def test_apt_sources_are_turned_into_source_lines_in_our_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tmp_path / "etc" / "sources.list.d"
    parts.mkdir(parents=True)
    (parts / "a.sources").write_text("Types: deb\nURIs: mirror\nSuites: stable\n")
    (tmp_path / "etc" / "sources.list").write_text("deb mirror stable main\n")
    archive(tmp_path, FakeApt("", {}), monkeypatch).list_versions("hello")
    written = tmp_path / "apt" / "parts"
    assert (written / "a.sources").read_text().startswith("Types: deb-src\n")
    assert (written / "sources.list").read_text() == "deb-src mirror stable main\n"
    assert (parts / "a.sources").read_text().startswith("Types: deb\n")


def test_showsrc_is_read_paragraph_by_paragraph() -> None:
    packages = parse_showsrc(paragraph("1", UPSTREAM) + "\n" + paragraph("2", OTHER) + "\n\n")
    assert [(p.version, p.dsc, p.upstream) for p in packages] == [
        ("1", "hello.dsc", "hello_1.orig.tar.gz"),
        ("2", "hello.dsc", "hello_2.orig.tar.gz"),
    ]
