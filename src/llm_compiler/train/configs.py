"""A training run's configuration: one TOML file a stage and scale.

Values are checked where they are read; unknown keys are refused. Paths are relative to the folder
that the command runs in, `model` excepted: a name stands for `model/NAME.toml` in the folder above
the configuration's. `model` and `tokenizer` may be "init": those of the weights to start from. No
PyTorch here.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from llm_compiler.config_file import read_toml, read_value
from llm_compiler.dataset.stage_sample import STAGES
from llm_compiler.errors import ConfigError
from llm_compiler.model.configs import ModelConfig, load_model_config, read_hf_config
from llm_compiler.search.objective import object_objectives
from llm_compiler.train.checkpoint import find_weights

__all__ = [
    "STAGE_OF",
    "DataConfig",
    "LabelConfig",
    "LoraConfig",
    "TrainConfig",
    "load_train_config",
]

_MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


STAGE_OF: Final = {
    **{stage: stage for stage in STAGES},
    "repair": "disassembly",
    "finish": "disassembly",
    "synthetic": "disassembly",
}
"""What data may be named for, and the stage it belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where a stage's documents come from."""

    path: Path
    """Token shards, label shards (flag tuning), stage data (encoded while training), or samples
    (made while training)."""
    labels: Path | None = None
    """Of samples, for flag tuning."""
    texts: Path | None = None
    """Of samples, for pretraining."""
    share: float = 0.0
    """Of the tokens, for an earlier stage's data and for repairs; 0: an equal part of `mix_share`,
    for repairs all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """How flag tuning learns from label shards: from the sizes that all lists make of a module."""

    metric: str = "size_bytes"
    """What is to be small: ``size_bytes`` or ``text_data_bytes``."""
    savings_rounds: int = 1
    """After fewer rounds than this, the model learns what each list is to be expected to save, as
    far as the prompt tells: right for a choice of one. After others, and in documents of whole
    lists, it learns which list is best: right for choices of several, which should differ."""
    savings_temperature: float = 0.005
    """Lists whose expected savings differ by this share of default<Oz>'s size differ by a factor of
    e in probability."""
    temperature: float = 0.005
    """A list that is larger than the best one by this share of default<Oz>'s size has 1/e of its
    mass."""
    min_mass: float = 0.002
    """Passes with less mass are not predicted."""
    whole_share: float = 0.1
    """The share of the documents that predict whole lists; the others only where lists differ,
    which is enough for answers that are masked to the known lists, and costs a tenth."""
    max_rounds: int = 12
    """Lists that were tried, with the compiler's word on them, stand after the prompt: at most
    this number, drawn anew each time; 0: the model learns to answer without the compiler only."""
    num_choices: int = 3
    """The number of rounds after which the next list is predicted."""
    prompt_tokens: int = 0
    """Prompts are cut to this number of tokens; 0: as they were packed, as far as the context
    reaches."""

    def __post_init__(self) -> None:
        metrics = [objective.column for objective in object_objectives()]
        if self.metric not in metrics:
            wanted = " or ".join(metrics)
            raise ConfigError(f"labels.metric is '{self.metric}': expected {wanted}")
        for name in ("max_rounds", "num_choices", "prompt_tokens", "savings_rounds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100_000:
                raise ConfigError(f"labels.{name} is {value!r}: expected a whole number")
        for name, low, high in (
            ("temperature", 1e-6, 10.0),
            ("savings_temperature", 1e-6, 10.0),
            ("min_mass", 0.0, 0.5),
            ("whole_share", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"labels.{name} is {value!r}: expected a number")
            if not low <= value <= high:
                raise ConfigError(f"labels.{name} is {value}: expected {low:g} to {high:g}")
        tokens = self.prompt_tokens
        if not isinstance(tokens, int) or isinstance(tokens, bool) or 0 < tokens < 16 or tokens < 0:
            raise ConfigError(f"labels.prompt_tokens is {tokens!r}: expected 0, or 16 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """Adapters that are trained instead of the weights, which are frozen."""

    rank: int = 16
    alpha: float = 32.0
    """The adapters' product is multiplied by alpha / rank."""
    dropout: float = 0.0
    targets: tuple[str, ...] = _MATRICES
    """The matrices of each layer that get adapters."""

    def __post_init__(self) -> None:
        if not isinstance(self.rank, int) or isinstance(self.rank, bool) or self.rank < 1:
            raise ConfigError(f"lora.rank is {self.rank!r}: expected a whole number from 1 on")
        for name, low, high in (("alpha", 1e-6, 1e6), ("dropout", 0.0, 0.9)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"lora.{name} is {value!r}: expected a number")
            if not low <= value <= high:
                raise ConfigError(f"lora.{name} is {value}: expected {low:g} to {high:g}")
        if not self.targets or set(self.targets) - set(_MATRICES):
            raise ConfigError(f"lora.targets: expected some of {', '.join(_MATRICES)}")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON gives them back; the inverse of `of`."""
        return {**dataclasses.asdict(self), "targets": list(self.targets)}

    def num_parameters(self, model: ModelConfig) -> int:
        """Return how many numbers are trained."""
        hidden, inner = model.hidden_size, model.intermediate_size
        queries, keys = model.num_heads * model.head_size, model.num_kv_heads * model.head_size
        sides = dict(
            zip(
                _MATRICES,
                (hidden + queries, *[hidden + keys] * 2, queries + hidden, *[hidden + inner] * 3),
                strict=True,
            )
        )
        return model.num_layers * self.rank * sum(sides[name] for name in self.targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What a run does. Tokens a step: at most `row_tokens` times `rows_per_step`."""

    stage: str
    model: ModelConfig
    tokenizer: Path
    out: Path
    data: Mapping[str, DataConfig]
    """By stage: this one, and all before it unless `mix_share` is 0."""
    validation: Mapping[str, DataConfig] = field(default_factory=dict)
    """By stage: documents whose loss is measured, never learnt. No samples. Of label shards, the
    modules of the validation split."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    """How label shards are learnt from."""
    init: Path | None = None
    """A checkpoint, or a run whose last one is taken: weights to start from. None: random ones."""
    lora: LoraConfig | None = None
    """Train adapters beside the weights of `init`; None: all weights."""
    seed: int = 0
    context: int = 0
    """Tokens of the longest document; 0: the model's."""
    row_tokens: int = 8192
    """A row holds whole documents, up to this number of tokens: what is on the device at once."""
    rows_per_step: int = 8
    """Of all processes together."""
    max_steps: int = 1000
    learning_rate: float = 1e-3
    """At its peak."""
    min_learning_rate_ratio: float = 0.1
    """The last rate, as a share of the peak."""
    warmup_steps: int = 100
    optimizer: str = "adamw"
    """``adamw``, or ``muon`` for the layers' matrices and AdamW for the rest; not under FSDP."""
    weight_decay: float = 0.1
    """On matrices; not on norms."""
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    max_gradient_norm: float = 1.0
    mix_share: float = 0.15
    """Of the tokens: earlier stages' data, in equal parts."""
    precision: str = "auto"
    """``bf16``, ``fp32``, or ``auto``: bf16 on a GPU, and on a CPU that multiplies it by itself.
    Weights and sums are fp32 either way."""
    device: str = "auto"
    """``cpu``, ``cuda``, or ``auto``."""
    num_threads: int = 0
    """Of PyTorch on a CPU; 0: as many as it likes."""
    num_workers: int = 0
    """Processes that encode, or make, documents while training."""
    compile: bool = False
    """Compile the layers with torch.compile, on a GPU: a minute at the start, faster steps."""
    flash_attention: bool = True
    """On a GPU in bf16, where PyTorch has it: all documents of a row at once, instead of one by
    one."""
    gradient_checkpointing: bool = False
    """Recompute the layers' activations in the backward pass: a third more work, less memory."""
    log_every: int = 10
    """Steps."""
    validate_every: int = 0
    """Steps; 0: at the end only."""
    validation_documents: int = 200
    """Of each stage, the first ones."""
    checkpoint_every_steps: int = 0
    """0: by minutes only."""
    checkpoint_every_minutes: float = 10.0
    keep_checkpoints: int = 2
    """Older ones are deleted."""

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ConfigError(f"'{self.stage}' is not a stage: expected {', '.join(STAGES)}")
        positive = {"row_tokens", "rows_per_step", "max_steps", "learning_rate", "log_every"}
        positive |= {"keep_checkpoints", "max_gradient_norm", "validation_documents"}
        for each_field in dataclasses.fields(self):
            if each_field.type not in ("int", "float"):
                continue
            value = getattr(self, each_field.name)
            kind = int if each_field.type == "int" else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
                raise ConfigError(f"{each_field.name} is {value!r}: expected a number")
            if value < 0 or (value == 0 and each_field.name in positive):
                raise ConfigError(f"{each_field.name} is {value!r}: too small")
        for name in ("compile", "flash_attention", "gradient_checkpointing"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is {getattr(self, name)!r}: expected true or false")
        for name in ("mix_share", "min_learning_rate_ratio", "adam_beta1", "adam_beta2"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected 0 to 1")
        choices = {
            "precision": ("auto", "bf16", "fp32"),
            "device": ("auto", "cpu", "cuda"),
            "optimizer": ("adamw", "muon"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                wanted = ", ".join(allowed)
                raise ConfigError(f"{name} is '{getattr(self, name)}': expected {wanted}")
        if self.lora is not None and self.init is None:
            raise ConfigError("lora trains beside weights that are there: name them with --init")
        if self.context > self.model.context:
            raise ConfigError(f"context is {self.context}, but the model's is {self.model.context}")
        if self.row_tokens < self.document_tokens:
            raise ConfigError(
                f"row_tokens is {self.row_tokens}: a document of {self.document_tokens} tokens "
                "(context) does not fit"
            )
        needed = self.earlier_stages if self.mix_share else ()
        for stage in (self.stage, *needed):
            if stage not in self.data:
                raise ConfigError(f"[data.{stage}] is missing (see mix_share for earlier stages)")
        for stage in (*self.data, *self.validation):
            if stage not in STAGE_OF:
                raise ConfigError(
                    f"'{stage}' is neither a stage nor data beside one: expected "
                    f"{', '.join(STAGE_OF)}"
                )
        for stage, data in self.data.items():
            if isinstance(data.share, bool) or not isinstance(data.share, (int, float)):
                raise ConfigError(f"data.{stage}.share is {data.share!r}: expected a number")
            if not 0 <= data.share < 1:
                raise ConfigError(f"data.{stage}.share is {data.share}: expected 0 to 1")
        if self.shares()[self.stage] <= 0:
            raise ConfigError("the shares of earlier stages leave nothing for this one")

    @property
    def document_tokens(self) -> int:
        """Of the longest document."""
        return self.context or self.model.context

    @property
    def earlier_stages(self) -> tuple[str, ...]:
        """The stages before this one."""
        return STAGES[: STAGES.index(self.stage)]

    def shares(self) -> dict[str, float]:
        """Return each stage's share of the tokens."""
        shares = {
            name: self.data[name].share or self.mix_share / len(self.earlier_stages)
            for name in self.earlier_stages
            if name in self.data and (self.data[name].share or self.mix_share)
        }
        for name, stage in STAGE_OF.items():
            if name != stage == self.stage and name in self.data:
                shares[name] = self.data[name].share or self.mix_share
        return {self.stage: 1 - sum(shares.values()), **shares}


def load_train_config(
    path: Path, stage: str | None, *, settings: Sequence[str] = (), **overrides: Path | None
) -> TrainConfig:
    """Read a configuration.

    Args:
        stage: must be the file's; None: whatever it says.
        settings: ``key=value`` with dots for tables and values as in TOML, or plain text.
        overrides: fields of the command line; None: as the file says.

    Raises:
        ConfigError: with the file and the key.
    """
    values = read_toml(path)
    for setting in settings:
        _set(values, setting)
    values |= {name: str(value) for name, value in overrides.items() if value is not None}
    if stage is None and not isinstance(stage := values.get("stage"), str):
        raise ConfigError(f"{path}: 'stage' is missing")
    if values.get("stage", stage) != stage:
        raise ConfigError(f"{path} is for the stage '{values['stage']}', not '{stage}'")
    values["stage"] = stage
    for name in ("tokenizer", "model"):
        if not isinstance(values.get(name), str):
            raise ConfigError(f"{path}: {name} is {values.get(name)!r}: expected a path or a name")
    if values.get("init") == "":
        del values["init"]
    values["model"] = _model(path, values)
    return read_value(TrainConfig, values, str(path))


def _model(path: Path, values: dict[str, Any]) -> ModelConfig:
    """Return the model's shape, and put the tokenizer's folder in its place."""
    if values["tokenizer"] == "init":
        values["tokenizer"] = _init(path, values, "tokenizer")
    if values["model"] == "init":
        return read_hf_config(_init(path, values, "model"))
    name = str(values["model"])
    named = path.resolve().parent.parent / "model" / f"{name}.toml"
    return load_model_config(Path(name) if name.endswith(".toml") else named)


def _init(path: Path, values: dict[str, Any], name: str) -> Path:
    if "init" not in values:
        raise ConfigError(f'{path}: {name} is "init", but there is none: name it with --init')
    return find_weights(Path(values["init"]))


def _set(values: dict[str, Any], setting: str) -> None:
    key, equals, value = setting.partition("=")
    *tables, name = key.strip().split(".")
    if not equals or not name:
        raise ConfigError(f"--set {setting}: expected KEY=VALUE")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {setting}: '{table}' is no table")
    try:
        values[name] = tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        values[name] = value.strip()
