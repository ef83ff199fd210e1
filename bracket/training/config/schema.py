"""What a training config may hold: the keys, their types and their defaults (see docs/contracts.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A map of the config. Keys it doesn't know are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class CaptionedFile(Section):
    path: Path
    caption: str


class ModelSection(Section):
    """`path` is a folder in diffusers format or a hub id.

    Klein has no text mask, so training and sampling must pad to the same `text_length`.
    """

    path: str
    text_length: int = Field(default=512, ge=1)
    text_layers: tuple[int, ...] = Field(default=(9, 18, 27), min_length=1)


class DataSection(Section):
    """Pictures come from `train` or from `folder` (every picture there, with a .txt of the same name)."""

    train: tuple[CaptionedFile, ...] = ()
    validation: tuple[CaptionedFile, ...] = ()
    folder: Path | None = None
    resolution: int = Field(default=512, ge=16)
    buckets: bool = True
    caption_dropout: float = Field(default=0.0, ge=0, le=1)
    cache_dir: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if bool(self.train) == bool(self.folder):
            raise ValueError("needs either train (a list of path and caption) or folder, and not both")
        return self


class LoraSection(Section):
    """`alpha` defaults to `rank`. `targets` is a regular expression over module names, or a list of name endings."""

    rank: int = Field(default=16, ge=1)
    alpha: float | None = Field(default=None, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: str | tuple[str, ...] | None = None


class OptimizerSection(Section):
    name: Literal["adamw", "adafactor", "prodigy"] = "adamw"
    learning_rate: float = Field(default=1e-4, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)


class TrainSection(Section):
    """`batch_size` is per process; `max_grad_norm` 0 means no clipping.

    `schedule_steps` is the length the schedule is laid out for, 0 for `steps`: a shorter run is then a prefix of it.
    """

    steps: int = Field(default=1000, ge=1)
    schedule_steps: int = Field(default=0, ge=0)
    batch_size: int = Field(default=1, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    max_grad_norm: float = Field(default=1.0, ge=0)
    schedule: Literal["constant", "cosine", "linear", "constant_with_warmup"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    gradient_checkpointing: bool = False


class LossSection(Section):
    weighting: Literal["none", "sigma_sqrt", "logit_normal", "mode", "cosmap"] = "none"
    base: Literal["mse", "l1", "huber", "logcosh"] = "mse"
    timestep_shift: float = Field(default=1.0, gt=0)
    logit_mean: float = 0.0
    logit_std: float = Field(default=1.0, gt=0)
    mode_scale: float = 1.29
    huber_delta: float = Field(default=1.0, gt=0)


class ValidationSection(Section):
    """`every` 0 validates at step 0 and at the end only; `timesteps` is how many a held-out picture is tried at."""

    every: int = Field(default=0, ge=0)
    timesteps: int = Field(default=8, ge=1)


class CheckpointSection(Section):
    """`every` 0 saves at the end only; `keep` is how many step checkpoints stay beside the final one."""

    every: int = Field(default=0, ge=0)
    keep: int = Field(default=2, ge=1)


class PromptSection(Section):
    """What to draw; size, steps and guidance where they are others than those of the rest."""

    text: str
    seed: int = Field(default=0, ge=0)
    negative: str = ""
    width: int | None = Field(default=None, ge=16)
    height: int | None = Field(default=None, ge=16)
    steps: int | None = Field(default=None, ge=1)
    guidance: float | None = Field(default=None, ge=0)


class DrawSection(Section):
    """How pictures are drawn. `guidance` above 1 is classifier-free guidance, which costs a second pass."""

    width: int = Field(default=512, ge=16)
    height: int = Field(default=512, ge=16)
    steps: int = Field(default=28, ge=1)
    guidance: float = Field(default=4.0, ge=0)
    batch_size: int = Field(default=4, ge=1)


class SampleSection(DrawSection):
    """`every` 0 draws after training only."""

    every: int = Field(default=0, ge=0)
    prompts: tuple[PromptSection, ...] = ()


class TrialSection(Section):
    """One trial of a launch: its folder, its seed, and dotted keys that differ from the rest of the config."""

    output_dir: Path
    seed: int | None = None
    set: dict[str, Any] = {}


class TrainingConfig(Section):
    """A whole config. `device` auto is the best there is; `dtype` auto is bfloat16 on CUDA, else float32."""

    output_dir: Path
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    model: ModelSection
    data: DataSection
    lora: LoraSection = LoraSection()
    optimizer: OptimizerSection = OptimizerSection()
    train: TrainSection = TrainSection()
    loss: LossSection = LossSection()
    validation: ValidationSection = ValidationSection()
    checkpoint: CheckpointSection = CheckpointSection()
    sample: SampleSection = SampleSection()

    @property
    def cache_dir(self) -> Path:
        return self.data.cache_dir or self.output_dir / "cache"


class SampleRequest(DrawSection):
    """What `python -m bracket.training.sample` reads. `checkpoint` null draws with the bare base."""

    model: str
    checkpoint: Path | None = None
    prompts: tuple[PromptSection, ...] = Field(min_length=1)
    out: Path
    text_length: int = Field(default=512, ge=1)
    text_layers: tuple[int, ...] = Field(default=(9, 18, 27), min_length=1)
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    cache_dir: Path | None = None
