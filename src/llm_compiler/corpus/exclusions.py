"""What must never enter the corpus: the held-out programs and everything that shares their code.

The yardstick programs of the evaluation (MiBench, cBench, CHStone, NPB, PolyBench, HumanEval-X,
ExeBench's test split and the packages that lend them code) are kept out three ways: by the name of
the package, by the name of the folder or file within a package (bundled copies), and by what a
compiled unit defines (copies under other names). The tables below are the whole rule.
Pure functions; safe in threads and processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["HELD_OUT", "HeldOut", "excluded_path", "excluded_symbol", "held_out_package"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """One held-out program: how its packages, bundled copies and definitions are known.

    All three are regular expressions that must match in full: a source package's name; one
    component of a path, lower-case, without version and extension; a symbol that a unit defines.
    """

    name: str
    package: str
    path: str
    symbol: str


HELD_OUT: tuple[HeldOut, ...] = (
    HeldOut(
        name="zlib",
        package=r"(lib)?zlib(-ng)?\d*|minizip(-ng)?|gzip|pigz|zopfli|miniz|libdeflate|rsync",
        path=r"(lib|lib_|mini|our)?zlib(-ng|[_-]?src|-?\d+)?|minizip|miniz|infback|inffast|inflate"
        r"|inftrees|deflate|adler32|crc32_?z|zutil|gzread|gzwrite|gzlib|uncompr",
        symbol=r"(z_)?(inflate|deflate)(Init2?_?|_fast|_table|_stored|Prime|Back_?|End|Reset2?"
        r"|SetDictionary)|(_tr_(init|align|tally|flush_block|stored_block))|gz(open|read|write)"
        r"|mz_(inflate|deflate|compress|uncompress).*|tinfl_decompress|tdefl_compress|inflate_fast"
        r"|huft_build|inflate_codes|inflate_dynamic|longest_match_(fast|slow)",
    ),
    HeldOut(
        name="bzip2",
        package=r"(lib)?bzip2?|lbzip2|pbzip2|bzip3",
        path=r"(lib)?bzip2?|bzlib|bunzip2?|bz2|micro-?bunzip|decompress_bunzip2",
        symbol=r"BZ2_.*|BZ_.*|unRLE_obuf_to_output_(FAST|SMALL)|start_bunzip|read_bunzip|get_next_block",
    ),
    HeldOut(
        name="libpng",
        package=r"libpng[\d.]*|apng.*|lodepng",
        path=r"(lib)?png(\d+)?|lpng\d*|pngrutil|pngwutil|lodepng",
        symbol=r"(OPENCV_)?png_(create|read|write|set|get|init|destroy|do|handle)_.*|lodepng_.*",
    ),
    HeldOut(
        name="libjpeg",
        package=r"libjpeg.*|mozjpeg|jpeg-?turbo|jpeg",
        path=r"(lib)?jpeg(-turbo|[_-]?\d\w?)?|ljpeg|mozjpeg|stb_image|jdhuff|jchuff|jdct\w*|jidct\w*",
        symbol=r"jpeg_(start|finish|read|write|create|destroy|fdct|idct|make|fill|Create).*"
        r"|jinit_.*|jround_up|jzero_far|stbi_.*|ljpeg_.*",
    ),
    HeldOut(
        name="tiff",
        package=r"(lib)?tiff.*",
        path=r"(lib)?tiff(\d|-\d.*)?|tif_\w+",
        symbol=r"_?TIFF(Open|Client|Read|Write|Set|Get|Init|Fill|Merge|VSet|VGet|Swab|Fax|Free)\w*"
        r"|LZW(Decode|Encode|PreDecode|SetupDecode)|Fax3\w+",
    ),
    HeldOut(
        name="ghostscript",
        package=r"ghostscript|gs-.*|ghostpdl|mupdf|jbig2dec",
        path=r"ghostscript|ghostpdl|jbig2dec",
        symbol=r"gs_(main|lib|state|matrix|alloc|font|image|image_t|copydevice|setdevice).*|gx_\w+"
        r"|zexec|iodev_\w+|interp_(init|exit|reclaim)",
    ),
    HeldOut(
        name="lame",
        package=r"(lib)?(mp3)?lame|twolame|toolame|mpg123|gogo|glame",
        path=r"(lib)?(mp3)?lame|mpglib|twolame|(lib)?mpg123|minimp3",
        symbol=r"lame_(encode|init|close|get|set)\w*|id3tag_\w+|psymodel_\w+|hip_decode\w*"
        r"|mpg123_\w+|INT123_\w+|mp3dec_\w+|L3psycho_anal\w*|twolame_\w+",
    ),
    HeldOut(
        name="mad",
        package=r"(lib)?mad(play|lib)?",
        path=r"(lib)?mad",
        symbol=r"mad_(stream|frame|synth|decoder|bit|layer|timer|header)\w*|III_(decode|huffdecode|"
        r"imdct\w*|sideinfo|scalefactors)",
    ),
    HeldOut(
        name="id3tag",
        package=r"(lib)?id3(tag|lib)?[\d.]*",
        path=r"(lib)?id3(tag|lib)?",
        symbol=r"id3_(tag|frame|field|ucs4|utf8|utf16|latin1|parse|render|file|genre|compat)\w*",
    ),
    HeldOut(
        name="gsm",
        package=r"(lib)?gsm|toast|spandsp|sox|libsndfile",
        path=r"(lib)?gsm(610)?|(lib)?gsm[_-]?0?6[_.]?10|(lib)?lpc10",
        symbol=r"gsm_(encode|decode|create|destroy|option|explode|implode|add|sub|mult|mult_r|L_\w+|"
        r"norm|div|asl|asr|abs|print|debug_\w+)|Gsm_\w+|lpc10_\w+|adpcm_(coder|decoder)",
    ),
    HeldOut(
        name="ispell",
        package=r"i[as]?spell|aspell|hunspell|myspell|hspell|nuspell",
        path=r"ispell|aspell|hunspell|myspell",
        symbol=r"ichartostr|strtoichar|makepossibilities|expand_(pre|suf)|chk_aff|tgood",
    ),
    HeldOut(
        name="sphinx",
        package=r"(cmu)?(pocket)?sphinx.*",
        path=r"(cmu|pocket)?sphinx(base|\d)?",
        symbol=r"(vithist|ngram_model|senscr|gauden|mgau|hmm_vit|feat_s2mfc|logmath|cmd_ln|agc_\w+"
        r"|cmn)_\w+|approx_cont_mgau\w*",
    ),
    HeldOut(
        name="rsynth",
        package=r"rsynth|espeak(-ng)?|flite",
        path=r"rsynth|nsynth|holmes",
        symbol=r"parwave|rsynth_\w+|holmes|elements_lookup",
    ),
    HeldOut(
        name="pgp",
        package=r"pgp\w*|gnupg\d?|gpg.*|libgcrypt\d*|libgpg-error|libksba|gpgme.*|rnp",
        path=r"pgp|gnupg|(lib)?gcrypt|mpilib|rsaref",
        symbol=r"gcry_\w+|_gcry_\w+|gpg_\w+|pgp_\w+|mp_(faststage_mp_modmult|stage_\w+_modulus)"
        r"|ideaCipher|ideaCfb\w+|idea_file",
    ),
    HeldOut(
        name="mpeg2",
        package=r"(lib)?mpeg-?2\w*|mjpegtools|ffmpeg|libav",
        path=r"(lib)?mpeg2(enc|dec|play)?",
        symbol=r"mpeg2_\w+|Decode_MPEG\d_\w+|Flush_Buffer32|Show_Bits|Get_macroblock_type"
        r"|form_predictions|Initialize_(Fast|Reference)_IDCT",
    ),
    HeldOut(
        name="susan",
        package=r"(fsl-)?susan",
        path=r"susan",
        symbol=r"susan_(edges|corners|principle|smoothing|thin)\w*|setup_brightness_lut",
    ),
    HeldOut(
        name="typeset",
        package=r"lout|typeset",
        path=r"lout|typeset",
        symbol=r"(Flush|Size|Kill|Freeze|Attach)Galley|TransferBegin|ExpandRecursives",
    ),
    HeldOut(
        name="Lua",
        package=r"lua[\d.]*|luajit\d*|libtolua.*|lua-.*|redis|neovim|nmap",
        path=r"(lib)?lua(jit)?[\d.]*|(mini)?lua-src|liblua|tolua|luasrc",
        symbol=r"luaL?_(newstate|open\w*|call\w*|pcall\w*|push\w+|get\w+|set\w+|to\w+|load\w*|gc"
        r"|resume|yield\w*|checkstack|error|next|concat|check\w+)"
        r"|lua[A-Z]_(newstate|execute|call|pcall|step|init|new|get\w*|set\w*|resize|ToString|"
        r"alloc|realloc_|growaux_|free|close|next|patch\w*)",
    ),
    HeldOut(
        name="MiBench, cBench, CHStone, NPB, PolyBench, HumanEval-X, ExeBench",
        package=r"(mi|c|poly|exe)bench|chstone|npb|nas-.*|humaneval.*",
        path=r"(mi|c|poly|exe)bench(-?gpu)?|chstone|npb[\d.]*|humaneval(-?x)?|ctuning.*|softfloat",
        # float64_add and its like: CHStone's dfadd, dfmul, dfdiv are Hauser's SoftFloat.
        symbol=r"float64_(add|sub|mul|div|sqrt|le|ge|rem)|(round|normalizeRound)AndPackFloat64"
        r"|polybench_(alloc|flush|timer|prepare|program|stop|start)\w*|BF_(cfb64_|set_key)_mibench"
        r"|dijkstra_enqueue|bmhi?_(init|search)|bmha_(init|search)|kernel_(gemm|2mm|3mm|adi|atax|bicg"
        r"|cholesky|correlation|covariance|doitgen|durbin|fdtd_2d|floyd_warshall|gemver|gesummv"
        r"|gramschmidt|heat_3d|jacobi_[12]d|lu|ludcmp|mvt|nussinov|seidel_2d|symm|syr2k|syrk|trisolv"
        r"|trmm)",
    ),
)

_PACKAGES = [(entry.name, re.compile(entry.package)) for entry in HELD_OUT]
_PATHS = [(entry.name, re.compile(entry.path)) for entry in HELD_OUT]
_SYMBOLS = re.compile("|".join(f"(?P<g{i}>{entry.symbol})" for i, entry in enumerate(HELD_OUT)))
_SUFFIX = re.compile(r"\.(c|cc|cpp|cxx|c\+\+|h|hpp|ll|bc)$")
_VERSION = re.compile(r"[-_]v?\d+(\.\d+)*$")


def held_out_package(name: str) -> str | None:
    """Return the held-out program that a package of this name belongs to, or None.

    >>> held_out_package("zlib"), held_out_package("lua5.3"), held_out_package("jq")
    ('zlib', 'Lua', None)
    """
    lowered = name.lower()
    return next((held for held, pattern in _PACKAGES if pattern.fullmatch(lowered)), None)


def excluded_path(path: str) -> str | None:
    """Return the held-out program that a path within a package names, or None.

    >>> excluded_path("third_party/zlib-1.2.11/crc32.c"), excluded_path("src/main.c")
    ('zlib', None)
    """
    for component in path.lower().split("/"):
        stem = _VERSION.sub("", _SUFFIX.sub("", component))
        for held, pattern in _PATHS:
            if pattern.fullmatch(stem):
                return held
    return None


def excluded_symbol(symbols: Iterable[str]) -> tuple[str, str] | None:
    """Return the held-out program and the symbol that gives it away, or None.

    >>> excluded_symbol(["main", "inflate_fast"])
    ('zlib', 'inflate_fast')
    """
    for symbol in symbols:
        match = _SYMBOLS.fullmatch(symbol)
        if match is not None and match.lastgroup is not None:
            index = next(i for i in range(len(HELD_OUT)) if match.group(f"g{i}") is not None)
            return HELD_OUT[index].name, symbol
    return None
