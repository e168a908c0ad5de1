"""Debian source packages: found in the archive, downloaded, checked and unpacked.

The mirror is the machine's own: its apt configuration is copied, with `deb` turned into `deb-src`,
into a folder of ours, so that neither /etc nor apt's own state is touched. A pinned version that
the mirror has dropped is replaced by the successor it offers, which is recorded. What was unpacked
is known by the hash of its upstream tarball. One `Archive` may serve several threads.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from llm_compiler import process
from llm_compiler.corpus.config import PackageSpec
from llm_compiler.corpus.copyright import read_paragraphs
from llm_compiler.errors import ArtifactError

__all__ = ["Archive", "Fetched", "SourcePackage", "parse_showsrc", "sha256_of_file"]

_APT_SOURCES = Path("/etc/apt")
_UPSTREAM = re.compile(r".*\.orig\.tar\.[a-z0-9]+|[^-]*\.tar\.[a-z0-9]+")
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePackage:
    """One version of a source package in the archive's index; `files` maps names to SHA-256."""

    name: str
    version: str
    files: dict[str, str]

    @property
    def dsc(self) -> str:
        """Name of the .dsc file."""
        return next(name for name in self.files if name.endswith(".dsc"))

    @property
    def upstream(self) -> str:
        """Name of the upstream tarball, the one that a configuration pins."""
        return next(name for name in sorted(self.files) if _UPSTREAM.fullmatch(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A package on disk; `successor`: `version`, which the mirror gave, is not the pinned one."""

    folder: Path
    version: str
    sha256: str
    successor: bool


class Archive:
    """The Debian archive as this machine's apt sees it.

    `folder` keeps apt's lists and the downloads; it may be kept between builds.
    """

    def __init__(self, folder: Path, *, apt_folder: Path = _APT_SOURCES) -> None:
        self._folder = folder.resolve()
        self._apt_folder = apt_folder
        self._lock = threading.Lock()
        self._updated = False

    def fetch(self, spec: PackageSpec, *, destination: Path) -> Fetched:
        """Download a package, check its hashes and unpack it into `destination`.

        Raises:
            ArtifactError: apt does not know the package, the download is damaged, or the upstream
                tarball is not the pinned one although the version is.
        """
        downloads = self._folder / "downloads" / spec.name
        package = self._obtain(spec, downloads)
        upstream = package.files[package.upstream]
        if package.version == spec.version and upstream != spec.sha256:
            raise ArtifactError(
                f"{spec.name} {spec.version}: {package.upstream} has SHA-256 {upstream}, "
                f"the configuration pins {spec.sha256}"
            )
        shutil.rmtree(destination, ignore_errors=True)
        destination.parent.mkdir(parents=True, exist_ok=True)
        done = process.run(
            ["dpkg-source", "--no-check", "-x", str(downloads / package.dsc), str(destination)],
            timeout_s=300,
        )
        if not done.ok:
            raise ArtifactError(f"cannot unpack {package.dsc}", detail=done.stderr_text)
        return Fetched(
            folder=destination,
            version=package.version,
            sha256=upstream,
            successor=package.version != spec.version,
        )

    def list_versions(self, name: str) -> list[SourcePackage]:
        """Return every version of a source package that the mirror's index has, newest last.

        Raises:
            ArtifactError: the index cannot be downloaded, or apt is not installed.
        """
        self._update()
        done = self._apt("apt-cache", "showsrc", name)
        # apt-cache also finds the sources of a binary package of that name.
        found = [p for p in parse_showsrc(done.stdout.decode("utf-8", "replace")) if p.name == name]
        return sorted(found, key=lambda package: _version_key(package.version))

    def _obtain(self, spec: PackageSpec, downloads: Path) -> SourcePackage:
        """Download the pinned version, or else the best of those that the mirror still serves."""
        versions = self.list_versions(spec.name)
        if not versions:
            raise ArtifactError(f"the Debian archive has no source package {spec.name}")
        # An index may name what the mirror has dropped, and keep an older version beside it.
        newest_first = versions[::-1]
        newest_first.sort(
            key=lambda package: (
                package.version != spec.version,
                package.files[package.upstream] != spec.sha256,
            )
        )
        errors = []
        for package in newest_first:
            try:
                if not self._verified(package, downloads):
                    self._download(package, downloads)
            except ArtifactError as error:
                errors.append(error)
            else:
                return package
        raise errors[0]

    def _verified(self, package: SourcePackage, downloads: Path) -> bool:
        return all(
            (downloads / name).is_file() and sha256_of_file(downloads / name) == sha256
            for name, sha256 in package.files.items()
        )

    def _download(self, package: SourcePackage, downloads: Path) -> None:
        downloads.mkdir(parents=True, exist_ok=True)
        output = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(5.0 * attempt)
            # A file that does not match would be taken for a download to go on with.
            for name, sha256 in package.files.items():
                path = downloads / name
                if path.is_file() and sha256_of_file(path) != sha256:
                    path.unlink()
            done = self._apt(
                "apt-get",
                "source",
                "--download-only",
                "--only-source",
                f"{package.name}={package.version}",
                cwd=downloads,
            )
            if self._verified(package, downloads):
                return
            output = done.stderr_text
            if "404" in output:
                break
        raise ArtifactError(
            f"the download of {package.name} {package.version} is incomplete or damaged",
            detail=output,
        )

    def _update(self) -> None:
        with self._lock:
            if self._updated:
                return
            self._write_sources()
            done = self._apt("apt-get", "update")
            lists = list((self._folder / "lists").glob("*Sources*"))
            if not done.ok and not lists:
                raise ArtifactError(
                    "cannot download Debian's package index", detail=done.stderr_text
                )
            self._updated = True

    def _write_sources(self) -> None:
        """Copy the machine's apt sources, binary lines turned into source lines."""
        parts = self._folder / "parts"
        for folder in (parts, self._folder / "lists" / "partial", self._folder / "archives"):
            folder.mkdir(parents=True, exist_ok=True)
        candidates = [self._apt_folder / "sources.list"]
        candidates += sorted((self._apt_folder / "sources.list.d").glob("*.list"))
        candidates += sorted((self._apt_folder / "sources.list.d").glob("*.sources"))
        for path in candidates:
            if not path.is_file():
                continue
            text = path.read_text("utf-8")
            if path.suffix == ".sources":
                text = re.sub(r"(?m)^Types:.*$", "Types: deb-src", text)
            else:
                text = re.sub(r"(?m)^deb ", "deb-src ", text)
            (parts / path.name).write_text(text, "utf-8")

    def _apt(self, *arguments: str, cwd: Path | None = None) -> process.Completed:
        options = [
            "-oDir::Etc::sourcelist=/dev/null",
            f"-oDir::Etc::sourceparts={self._folder / 'parts'}",
            f"-oDir::State::lists={self._folder / 'lists'}",
            f"-oDir::Cache={self._folder}",
            "-oDebug::NoLocking=1",
            # Downloads go to a folder that apt's own user cannot write.
            "-oAPT::Sandbox::User=root",
        ]
        program, *rest = arguments
        try:
            return process.run([program, *options, *rest], timeout_s=600, cwd=cwd)
        except OSError as error:
            raise ArtifactError(
                f"cannot run {program} ({error}); Debian packages need apt and dpkg-dev"
            ) from error


def parse_showsrc(text: str) -> list[SourcePackage]:
    """Read what `apt-cache showsrc` prints: one paragraph a version."""
    packages = []
    for fields in read_paragraphs(text):
        files = {}
        for line in fields.get("checksums-sha256", []):
            parts = line.split()
            if len(parts) == 3:
                files[parts[2]] = parts[0]
        if "package" in fields and "version" in fields and any(f.endswith(".dsc") for f in files):
            packages.append(
                SourcePackage(name=fields["package"][0], version=fields["version"][0], files=files)
            )
    unique = {(package.name, package.version): package for package in packages}
    return list(unique.values())


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _version_key(version: str) -> list[tuple[bool, int, str]]:
    """Order versions of one package nearly as dpkg does: numbers by value, `~` before all."""
    key = []
    for part in re.findall(r"\d+|[^\d]+", version.replace("~", "\0")):
        key.append((part.isdigit(), int(part) if part.isdigit() else 0, part))
    return key
