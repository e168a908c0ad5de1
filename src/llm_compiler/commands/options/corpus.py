"""What ``llm-compiler corpus`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import AsJson, PoolChoice, Running, timeout_option
from llm_compiler.corpus.plan import SampleConfig
from llm_compiler.option_fields import argument, default_of, natural, option, positive

__all__ = [
    "COMMAND",
    "BuildArguments",
    "CheckArguments",
    "SampleArguments",
    "StatsArguments",
    "SynthesizeArguments",
]


@dataclass(frozen=True, kw_only=True)
class BuildArguments:
    """As typed."""

    config: Path = option("--config", metavar="TOML")
    out: Path = option("--out", Path("work/corpus"), metavar="DIR")
    packages: str = option("--packages", "", metavar="A,B", help="only these")
    target_triple: tuple[str, ...] = option("--target-triple", (), repeat=True, metavar="T")
    jobs: int | None = option("--jobs", None, type=positive, metavar="N")


@dataclass(frozen=True, kw_only=True)
class SampleArguments(PoolChoice, Running):
    """As typed."""

    corpus: Path = argument("CORPUS")
    out: Path = option("--out", metavar="DIR")
    packages: str = option("--packages", "", metavar="A,B", help="only these")
    max_text_bytes: int = option(
        "--max-text-bytes",
        default_of(SampleConfig, "max_text_bytes"),
        type=positive,
        metavar="N",
        help="no module with a longer text (default: %(default)s)",
    )
    min_instructions: int = option(
        "--min-instructions",
        default_of(SampleConfig, "min_instructions"),
        type=natural,
        metavar="N",
        help="default: %(default)s",
    )
    max_instructions: int = option(
        "--max-instructions",
        default_of(SampleConfig, "max_instructions"),
        type=natural,
        metavar="N",
        help="0: as many as the text allows (default)",
    )
    max_package_functions: int = option(
        "--max-package-functions",
        default_of(SampleConfig, "max_package_functions"),
        type=natural,
        metavar="N",
        help="of one package and target; 0: all (default: %(default)s)",
    )
    unit_share: float = option(
        "--unit-share",
        default_of(SampleConfig, "unit_share"),
        metavar="X",
        help="the share of the units short enough that are samples too (default: %(default)s)",
    )
    threshold: float = option(
        "--threshold",
        default_of(SampleConfig, "threshold"),
        metavar="X",
        help="Jaccard index from which on two samples are clones (default: %(default)s)",
    )
    # A unit's first function waits until the whole unit is cut in halves, again and again.
    timeout_s: float = timeout_option(300.0)


@dataclass(frozen=True, kw_only=True)
class CheckArguments(AsJson):
    """As typed."""

    samples: Path = argument("DIR")
    threshold: float | None = option(
        "--threshold", None, metavar="X", help="default: the folder's own"
    )


@dataclass(frozen=True, kw_only=True)
class StatsArguments(AsJson):
    """As typed."""

    corpus: Path = argument("DIR", help="a corpus or a folder of samples")
    report: Path | None = option(
        "--report", None, metavar="DIR", help="of samples: write the tables and plots here"
    )
    tokenizer: Path | None = option(
        "--tokenizer", None, metavar="DIR", help="of samples: count tokens with this one too"
    )


@dataclass(frozen=True, kw_only=True)
class SynthesizeArguments:
    """As typed."""

    out: Path = option("--out", metavar="DIR")
    functions: int = option("--functions", 10_000, type=positive, metavar="N")
    seed: int = option("--seed", 0, type=natural, metavar="N")


COMMAND = Command(
    name="corpus",
    placeholder="build|sample|check|stats|synthesize",
    actions=(
        Command(
            name="build",
            help="fetch packages and compile their units to bitcode",
            options=BuildArguments,
            run="corpus:build",
        ),
        Command(
            name="stats",
            help="count units or samples by package, language, target and size",
            options=StatsArguments,
            run="corpus:stats",
        ),
        Command(
            name="sample",
            help="make normalised functions and units of a corpus, without duplicates",
            description="Extract the functions of a built corpus, normalise, measure and "
            "de-duplicate them, and write Parquet shards. Stopped, it goes on from the unit it "
            "was at.",
            options=SampleArguments,
            run="samples:build",
        ),
        Command(
            name="check",
            help="verify a folder of samples: hashes, and that no clone crosses splits",
            description="Verify the hashes of all shards and samples, and look for modules of "
            "validation and test that have a near duplicate in train.",
            options=CheckArguments,
            run="samples:check",
            negative="there is a near duplicate",
        ),
        Command(
            name="synthesize",
            help="write synthetic C: the small functions that real packages are poor in",
            description="Write files of small synthetic C functions, for 'corpus build' with "
            "configs/corpus/synthetic.toml. The same seed gives the same files.",
            options=SynthesizeArguments,
            run="corpus:synthesize",
        ),
    ),
)
