"""What the samples of a stage depend on; read by the command line without what makes samples."""

from __future__ import annotations

from dataclasses import dataclass

from llm_compiler.errors import ConfigError

__all__ = ["StageOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOptions:
    """What a stage's samples depend on besides the corpus, the seed and the index."""

    max_characters: int = 48_000
    """Of input and output together; longer draws are replaced."""
    max_instructions: int = 20_000
    """Modules that grow beyond it between passes are given up."""
    compiler_share: float = 0.85
    code_share: float = 0.14
    text_share: float = 0.01
    """pretraining: the mix of IR and assembly, source code, and prose, by characters (the paper:
    by tokens)."""
    mean_characters: int = 3_400
    """pretraining: of a sample of IR or assembly, on average; turns the mix into odds. Measured on
    the Debian corpus, both targets (docs/dataset.md)."""
    assembly_share: float = 0.5
    """pretraining, emulation: assembly instead of IR."""
    max_passes: int = 50
    short_share: float = 0.35
    """emulation: lists of 1 to 4 passes."""
    pipeline_share: float = 0.15
    """emulation: one default pipeline alone; the rest are 1 to `max_passes` passes, drawn
    uniformly."""
    oz_share: float = 0.6
    """disassembly: optimised with -Oz; the rest with one of -O0 to -O3 and -Os."""

    def __post_init__(self) -> None:
        shares = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if "share" in name
        }
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ConfigError(f"{name} is {share}: expected a share between 0 and 1")
        if self.short_share + self.pipeline_share > 1:
            raise ConfigError("short_share and pipeline_share are more than everything")
        if self.compiler_share <= 0:
            raise ConfigError("compiler_share must be above 0")
        if min(self.max_characters, self.max_instructions, self.max_passes) < 1:
            raise ConfigError("max_characters, max_instructions and max_passes start at 1")
