"""What `corpus build` says where nothing can be built, and where something can."""

from __future__ import annotations

LOCAL = '[[local]]\nname = "{0}"\npath = "{0}"\nkind = "sources"\nsplit = "train"\n'


def test_a_source_that_is_not_there(user) -> None:
    user.write("here/a.c", "int f(void) { return 1; }\n")
    user.write("c.toml", LOCAL.format("gone") + LOCAL.format("here"))
    build = ("corpus", "build", "--config", "c.toml", "--out", "out")
    done = user.types(*build, "--packages", "gone")
    assert (done.code, len(done.errors)) == (7, 1)
    assert "the source cannot be built: gone: no such file or folder" in done.errors[0]
    # One that fails beside others is reported, and no more.
    done = user.types(*build)
    assert (done.code, done.errors) == (0, [])
    assert "1 units of 1 packages" in done.out
    assert "skipped: gone" in done.out
    # What was built stays, whatever fails afterwards.
    assert user.types(*build, "--packages", "gone").code == 7
    assert "total" in user.types("corpus", "stats", "out").out
    assert user.types("corpus", "stats", "out", "--json").rows[0]["num_units"] == 1


def test_a_damaged_shard(user) -> None:
    user.write("code/a.c", "int f(int x) { int y = x * 3; return y / (x + 7) - y % 5; }\n")
    user.write("c.toml", LOCAL.format("code"))
    assert user.types("corpus", "build", "--config", "c.toml", "--out", "corpus").code == 0
    assert user.types("corpus", "sample", "corpus", "--out", "s", "--jobs", "1").code == 0
    shard = next((user.folder / "s").rglob("train/*.parquet"))
    whole = shard.read_bytes()
    middle = len(whole) // 2
    for data in (whole[:-9], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        shard.write_bytes(data)
        assert shard.name in user.fails(7, "corpus", "check", "s")
    shard.write_bytes(whole[:-9])
    assert shard.name in user.fails(7, "labels", "build", "s", "-o", "l.parquet")
    shard.write_bytes(whole)
    assert user.types("corpus", "check", "s").code == 0
