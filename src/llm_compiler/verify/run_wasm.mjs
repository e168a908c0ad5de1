// Runs programs of one WebAssembly module under Node's WASI, each in an instance of its own.
//   node run_wasm.mjs MODULE [-k] SECONDS PROGRAM...
// For each program, on standard output: "@NAME\n" when it begins, then "NAME KIND NUMBER LENGTH\n" and
// LENGTH bytes that it printed, when it ends. KIND: exit, signal (a trap), missing (its main is not
// linked). Ends after the first program that does not exit with 0; with -k it goes on. Who starts this
// keeps the time. Programs see no file and no variable of the environment.
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WASI } from 'node:wasi';

const SIGILL = 4, SIGSEGV = 11, SIGXFSZ = 25, MAX_OUTPUT_BYTES = 1 << 20;
const [path, ...words] = process.argv.slice(2);
const goesOn = words[0] === '-k';
const names = words.slice(goesOn ? 2 : 1);
const module = await WebAssembly.compile(readFileSync(path));
const folder = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'run-wasm-'));

function writeAll(bytes) {
    for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
}

async function run(name) {
    const output = openSync(join(folder, 'output'), 'w+'), errors = openSync(join(folder, 'errors'), 'w+');
    const input = openSync('/dev/null', 'r');
    let kind = 'exit', number = 0;
    try {
        const wasi = new WASI({
            version: 'preview1', args: [name], env: {}, returnOnExit: true,
            stdin: input, stdout: output, stderr: errors,
        });
        const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
        number = wasi.start(instance) & 0xff;
    } catch (error) {
        kind = 'signal';
        number = error instanceof WebAssembly.RuntimeError && /unreachable/.test(error.message) ? SIGILL : SIGSEGV;
    }
    if (number && readFileSync(join(folder, 'errors')).includes('llm-compiler: missing')) {
        kind = 'missing';
        number = 0;
    }
    if (fstatSync(output).size > MAX_OUTPUT_BYTES) [kind, number] = ['signal', SIGXFSZ];
    const printed = readFileSync(join(folder, 'output')).subarray(0, MAX_OUTPUT_BYTES);
    for (const file of [input, output, errors]) closeSync(file);
    writeAll(Buffer.from(`${name} ${kind} ${number} ${printed.length}\n`));
    writeAll(printed);
    return kind === 'exit' && number === 0;
}

try {
    for (const name of names) {
        writeAll(Buffer.from(`@${name}\n`));
        if (!await run(name) && !goesOn) break;
    }
} finally {
    rmSync(folder, { recursive: true, force: true });
}
