"""Write the answers of a perfect model for a C file: clang's own IR, a file a function.

python answers.py FILE.c FOLDER
"""

import subprocess
import sys
from pathlib import Path

from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import find_toolchain

source, folder = map(Path, sys.argv[1:])
folder.mkdir(parents=True, exist_ok=True)
clang = find_toolchain().tool("clang")
flags = ["--target=x86_64-linux-gnu", "-Oz", "-fPIC", "-emit-llvm", "-c", "-o", "-"]
bitcode = subprocess.run([clang, *flags, source], check=True, capture_output=True).stdout
with Context() as context:
    module = context.parse(bitcode, str(source))
    for name in module.defined_functions():
        with extract_function(module, name) as one:
            (folder / f"{name}.ll").write_text(one.to_text())
