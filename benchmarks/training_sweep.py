"""What learns most from as many characters: vocabularies, shapes, rates; and a scaling plot.

Small models are trained from random weights on stage data, each on as many characters, in steps of
as many characters, and measured on unseen stage data. Tokens differ between vocabularies, so the
loss is summed over the answers and divided by their characters. A variant is a list of settings:

    python benchmarks/training_sweep.py work/data/pairs work/data/pairs-validation \
        --work work/sweep --characters 3 --variant vocab=16384 --variant vocab=4096,layers=8

Tokenizers are trained on the texts of the training data, so that merges are those of the tasks'
own short forms; `tokenizer=DIR` takes one that is there. `init=DIR` begins with a checkpoint's
weights, carried over to the tokenizer (`train.transfer`), and to more layers. What is finished in
the folder of work is not done again, so that a killed sweep goes on. --plot draws loss against
arithmetic for all that the folder holds, and fits the lower envelope (`fit_envelope`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_compiler.console import print_json, print_table
from llm_compiler.dataset.stored import open_stored_stage, read_stage_samples
from llm_compiler.model.configs import ModelConfig, read_hf_config
from llm_compiler.model.prompts import encoded_texts
from llm_compiler.model.token_shards import pack_tokens
from llm_compiler.model.tokenizer import TOKENIZER_FILE, IrTokenizer, train_tokenizer
from llm_compiler.train.checkpoint import find_weights
from llm_compiler.train.configs import DataConfig, TrainConfig
from llm_compiler.train.progress import read_log
from llm_compiler.train.transfer import transfer_weights

CONTEXT = 3072


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What is trained; the fields are the settings of --variant."""

    vocab: int = 4096
    tokenizer: str = ""
    init: str = ""
    """A checkpoint to begin with, carried over to the tokenizer and to `layers`; its width is
    taken. Empty: random weights."""
    width: int = 256
    layers: int = 4
    heads: int = 0
    """0: of 64 numbers each."""
    rate: float = 2e-3
    optimizer: str = "muon"
    seed: int = 0
    characters: float = 0.0
    """Millions; 0: as --characters says."""

    @classmethod
    def of(cls, text: str) -> Variant:
        kinds = {name: type(value) for name, value in dataclasses.asdict(cls()).items()}
        pairs = (part.split("=", 1) for part in text.split(",") if part)
        return cls(**{name: kinds[name](value) for name, value in pairs})

    @property
    def name(self) -> str:
        own, default = dataclasses.asdict(self), dataclasses.asdict(Variant())
        parts = [f"{k}={v}" for k, v in own.items() if v != default[k] or k == "vocab"]
        return ",".join(parts).replace("/", "_")

    def shape(self, vocab_size: int) -> ModelConfig:
        heads = self.heads or max(1, self.width // 64)
        return ModelConfig(
            name="sweep",
            vocab_size=vocab_size,
            hidden_size=self.width,
            intermediate_size=self.width * 5 // 2,
            num_layers=self.layers,
            num_heads=heads,
            num_kv_heads=max(1, heads // 2),
            context=CONTEXT,
            tie_embeddings=True,
        )


def texts(folder: Path) -> Iterator[str]:
    for path in open_stored_stage(folder).paths:
        for sample in read_stage_samples(path):
            yield from encoded_texts(sample)


def answer_characters(folder: Path) -> int:
    """Return the characters of all answers that fit, as any tokenizer has to write them."""
    found = 0
    for path in open_stored_stage(folder).paths:
        for sample in read_stage_samples(path):
            if written := encoded_texts(sample):
                found += len(written[-1])
    return found


def make_tokenizer(options: argparse.Namespace, variant: Variant) -> IrTokenizer:
    if variant.tokenizer:
        return IrTokenizer(Path(variant.tokenizer))
    folder = options.work / f"tokenizer-{variant.vocab}"
    if not (folder / TOKENIZER_FILE).is_file():
        train_tokenizer(texts(options.train), folder, vocab_size=variant.vocab)
    return IrTokenizer(folder)


def measure(options: argparse.Namespace, variant: Variant) -> dict[str, Any]:
    """Train one variant, and return what became of it; at once if it is done."""
    from llm_compiler.train.loop import train

    folder = options.work / "runs" / variant.name
    done = folder / "result.json"
    if done.exists():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    tokenizer = make_tokenizer(options, variant)
    tokens = options.work / f"tokens-{tokenizer.fingerprint[:12]}"
    context = CONTEXT
    learnt = pack_tokens(options.train, tokenizer.folder, tokens / "train", context=context)
    unseen = pack_tokens(
        options.validation, tokenizer.folder, tokens / "validation", context=context
    )
    if learnt.num_too_long or unseen.num_too_long:
        print(f"{variant.name}: {learnt.num_too_long}, {unseen.num_too_long} are too long")
    a_token = sum(map(len, texts(options.train))) / learnt.num_tokens
    characters = 1e6 * (variant.characters or options.characters)
    shape, init = variant.shape(tokenizer.vocab_size), None
    if variant.init:
        init = options.work / "init" / variant.name
        layers = read_hf_config(find_weights(Path(variant.init))).num_layers
        if not init.exists():
            transfer_weights(
                Path(variant.init),
                init,
                tokenizer=tokenizer.folder,
                num_layers=variant.layers if variant.layers != layers else 0,
            )
        shape = dataclasses.replace(read_hf_config(init), context=CONTEXT)
    row = max(CONTEXT, round(options.step_characters / options.rows_per_step / a_token))
    config = TrainConfig(
        stage="disassembly",
        model=shape,
        init=init,
        tokenizer=tokenizer.folder,
        out=folder,
        data={"disassembly": DataConfig(path=tokens / "train")},
        validation={"disassembly": DataConfig(path=tokens / "validation")},
        validation_documents=10**6,
        validate_every=options.validate_every,
        row_tokens=row,
        rows_per_step=options.rows_per_step,
        max_steps=max(1, round(characters / options.step_characters)),
        learning_rate=variant.rate,
        min_learning_rate_ratio=0.03,
        warmup_steps=20,
        optimizer=variant.optimizer,
        mix_share=0.0,
        log_every=10,
        num_threads=options.threads,
        checkpoint_every_minutes=2.0,
        keep_checkpoints=1,
        seed=variant.seed,
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    outcome = train(config, resume=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    answers = answer_characters(options.validation)
    loss = outcome.validation["disassembly"]
    # Tokens of answers, by what a step says of itself; operations as the loop counts them.
    share = learnt.num_answer_tokens / learnt.num_tokens
    mean = learnt.num_tokens / learnt.num_documents
    flops = config.model.training_flops(
        tokens=outcome.tokens,
        answer_tokens=round(share * outcome.tokens),
        squared_lengths=round(mean * outcome.tokens),
    )
    curve = [
        (line["tokens"], line["validation"]["disassembly"]["loss"] * loss["num_tokens"] / answers)
        for line in read_log(folder)
        if "validation" in line
    ]
    found = {
        "variant": variant.name,
        "parameters": config.model.num_parameters,
        "million_characters": round(outcome.tokens * a_token / 1e6, 3),
        "characters_a_token": round(a_token, 3),
        "tokens": outcome.tokens,
        "flops": flops,
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "nats_a_character": round(loss["loss"] * loss["num_tokens"] / answers, 5),
        "curve": curve,
    }
    done.write_text(json.dumps(found) + "\n")
    return found


def fit_envelope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return k and c of loss = k * flops^-c through the lower envelope of (flops, loss).

    The envelope are the points that no other reaches with less arithmetic; least squares of the
    logarithms.
    """
    best: list[tuple[float, float]] = []
    for flops, loss in sorted(points):
        if not best or loss < best[-1][1]:
            best.append((flops, loss))
    xs, ys = ([math.log(pair[side]) for pair in best] for side in (0, 1))
    if len(best) < 2:
        return math.exp(ys[0]), 0.0
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    slope /= sum((x - mean_x) ** 2 for x in xs)
    return math.exp(mean_y - slope * mean_x), -slope


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for row in rows:
        scale = row["flops"] / row["tokens"]
        xs, ys = zip(*((tokens * scale, loss) for tokens, loss in row["curve"]), strict=True)
        label = f"{row['variant']} ({row['parameters'] / 1e6:.1f} M)"
        axes.plot(xs, ys, "o-", ms=3, lw=0.8, label=label)
    k, c = fit_envelope([(row["flops"], row["nats_a_character"]) for row in rows])
    low, high = (limit(row["flops"] for row in rows) for limit in (min, max))
    ends = [low, 100 * high]
    axes.plot(ends, [k * x**-c for x in ends], "k--", lw=0.8, label=f"{k:.3g} x flops^-{c:.3f}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations of training")
    axes.set_ylabel("nats a character of unseen answers")
    axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("train", type=Path, help="stage data, disassembly")
    parser.add_argument("validation", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--variant", type=Variant.of, action="append", default=[])
    parser.add_argument("--characters", type=float, default=3.0, help="millions, of each model")
    parser.add_argument("--step-characters", type=float, default=12_000)
    parser.add_argument("--rows-per-step", type=int, default=1)
    parser.add_argument("--validate-every", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for variant in options.variant:
        rows.append(measure(options, variant))
        if options.json:
            print_json(rows[-1])
    if not options.variant:
        results = sorted((options.work / "runs").glob("*/result.json"))
        rows = [json.loads(path.read_text()) for path in results]
    if options.plot is not None and rows:
        plot(rows, options.plot)
    print_table(
        (
            "variant",
            "M parameters",
            "M characters",
            "characters a token",
            "operations",
            "processor s",
            "nats a character",
        ),
        [
            (
                row["variant"],
                f"{row['parameters'] / 1e6:.2f}",
                f"{row['million_characters']:.2f}",
                f"{row['characters_a_token']:.2f}",
                f"{row['flops']:.2e}",
                f"{row['cpu_s']:.0f}",
                f"{row['nats_a_character']:.4f}",
            )
            for row in rows
        ],
        right="lrrrrrr",
    )
    k, c = fit_envelope([(row["flops"], row["nats_a_character"]) for row in rows])
    print(f"lower envelope: {k:.4g} * operations^-{c:.4f} nats a character")


if __name__ == "__main__":
    main()
