"""Every preset of AI-Toolkit against the keys that its own config classes read, as recorded at 0.12.26.

It ignores unknown keys without a word, so each one that a config holds must be found there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bracket.domain import Config, DatasetSplit, Picture, Prompt, Round, Source, Trial
from bracket.presets import Preset, VramProfile, list_presets
from bracket.search.space import effective, random_config
from bracket.trainers import Job, bare_job
from bracket.trainers.ai_toolkit.adapter import _setting_problems
from bracket.trainers.ai_toolkit.config import Run, dataset_entries, process, trial_settings
from bracket.trainers.ai_toolkit.keys import ALLOWED, UNET_ARCHS

RECORD = json.loads((Path(__file__).parents[1] / "data" / "ai-toolkit-keys.json").read_text("utf-8"))
CLASSES: dict[str, frozenset[str]] = {name: frozenset(keys) for name, keys in RECORD["classes"].items()}
PRESETS = [p for p in list_presets() if p.trainer == "ai_toolkit"]
PROCESS = {"type", "device", "training_folder", "training_seed", "sqlite_db_path", "network", "save", "datasets",
           "train", "logging", "model", "sample", "trigger_word", "performance_log_every"}  # fmt: skip
NETWORK_KWARGS = {"only_if_contains", "ignore_if_contains", "full_if_contains", "parameter_threshold", "attn_only"}
SCHEDULES = {
    "constant": set(), "cosine": {"eta_min"}, "linear": {"start_factor", "end_factor"},
    "constant_with_warmup": {"num_warmup_steps"},
}  # fmt: skip
"""The schedules that work there, and what they take."""
SOURCE = Source(Path("/pictures"), controls=(Path("/controls"),))
PICTURES = tuple(Picture(Path(f"/pictures/{n}.png"), f"a {n}", 64, 64, 0, (Path("/controls/0.png"),)) for n in range(3))
SPLIT = DatasetSplit(Path("/pictures"), PICTURES[:2], PICTURES[2:], ("a",), ("b",))

each = pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)


def job_of(preset: Preset, profile: VramProfile | None = None) -> Job:
    fixed = {**preset.fixed, **(profile.settings if profile else {})}
    weights = {w.key: w.default or "" for w in preset.weights}
    return replace(bare_job(preset), dataset=SPLIT, fixed=fixed, weights=weights, prompts=(Prompt("a 2", 1),))


def config_of(job: Job, config: Config) -> dict[str, Any]:
    trial = Trial("t", Round.SEARCH, "x", config, 3, 41, Path("/t"))
    settings = trial_settings(job, trial)
    run = Run("t", Path("/t"), Path("/t/db"), settings, job.prompts, 3, 41, 41, saves=True, validates=True)
    return process(job, run, dataset_entries(job, settings, [SOURCE]))


def configs(preset: Preset, count: int) -> Iterator[dict[str, Any]]:
    knobs = preset.knob_list()
    for config in (preset.baseline, *preset.curated_configs()):
        yield effective(config, knobs)
    rng = np.random.default_rng(7)
    for _ in range(count):
        yield random_config(knobs, rng)


@cache
def read_by(name: str) -> frozenset[str]:
    return CLASSES[name]


def unread(said: Mapping[str, Any]) -> list[str]:
    """Keys of a process that no class reads."""
    blocks = [("network", "NetworkConfig"), ("save", "SaveConfig"), ("train", "TrainConfig"), ("model", "ModelConfig"),
              ("logging", "LoggingConfig"), ("sample", "SampleConfig")]  # fmt: skip
    lost = [k for k in said if k not in PROCESS]
    for block, name in blocks:
        lost += [f"{block}.{k}" for k in said.get(block, {}) if k not in read_by(name)]
    for name, entries in (
        ("DatasetConfig", said["datasets"]),
        ("SampleItem", said["sample"]["samples"]),
        ("ValidationConfig", [said["train"].get("validation_config", {})]),
        ("ValidationItem", said["train"].get("validation_config", {}).get("validation_items", [])),
    ):
        lost += [f"{name}.{k}" for entry in entries for k in entry if k not in read_by(name) | {"prompt"}]
    return lost + [k for k in said.get("network", {}).get("network_kwargs", {}) if k not in NETWORK_KWARGS]


def test_what_bracket_allows_is_read_there() -> None:
    names = {"network": "NetworkConfig", "save": "SaveConfig", "train": "TrainConfig", "model": "ModelConfig",
             "sample": "SampleConfig", "datasets": "DatasetConfig", "train.ema_config": "EMAConfig",
             "train.validation_config": "ValidationConfig"}  # fmt: skip
    lost = [k for k in ALLOWED if (block := k.rpartition(".")[0]) in names
            and k.rpartition(".")[2] not in CLASSES[names[block]]]  # fmt: skip
    assert lost == []


def test_there_is_a_preset_for_each_model_that_was_asked_for() -> None:
    archs = {str(p.fixed["model.arch"]) for p in PRESETS}
    assert archs >= {
        "sd15", "sdxl", "flux", "flex1", "flex2", "chroma", "lumina2", "omnigen2", "qwen_image", "qwen_image_edit",
        "qwen_image_edit_plus", "zimage", "flux2_klein_4b", "flux2_klein_9b", "hidream", "wan21", "wan22_14b", "ltx2",
    }  # fmt: skip
    assert archs <= set(RECORD["archs"])
    assert sum(p.method == "lokr" for p in PRESETS) >= 4


@each
def test_the_adapter_finds_nothing_wrong_with_it(preset: Preset) -> None:
    for profile in (None, *preset.vram):
        assert _setting_problems(job_of(preset, profile)) == []


@each
def test_every_key_of_every_config_is_read_and_every_condition_holds(preset: Preset) -> None:
    job = job_of(preset)
    for config in configs(preset, 200):
        said = config_of(job, config)
        assert unread(said) == [], config
        assert broken(said) == [], config


@each
def test_every_profile_is_read_too(preset: Preset) -> None:
    assert preset.vram, "a profile for each amount of memory"
    for profile in preset.vram:
        job = job_of(preset, profile)
        for config in (effective(preset.baseline, job.knobs), random_config(job.knobs, np.random.default_rng(1))):
            said = config_of(job, config)
            assert unread(said) == [] and broken(said) == []
        allowed = {k.name: k.choices for k in job.knobs}
        assert all(set(choices) <= set(allowed[name]) for name, choices in profile.choices.items())


@each
def test_every_knob_changes_the_config(preset: Preset) -> None:
    job, rng = job_of(preset), np.random.default_rng(3)
    drawn = [random_config(job.knobs, rng) for _ in range(60)]
    for knob in job.knobs:
        pairs = (
            (config, effective({**preset.baseline, **config, knob.name: other}, job.knobs))
            for config in drawn
            for other in ((knob.low or 0.0, knob.high or 0.0) if knob.kind != "choice" else knob.choices)
        )
        moved = [(a, b) for a, b in pairs if all(a[n] == b.get(n) for n in a if n != knob.name) and a != b]
        assert moved, f"{knob.name} never moves alone"
        for one, other in moved[:20]:
            assert config_of(job, one) != config_of(job, other), knob.name


def broken(said: Mapping[str, Any]) -> list[str]:
    """Conditions between settings that a config doesn't keep."""
    train, network, model = said["train"], said["network"], said["model"]
    optimizer, schedule, unet = train["optimizer"], train["lr_scheduler"], model["arch"] in UNET_ARCHS
    taken, lokr = train.get("lr_scheduler_params", {}), network["type"] == "lokr"
    edits = model["arch"].startswith("qwen_image_edit")
    still = model["arch"] in {"flux", "flex1", "flex2", "chroma", "lumina2", "hidream"}
    rules = {
        "Prodigy takes lr 1": optimizer == "prodigy" and train["lr"] != 1.0,
        "Prodigy takes no warm-up": optimizer == "prodigy" and "warmup" in schedule,
        "Automagic takes an lr above 1e-3 for 1e-6": optimizer == "automagic" and train["lr"] > 1e-3,
        "a schedule gets what it doesn't take": set(taken) - SCHEDULES[schedule],
        "linear rises": schedule == "linear" and not taken["end_factor"] < taken["start_factor"],
        "a warm-up of no steps takes 1000": "warmup" in schedule and not taken.get("num_warmup_steps"),
        "eps comes twice": "eps" in train.get("optimizer_params", {}),
        "alpha and convolutions are dead": not unet and {"linear_alpha", "conv", "conv_alpha"} & set(network),
        "DDPM's noise settings are dead": not unet and {"noise_offset", "min_snr_gamma"} & set(train),
        "flow's noise settings are dead": unet and {"timestep_type", "content_or_style"} & set(train),
        "alpha is above twice the rank": unet and network["linear_alpha"] > 2 * network["linear"],
        "a full-rank LoKr has a factor and no rank": lokr and ("linear" in network or "lokr_factor" not in network),
        "another noise than the model's": (train["noise_scheduler"] == "ddpm") is not unet,
        "drawn with another noise": said["sample"]["sampler"] != train["noise_scheduler"],
        "a recovery adapter excludes an assistant": "|" in model.get("qtype", "") and model.get("assistant_lora_path"),
        "an edit model keeps its text encoder": edits and train.get("unload_text_encoder"),
        "an edit model has no validation": edits and train.get("validation_config"),
        "its layers can't be moved to the CPU": still and model.get("layer_offloading"),
    }
    return [rule for rule, is_broken in rules.items() if is_broken]


def test_the_conditions_are_really_looked_at() -> None:
    (preset,) = (p for p in PRESETS if p.name == "ai-toolkit-z-image-lora")
    said = config_of(job_of(preset), preset.baseline)
    assert broken(said) == [] and unread(said) == []
    said["train"] |= {"optimizer": "prodigy", "lr_scheduler_params": {"T_max": 3}, "noise_offset": 0.1, "learning": 1}
    said["network"]["linear_alpha"] = 4
    assert len(broken(said)) == 4 and unread(said) == ["train.learning"]
