from __future__ import annotations

import pytest

from llm_compiler.corpus.exclusions import (
    HELD_OUT,
    excluded_path,
    excluded_symbol,
    held_out_package,
)


@pytest.mark.parametrize(
    ("name", "held_out"),
    [
        ("zlib", "zlib"),
        ("bzip2", "bzip2"),
        ("libpng1.6", "libpng"),
        ("libjpeg-turbo", "libjpeg"),
        ("libjpeg9", "libjpeg"),
        ("tiff", "tiff"),
        ("ghostscript", "ghostscript"),
        ("lame", "lame"),
        ("libmad", "mad"),
        ("libid3tag", "id3tag"),
        ("libgsm", "gsm"),
        ("ispell", "ispell"),
        ("pocketsphinx", "sphinx"),
        ("sphinxbase", "sphinx"),
        ("rsynth", "rsynth"),
        ("gnupg2", "pgp"),
        ("libgcrypt20", "pgp"),
        ("mpeg2dec", "mpeg2"),
        ("lout", "typeset"),
        ("lua5.4", "Lua"),
        ("luajit", "Lua"),
    ],
)
def test_held_out_packages_are_known(name: str, held_out: str) -> None:
    assert held_out_package(name) == held_out


@pytest.mark.parametrize("name", ["jq", "lz4", "lzip", "mawk", "libuv1", "madplanet", "luminance"])
def test_other_packages_are_not(name: str) -> None:
    assert held_out_package(name) is None


@pytest.mark.parametrize(
    ("path", "held_out"),
    [
        ("third_party/zlib-1.2.11/adler32.c", "zlib"),
        ("compat/inflate.c", "zlib"),
        ("extern/libpng/x.c", "libpng"),
        ("src/lua/lapi.c", "Lua"),
        ("deps/lua-5.1/src/lapi.c", "Lua"),
        ("codecs/gsm610/add.c", "gsm"),
        ("contrib/ljpeg/x.c", "libjpeg"),
    ],
)
def test_bundled_copies_are_known_by_their_folder_or_file(path: str, held_out: str) -> None:
    assert excluded_path(path) == held_out


@pytest.mark.parametrize(
    "path", ["src/main.c", "lib/madness.cpp", "src/evaluate.c", "lib/crc32.c", "libxml2/zoo.c"]
)
def test_other_paths_are_kept(path: str) -> None:
    assert excluded_path(path) is None


@pytest.mark.parametrize(
    "symbol",
    [
        "inflate_fast",
        "deflateInit2_",
        "BZ2_bzCompress",
        "png_create_read_struct",
        "jpeg_start_decompress",
        "TIFFOpen",
        "lua_pushstring",
        "luaV_execute",
        "gsm_encode",
        "Gsm_LPC_Analysis",
        "mad_stream_init",
        "id3_tag_parse",
        "lame_encode_buffer",
        "susan_edges",
        "polybench_alloc_data",
        "float64_add",
    ],
)
def test_definitions_give_copies_away(symbol: str) -> None:
    found = excluded_symbol(["helper", symbol])
    assert found is not None
    assert found[1] == symbol


def test_users_of_held_out_code_are_kept() -> None:
    assert excluded_symbol(["main", "git_inflate", "read_png_file", "my_crc32", "add"]) is None


def test_every_entry_has_patterns_that_are_not_empty() -> None:
    for entry in HELD_OUT:
        assert entry.package
        assert entry.path
        assert entry.symbol
