"""``llm-compiler train``: plan or run one training stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from llm_compiler.commands.options.train import TrainArguments
from llm_compiler.console import note, print_json, print_table, progress
from llm_compiler.extras import require
from llm_compiler.train.configs import TrainConfig, load_train_config
from llm_compiler.train.plan import ASSUMED_SHARE, Plan, make_plan

__all__ = ["run"]


def run(options: TrainArguments) -> int:
    """Print the plan, or train."""
    settings = [*options.set, *([f"lora.rank={options.lora}"] if options.lora else [])]
    config = load_train_config(
        options.config, options.stage, settings=settings, out=options.out, init=options.init
    )
    if options.plan:
        _print_plan(config, make_plan(config), as_json=options.json)
        return 0
    return _train(config, options)


def _train(config: TrainConfig, options: TrainArguments) -> int:
    for name in ("accelerate", "safetensors", "torch", "transformers"):
        require(name, extra="train")  # only training needs it
    from llm_compiler.train.loop import train

    with progress(config.max_steps, config.stage) as bar:
        outcome = train(
            config,
            resume=options.resume,
            max_minutes=options.max_minutes,
            on_progress=lambda step, words: bar.update(step, words),
        )
    fields = {**asdict(outcome), "checkpoint": str(outcome.checkpoint)}
    if options.json:
        print_json(fields)
    else:
        loss = "" if outcome.loss is None else f", loss {outcome.loss:.4f}"
        print(
            f"{outcome.status} at step {outcome.step}: {outcome.tokens} tokens{loss}, "
            f"{outcome.seconds:.0f} s; {outcome.checkpoint}"
        )
        rows = [
            (task, f"{table['loss']:.4f}", f"{table['num_tokens']:.0f}")
            for task, table in outcome.validation.items()
        ]
        if rows:
            print_table(("unseen", "loss", "tokens"), rows, right="lrr")
        _print_savings(outcome.savings)
    if outcome.status == "interrupted":
        note("go on with --resume")
        return 130
    return 0


def _print_savings(savings: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what the model's first lists save on unseen modules, beside the coreset's."""
    for target, found in savings.items():
        rows = [
            (name, *(f"{100 * figures[key]:.2f} %" for key in ("total", "geomean")))
            for name, figures in found.items()
            if isinstance(figures, Mapping)
        ]
        title = f"{target}: lists tried on {found['num_modules']} unseen modules"
        print_table((title, "saved, total", "geomean"), rows, right="lrr")


def _print_plan(config: TrainConfig, plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(plan))
        return
    gigabytes = 1e9
    rows = [
        ("parameters", f"{plan.num_parameters / 1e6:,.1f} M"),
        ("of them in layers", f"{plan.num_block_parameters / 1e6:,.1f} M"),
        ("trained", f"{plan.num_trained_parameters / 1e6:,.1f} M"),
        ("checkpoint", f"{plan.checkpoint_bytes / gigabytes:,.3f} GB"),
        ("tokens per step", f"{plan.tokens_per_step:,}"),
        ("tokens in all", f"{plan.num_tokens / 1e9:,.3f} billion"),
        ("operations", f"{plan.total_flops:.2e}"),
        ("weights, gradients, moments", f"{plan.state_bytes / gigabytes:,.2f} GB"),
        ("activations of a row", f"{plan.activation_bytes / gigabytes:,.2f} GB"),
    ]
    if plan.measured_tokens_per_s is not None and plan.measured_days is not None:
        rows.append(("measured", f"{plan.measured_tokens_per_s:,.0f} tokens/s"))
        rows.append(("left at that pace", _time(plan.measured_days)))
    print_table((f"{config.stage}, {config.model.name}", ""), rows, right="lr")
    print(f"\nat {100 * ASSUMED_SHARE:.0f} % of the peak (small models reach less):")
    table = []
    for name, days in plan.days.items():
        devices = plan.devices_for_memory[name]
        memory = plan.bytes_a_device[devices] / gigabytes if devices else 0.0
        table.append(
            (
                name,
                _time(days),
                str(devices) if devices else "-",
                f"{memory:,.1f}" if devices else "-",
                _time(days / devices) if devices else "-",
            )
        )
    header = ("GPU", "on one", "GPUs for memory", "GB each", "on them")
    print_table(header, table, right="lrrrr")


def _time(days: float) -> str:
    return f"{days:,.1f} days" if days >= 2 else f"{24 * days:,.2f} h"
