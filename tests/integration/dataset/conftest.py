from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler import process
from llm_compiler.corpus.normalize import normalize
from llm_compiler.corpus.samples import Sample
from llm_compiler.corpus.shards import ShardManifest, write_manifest, write_shards
from llm_compiler.llvm.toolchain import Toolchain

pytest.importorskip("pyarrow")

TARGETS = ("x86_64-pc-linux-gnu", "aarch64-linux-gnu")

SOURCES = {
    "list.c": """
struct node { struct node *next; int value; };
int sum(const struct node *n) { int s = 0; for (; n; n = n->next) s += n->value; return s; }
struct node *reverse(struct node *n) {
  struct node *r = 0;
  while (n) { struct node *next = n->next; n->next = r; r = n; n = next; }
  return r;
}
""",
    "text.c": """
static const char *const names[] = {"zero # 0", "one // 1", "two", "many"};
const char *name(unsigned n) { return names[n < 3 ? n : 3]; }
unsigned hash(const char *s) { unsigned h = 5381; while (*s) h = h * 33 ^ *s++; return h; }
int is_vowel(int c) {
  switch (c) { case 'a': case 'e': case 'i': case 'o': case 'u': return 1; default: return 0; }
}
""",
    "numbers.c": """
double mean(const double *v, int n) { double s = 0; for (int i = 0; i < n; i++) s += v[i];
  return n ? s / n : 0; }
int isqrt(int n) { int r = 0; while ((r + 1) * (r + 1) <= n) r++; return r; }
long power(long b, unsigned e) { long r = 1; for (; e; e >>= 1, b *= b) if (e & 1) r *= b;
  return r; }
""",
    "throws.cc": """
struct Guard { int *p; ~Guard(); };
int risky(int);
int careful(int x) { Guard g{&x}; try { return risky(x); } catch (int e) { return e; } }
""",
}


@pytest.fixture(scope="session")
def samples_folder(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of eight small units in train, four for each target."""
    folder = tmp_path_factory.mktemp("samples")
    samples = []
    for name, source in SOURCES.items():
        for target in TARGETS:
            (folder / name).write_text(source)
            flags = ["-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-c", "-o", "-"]
            command = [toolchain.tool("clang"), f"--target={target}", *flags, folder / name]
            done = process.run(command, timeout_s=60)
            assert done.ok, done.stderr_text
            normal = normalize(done.stdout)
            samples.append(
                Sample(
                    module_hash=normal.module_hash,
                    kind="unit",
                    package=name.split(".")[0],
                    split="train",
                    target_triple=target,
                    bitcode=normal.bitcode,
                    text=normal.text,
                    size_bytes=500,
                )
            )
    out = folder / "shards"
    samples.sort(key=lambda sample: sample.target_triple)
    shards = tuple(write_shards(out, samples))
    write_manifest(out, ShardManifest(shards=shards, counts={}, config={}, tools={}))
    return out
