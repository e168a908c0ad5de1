/* Runs one of the programs of a suite that are linked with it, in an instance of WebAssembly.
 *
 * Its name is the instance's first argument. run_wasm.mjs makes an instance for each program, keeps
 * what it prints and says how it ended. A program whose main is not linked is told on standard error.
 * Compiled together with a table that is generated for the suite (verify/wasm.py).
 */
#include <string.h>
#include <unistd.h>

struct program {
    const char *name;
    int (*with_arguments)(int, char **);
    int (*without)(void);
};
extern const struct program llm_compiler_programs[];
extern const int llm_compiler_num_programs;

int main(int argc, char **argv) {
    for (int i = 0; i < llm_compiler_num_programs; i++) {
        const struct program *program = &llm_compiler_programs[i];
        if (argc < 1 || strcmp(program->name, argv[0])) continue;
        if (program->with_arguments) return program->with_arguments(argc, argv);
        if (program->without) return program->without();
    }
    static const char missing[] = "llm-compiler: missing\n";
    write(2, missing, sizeof missing - 1);
    return 1;
}
