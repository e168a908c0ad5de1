from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llm_compiler.errors import ArtifactError, OutputError
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.records import Measurement, PassList, Recipe, Status
from llm_compiler.search.store import Store

A, B = PassList(("adce",)), PassList(("default<Oz>", "function(simplifycfg)"))
VERSION = "19.1.7"
FULL = Measurement(
    status=Status.OK,
    size_bytes=300,
    text_data_bytes=200,
    num_instructions=100,
    result_hash="ab" * 16,
    seconds=0.25,
)
CRASH = Measurement(status=Status.CRASHED, detail="SIGABRT: 'quoted' \n é", seconds=1.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "measurements.db"


def test_what_was_recorded_is_found(path: Path) -> None:
    with Store(path, llvm_version=VERSION) as store:
        store.record("m", {A: FULL, B: CRASH})
        assert store.lookup("m", [A, B]) == {A: FULL, B: CRASH}
        assert store.lookup("m", [B]) == {B: CRASH}
        assert store.lookup("other", [A]) == {}
        assert store.num_measurements() == 2
    with Store(path, llvm_version=VERSION) as store:
        assert store.lookup("m", [A, B]) == {A: FULL, B: CRASH}
        assert store.all_measurements("m") == {A.pipeline: FULL, B.pipeline: CRASH}


def test_versions_of_llvm_are_kept_apart(path: Path) -> None:
    with Store(path, llvm_version=VERSION) as store:
        store.record("m", {A: FULL})
    with Store(path, llvm_version="18.1.8") as store:
        assert store.lookup("m", [A]) == {}
        assert store.all_measurements("m") == {}


def test_the_empty_list_is_a_list(path: Path) -> None:
    with Store(path, llvm_version=VERSION) as store:
        store.record("m", {PassList(): FULL})
        assert store.lookup("m", [PassList()]) == {PassList(): FULL}


def test_more_lists_than_sqlite_takes_variables(path: Path) -> None:
    lists = [PassList((f"p{i}",)) for i in range(1700)]
    with Store(path, llvm_version=VERSION) as store:
        store.record("m", dict.fromkeys(lists, FULL))
        assert len(store.lookup("m", lists)) == 1700


def test_modules_are_described(path: Path) -> None:
    with Store(path, llvm_version=VERSION) as store:
        store.record("m", {A: FULL})
        store.describe(
            "m",
            name="a.c",
            target_triple="x86_64-linux-gnu",
            baseline_size_bytes=5,
            baseline_text_data_bytes=4,
        )
        assert store.modules() == [("m", "a.c", "x86_64-linux-gnu", 5, 4)]


def test_recording_again_does_not_duplicate(path: Path) -> None:
    with Store(path, llvm_version=VERSION) as store:
        store.record("m", {A: FULL})
        store.record("m", {A: FULL})
        assert store.num_measurements() == 1


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.records import Measurement, PassList, Recipe, Status
from llm_compiler.search.store import Store

path, name, count, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Store(path, llvm_version="19.1.7") as store:
    for batch in range(count):
        store.record(name, {
            PassList((f"shared{batch}", f"p{i}")): Measurement(
                status=Status.OK, size_bytes=batch, result_hash=str(i), detail="x" * 50)
            for i in range(size)
        })
        print(batch, flush=True)
"""


def writer(path: Path, name: str, count: int, size: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count), str(size)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_several_processes_write_at_once(path: Path) -> None:
    writers = [writer(path, f"module{i}", 25, 20) for i in range(3)]
    for popen in writers:
        popen.communicate(timeout=60)
        assert popen.returncode == 0
    with Store(path, llvm_version=VERSION) as store:
        assert store.num_measurements() == 3 * 25 * 20
        assert {row[0] for row in store.modules()} == {"module0", "module1", "module2"}


def test_kill_9_loses_at_most_the_batch_under_way(path: Path) -> None:
    size = 200
    with writer(path, "m", 100_000, size) as popen:
        assert popen.stdout is not None
        done = 0
        for line in popen.stdout:
            done = int(line) + 1
            if done == 12:
                break
        popen.send_signal(signal.SIGKILL)
        rest = popen.stdout.read().split()
        if rest:
            done = int(rest[-1]) + 1
    with Store(path, llvm_version=VERSION) as store:
        found = store.num_measurements()
        assert found % size == 0, "no batch is half there"
        assert done * size <= found <= (done + 1) * size
        store.record("m", {A: FULL})
        assert store.lookup("m", [A]) == {A: FULL}
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_store_of_a_newer_version_is_refused(path: Path) -> None:
    Store(path, llvm_version=VERSION).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(ArtifactError, match=r"newer version of this package \(schema 99\)"):
        Store(path, llvm_version=VERSION)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (99,), "left as it was"
    connection.close()


@pytest.mark.parametrize(
    "data", [b"this is no database at all" * 100, bytes(range(256)) * 40], ids=["text", "bytes"]
)
def test_another_file_is_refused_and_left_alone(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"is not a store of measurements") as caught:
        Store(path, llvm_version=VERSION)
    assert caught.value.exit_code == 7
    assert path.read_bytes() == data


def test_a_damaged_store_is_an_artifact_error(path: Path) -> None:
    lists = {PassList((f"p{i}", "x" * 200)): FULL for i in range(500)}
    with Store(path, llvm_version=VERSION) as store:
        store.record("m", lists)
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data) - 4096, 4096):
        data[start : start + 512] = b"\xff" * 512
    path.write_bytes(data)
    with Store(path, llvm_version=VERSION) as store:
        with pytest.raises(ArtifactError, match="is damaged: database disk image is malformed"):
            store.lookup("m", list(lists))
        with pytest.raises(ArtifactError, match="is damaged: database disk image is malformed"):
            store.record("m", dict.fromkeys(lists, CRASH))


@pytest.mark.parametrize("name", ["/proc/none/m.db", "/proc/m.db", "/dev/null/m.db"])
def test_a_place_that_takes_no_files_is_an_output_error(name: str) -> None:
    # Even root cannot write there.
    with pytest.raises(OutputError, match=r"cannot be (made|opened)"):
        Store(Path(name), llvm_version=VERSION)


def test_a_folder_in_place_of_the_file_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be opened"):
        Store(tmp_path, llvm_version=VERSION)


def test_a_failed_transaction_leaves_the_store_usable(path: Path) -> None:
    with Store(path, llvm_version=VERSION) as store:
        bad = Measurement(status=Status.REFUSED, detail="x")
        object.__setattr__(bad, "seconds", object())  # sqlite cannot store it
        with pytest.raises((sqlite3.Error, TypeError)):
            store.record("m", {A: bad})
        assert store.num_measurements() == 0
        store.record("m", {A: FULL, B: CRASH})
        assert store.lookup("m", [A, B]) == {A: FULL, B: CRASH}


def test_recipes_are_kept_with_their_settings(path: Path) -> None:
    plain = PassList(("function(adce)",))
    framed = plain.with_settings_of(Recipe(attributes=("frame-pointer=non-leaf",)))
    costed = plain.with_settings_of(Recipe(options=("outliner-benefit-threshold=8",)))
    small = replace(FULL, size_bytes=250)
    with Store(path, llvm_version=VERSION) as store:
        store.record("m", {plain: FULL, framed: small, costed: CRASH})
        assert store.lookup("m", [plain, framed, costed]) == {
            plain: FULL,
            framed: small,
            costed: CRASH,
        }
        found = store.all_measurements("m")
    assert {parse_recipe(text): measurement for text, measurement in found.items()} == {
        plain: FULL,
        framed: small,
        costed: CRASH,
    }


def test_a_store_from_before_recipes_is_read(path: Path) -> None:
    """As the first version of this package wrote it: a list's pipeline is its key."""
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE modules (
            id INTEGER PRIMARY KEY,
            hash TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL DEFAULT '',
            target_triple TEXT NOT NULL DEFAULT '',
            baseline_size_bytes INTEGER NOT NULL DEFAULT 0,
            baseline_text_data_bytes INTEGER NOT NULL DEFAULT 0
        );
        CREATE TABLE lists (id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL UNIQUE);
        CREATE TABLE measurements (
            module_id INTEGER NOT NULL, list_id INTEGER NOT NULL, llvm_version TEXT NOT NULL,
            status TEXT NOT NULL, size_bytes INTEGER NOT NULL, text_data_bytes INTEGER NOT NULL,
            num_instructions INTEGER NOT NULL, result_hash TEXT NOT NULL, seconds REAL NOT NULL,
            detail TEXT NOT NULL, recorded REAL NOT NULL,
            PRIMARY KEY (module_id, list_id, llvm_version)
        ) WITHOUT ROWID;
        INSERT INTO modules (id, hash) VALUES (1, 'm');
        INSERT INTO lists VALUES (1, 'default<Oz>,function(simplifycfg)');
        PRAGMA user_version=1;
        """
    )
    values = (1, 1, VERSION, "ok", 300, 200, 100, "ab" * 16, 0.25, "", 0.0)
    connection.execute(f"INSERT INTO measurements VALUES ({','.join('?' * 11)})", values)
    connection.commit()
    connection.close()
    with Store(path, llvm_version=VERSION) as store:
        assert store.lookup("m", [B]) == {B: FULL}
        (text,) = store.all_measurements("m")
        assert parse_recipe(text) == B
