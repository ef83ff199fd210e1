"""A tiny random Klein pipeline and a few drawn pictures, built once; trials run as real processes or in this one."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from bracket.demo.shapes import all_specs, draw, random_pictures
from bracket.training.config.schema import TrainingConfig

Config = dict[str, Any]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Klein pipeline of one double and one single block, 32 wide."""
    import torch
    from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel

    from bracket.training.embedded.models import make_scheduler, make_text_encoder, make_tokenizer, make_vae

    torch.set_num_threads(1)
    torch.manual_seed(0)
    vae, tokenizer = make_vae(), make_tokenizer()
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2.0)
    text_encoder = make_text_encoder(len(tokenizer), hidden=16)
    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=4 * vae.config.latent_channels,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * 16,
        timestep_guidance_channels=16,
        mlp_ratio=2.0,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    folder = tmp_path_factory.mktemp("model")
    Flux2KleinPipeline(
        scheduler=make_scheduler(), vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, transformer=transformer
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven captioned pictures: five square, two wide."""
    folder = tmp_path_factory.mktemp("pictures")
    drawn = random_pictures(np.random.default_rng(0), 7, all_specs(("star",)))
    for number, (picture, pixels) in enumerate(zip(drawn, draw(drawn), strict=True)):
        image = Image.fromarray(pixels)
        image.resize((96, 48) if number >= 5 else (64, 64)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(picture.caption("zorp"))
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(model: Path, pictures: Path, cache: Path, tmp_path: Path) -> Config:
    """A config of a short trial, as a tree to change."""
    return {
        "output_dir": str(tmp_path / "out"),
        "device": "cpu",
        "model": {"path": str(model), "text_length": 16, "text_layers": [1, 2, 3]},
        "data": {
            "folder": str(pictures),
            "validation": [{"path": str(pictures / "0.png"), "caption": "a star"}],
            "resolution": 64,
            "cache_dir": str(cache),
        },
        "lora": {"rank": 4},
        "optimizer": {"learning_rate": 1e-2},
        "train": {"steps": 6, "batch_size": 2},
        "validation": {"timesteps": 3},
        "sample": {"width": 64, "height": 64, "steps": 2, "guidance": 3.0, "prompts": [{"text": "a zorp", "seed": 5}]},
    }


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., int]:
    """Run the program in this process: the exit code. Keywords with __ for dots override keys of the tree."""
    from bracket.training.__main__ import main

    def run(tree: Config, *arguments: str, **overrides: object) -> int:
        path = tmp_path / "trial.yaml"
        path.write_text(yaml.safe_dump(tree))
        sets = [f"--set={key.replace('__', '.')}={yaml.safe_dump(v).strip()}" for key, v in overrides.items()]
        return main([str(path), *sets, *arguments])

    return run


@pytest.fixture
def parse() -> Callable[[Config], TrainingConfig]:
    return TrainingConfig.model_validate


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `python -m bracket.training[.module]` as a process of its own."""

    def run(module: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        root = str(Path(__file__).parents[2])
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            text=True,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": root},
            **options,
        )

    return run
