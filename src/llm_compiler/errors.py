"""Every error that this package raises on purpose, and the exit code each one ends a command with.

::

    LlmCompilerError                                                         exit 1
    ├─ ConfigError                                                                2
    ├─ ToolchainError: ToolchainNotFound, ToolchainMismatch                       3
    ├─ InputError: IrParseError(line, column), UnknownPass, UnsupportedTarget     4
    ├─ CompilerError: CompileFailed, PassCrashed                                  5
    ├─ ResourceError: TimedOut, OutOfMemory, WorkerLost                           6
    ├─ ArtifactError: ShardCorrupt, ManifestMissing, TokenizerMismatch,
    │                 CheckpointMismatch, EngineError                             7
    └─ OutputError                                                                8

A message is one sentence that says what was tried, on which input, in LLVM's own words where it
has any, and what to do next. `detail` carries the compiler's full diagnostics, if there are any.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ArtifactError",
    "CheckpointMismatch",
    "CompileFailed",
    "CompilerError",
    "ConfigError",
    "EngineError",
    "InputError",
    "IrParseError",
    "LlmCompilerError",
    "ManifestMissing",
    "OutOfMemory",
    "OutputError",
    "PassCrashed",
    "ResourceError",
    "ShardCorrupt",
    "TimedOut",
    "TokenizerMismatch",
    "ToolchainError",
    "ToolchainMismatch",
    "ToolchainNotFound",
    "UnknownPass",
    "UnsupportedTarget",
    "WorkerLost",
]


class LlmCompilerError(Exception):
    """The root: catching it catches everything that this package raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class ConfigError(LlmCompilerError):
    """Options or a configuration file that do not fit together."""

    exit_code = 2


class ToolchainError(LlmCompilerError):
    """LLVM cannot be used as it is installed."""

    exit_code = 3


class ToolchainNotFound(ToolchainError):
    """No clang, opt or libLLVM of a supported version was found."""


class ToolchainMismatch(ToolchainError):
    """clang, opt and libLLVM are there, but not of one version."""


class InputError(LlmCompilerError):
    """The user's input cannot be read or is not what it should be."""

    exit_code = 4


class IrParseError(InputError):
    """Text or bitcode that LLVM does not accept as a module.

    `line` and `column` count from 1; both are 0 where LLVM names no place (bitcode).
    """

    def __init__(self, message: str, *, line: int = 0, column: int = 0, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.line = line
        self.column = column


class UnknownPass(InputError):
    """A pass list that names a pass which LLVM or the registry does not have."""


class UnsupportedTarget(InputError):
    """A target triple that the loaded libLLVM cannot generate code for."""


class CompilerError(LlmCompilerError):
    """The compiler failed on valid input."""

    exit_code = 5


class CompileFailed(CompilerError):
    """clang, opt or code generation ended with an error."""


class PassCrashed(CompilerError):
    """LLVM died (signal, abort) inside a pass."""


class ResourceError(LlmCompilerError):
    """Time, memory or a worker ran out."""

    exit_code = 6


class TimedOut(ResourceError):
    """A step took longer than its limit."""


class OutOfMemory(ResourceError):
    """A step needed more memory than its limit."""


class WorkerLost(ResourceError):
    """Worker processes keep dying or cannot be started."""


class ArtifactError(LlmCompilerError):
    """Stored data (store, shard, checkpoint) is missing or damaged."""

    exit_code = 7


class ShardCorrupt(ArtifactError):
    """A data file does not match its recorded hash or format."""


class ManifestMissing(ArtifactError):
    """A data folder without its manifest: its build never finished."""


class TokenizerMismatch(ArtifactError):
    """Tokens were made by another tokenizer than the model's."""


class CheckpointMismatch(ArtifactError):
    """A checkpoint does not fit the configuration it is loaded with."""


class EngineError(ArtifactError):
    """A model could not answer: its runtime failed, or its server does not answer or refuses."""


class OutputError(LlmCompilerError):
    """The result cannot be written where the user asked for it."""

    exit_code = 8
