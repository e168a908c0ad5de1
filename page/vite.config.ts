import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { defineConfig, type Plugin } from "vite";

const OUT = "../src/llm_compiler/data/page";

/** What the page is made of; a test of the package hashes the same files in the same way. */
function sources(): string[] {
  const own = readdirSync("src", { recursive: true, encoding: "utf8" }).map((name) => join("src", name));
  const files = own.filter((name) => /\.\w+$/.test(name));
  return [...files, "index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"].sort();
}

function hashes(folder: string, names: string[]): Record<string, string> {
  return Object.fromEntries(
    names.map((name) => [name, createHash("sha256").update(readFileSync(join(folder, name))).digest("hex")]),
  );
}

/** Writes beside the built files which sources they were made from. */
const manifest: Plugin = {
  name: "manifest",
  closeBundle() {
    const built = readdirSync(OUT, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== "build.json")
      .map((entry) => relative(OUT, join(entry.parentPath, entry.name)))
      .sort();
    const found = { sources: hashes(".", sources()), built: hashes(OUT, built) };
    writeFileSync(join(OUT, "build.json"), JSON.stringify(found, null, 1) + "\n");
  },
};

export default defineConfig({
  base: "./",
  plugins: [manifest],
  server: { proxy: { "/v1": "http://127.0.0.1:8080" } },
  build: { outDir: OUT, emptyOutDir: true, target: "es2022", modulePreload: false, assetsInlineLimit: 0, chunkSizeWarningLimit: 1500 },
});
