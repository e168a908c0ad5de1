"""``llm-compiler kit``: training on a borrowed GPU, from packing to shipping."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from llm_compiler.commands.options.kit import (
    PackArguments,
    ShipArguments,
    TrainArguments,
    WaitArguments,
)
from llm_compiler.console import print_json, print_table, progress
from llm_compiler.errors import ConfigError
from llm_compiler.extras import require

__all__ = ["pack", "ship", "train", "wait"]


def pack(options: PackArguments) -> int:
    """Pack data, weights and code into parts."""
    from llm_compiler.kit.pack import PART_BYTES, room_of
    from llm_compiler.kit.pack import pack as pack_parts
    from llm_compiler.train.configs import load_train_config

    config = load_train_config(
        options.config, None, settings=options.set, out=options.out, init=options.init
    )
    more: dict[str, list[Path]] = {}
    for addition in options.add:
        name, equals, path = addition.partition("=")
        if not equals:
            raise ConfigError(f"--add {addition}: expected SOURCE=DIR")
        more.setdefault(name, []).append(Path(path))
    size = options.part_bytes
    if options.beside is not None:
        size = min(size or PART_BYTES, room_of(options.beside))
    with progress(0, "members") as bar:
        report = pack_parts(
            config,
            options.out,
            more=more,
            part_bytes=size or PART_BYTES,
            max_parts=options.max_parts,
            on_progress=lambda done, words: bar.update(done, words),
        )
    if options.json:
        print_json(asdict(report))
        return 0
    rows = [
        (
            part["name"],
            f"{part['bytes'] / 2**20:.1f}",
            f"{sum(part['tokens'].values()) / 1e6:.2f}",
            ", ".join(f"{name} {count / 1e6:.2f}" for name, count in part["tokens"].items()),
        )
        for part in report.parts
    ]
    print_table(("part", "MiB", "M tokens", "of them"), rows, right="lrrl")
    print(f"{report.tokens:,} tokens; {report.duplicates:,} copies left out")
    return 0


def _require_torch() -> None:
    for name in ("safetensors", "torch", "transformers"):
        require(name, extra="train")


def train(options: TrainArguments) -> int:
    """Train for some minutes from the parts that have arrived."""
    from llm_compiler.kit.training import detach, train_parts

    # Before PyTorch is loaded: its threads do not survive a fork.
    if options.daemon and not detach(options.run / "daemon.log"):
        print(f"training in the background; its words are in {options.run / 'daemon.log'}")
        return 0
    _require_torch()
    status = train_parts(
        options.parts,
        options.run,
        minutes=options.minutes,
        max_steps=options.max_steps,
        save_s=options.save_s,
        wait_s=options.wait_s,
        device=options.device,
        threads=options.threads,
    )
    print(f"{status['state']} at step {status['step']}: {status['tokens']:,} tokens")
    return 0


def wait(options: WaitArguments) -> int:
    """Print how a run goes, and write its weights in pieces."""
    _require_torch()
    from llm_compiler.kit.training import wait as wait_for

    status = wait_for(
        options.run,
        options.out,
        minutes=options.minutes,
        every_s=options.every_s,
        piece_bytes=options.piece_bytes,
    )
    return 0 if status.get("step") else 1


def ship(options: ShipArguments) -> int:
    """Validate what came home, and ship it if it is better."""
    _require_torch()
    import llm_compiler
    from llm_compiler.kit.ship import ship as ship_weights
    from llm_compiler.train.configs import load_train_config

    config = load_train_config(options.config, None, settings=options.set, out=None, init=None)
    config = replace(config, validation_documents=options.documents)
    into = options.into or Path(llm_compiler.__file__).parent / "data" / "model"
    found = ship_weights(
        options.pieces, config, work=options.out, shipped=into, dry_run=options.dry_run
    )
    if options.json:
        fields = {**asdict(found), "checkpoint": str(found.checkpoint)}
        fields["comparisons"] = [
            {**asdict(comparison), "verdict": comparison.verdict}
            for comparison in found.comparisons
        ]
        print_json(fields)
    else:
        rows = [
            (
                comparison.task,
                comparison.unit,
                f"{comparison.old:.4f}",
                f"{comparison.new:.4f}",
                f"{comparison.new - comparison.old:+.4f} "
                f"[{comparison.low:+.4f}, {comparison.high:+.4f}]",
                str(comparison.num),
                comparison.verdict,
            )
            for comparison in found.comparisons
        ]
        header = ("unseen", "unit", "shipped", "new", "difference", "documents", "")
        print_table(header, rows, right="llrrrrl")
        print(f"step {found.step}, {found.checkpoint}: {found.reason}")
    return 0 if found.shipped or (options.dry_run and found.better) else 1
