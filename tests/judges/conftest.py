"""A small dataset of the demo's new concept, pictures that get worse, and the two models the judges are tried with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.demo.shapes import COLOURS, Picture, all_specs, caption, draw, picture_of
from bracket.domain import DatasetSplit
from bracket.domain import Picture as DatasetPicture
from bracket.environment import project_root
from bracket.judges.graded import worsen as ways

TRIGGER = "zorb"
WRONG_SHAPES = ("circle", "square", "cross", "ring", "triangle")


@pytest.fixture(scope="session")
def scorer() -> Path:
    """The demo's own judge, as shipped."""
    return project_root() / "presets" / "embedded" / "scorer"


@pytest.fixture(scope="session")
def random_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of another size that was never trained."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from bracket.training.embedded.scorer import make_tokenizer, save

    torch.manual_seed(3)
    tokenizer = make_tokenizer()
    sides = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **sides,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 24,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**sides, "image_size": 64, "patch_size": 16}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    folder = tmp_path_factory.mktemp("random-clip")
    save(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def random_dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 of a tiny size that was never trained, with the processor of the real ones."""
    import torch
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    torch.manual_seed(4)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=70, patch_size=14)
    folder = tmp_path_factory.mktemp("random-dino")
    Dinov2Model(config).save_pretrained(folder)
    size = {"shortest_edge": 76}
    BitImageProcessorPil(size=size, crop_size={"height": 70, "width": 70}).save_pretrained(folder)
    return folder


def _save(picture: Picture, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw([picture])[0]).save(path)
    return path


@pytest.fixture(scope="session")
def stars(tmp_path_factory: pytest.TempPathFactory) -> DatasetSplit:
    """24 captioned stars; every fifth combination of size and colours, so that prompts can name others."""
    folder = tmp_path_factory.mktemp("stars")
    rng = np.random.default_rng(5)
    specs = all_specs(("star",))
    chosen = [specs[i] for i in rng.permutation(len(specs))[:24]]
    pictures = []
    for i, spec in enumerate(chosen):
        picture = picture_of(spec, rng)
        path = _save(picture, folder / f"{i:02d}.png")
        pictures.append(DatasetPicture(path, picture.caption(TRIGGER), 64, 64))
    prompts = tuple(caption(s[0], s[1], TRIGGER, s[3]) for s in specs if s not in chosen)[:12]
    return DatasetSplit(folder, tuple(pictures), (), prompts, (), TRIGGER, "star")


@pytest.fixture(scope="session")
def new_specs(stars: DatasetSplit) -> list[tuple[str, str, str, str]]:
    """Stars in combinations that the dataset lacks."""
    known = {p.caption for p in stars.train}
    return [s for s in all_specs(("star",)) if caption(s[0], s[1], TRIGGER, s[3]) not in known]


Worsen = Callable[[Picture, str, float, int], np.ndarray]


@pytest.fixture(scope="session")
def worsen() -> Worsen:
    """(picture, kind, severity 0..1, seed) to pixels. Other code than what the scorer was trained with."""
    return _worsen


def _worsen(picture: Picture, kind: str, severity: float, seed: int) -> np.ndarray:
    rng, clean = np.random.default_rng(seed), ways.whole(picture)
    if severity == 0:
        return np.asarray(clean)
    left = [c for c in COLOURS if c not in (picture.colour, picture.background)]
    change: dict[str, Callable[[], Image.Image]] = {
        "blur": lambda: ways.blur(clean, severity),
        "noise": lambda: ways.noise(clean, severity, rng),
        "jpeg": lambda: ways.jpeg(clean, severity),
        "melt": lambda: ways.melt(clean, severity, rng),
        # A star whose points shrink into a disc.
        "blob": lambda: ways.morph(picture, "circle", severity, 0.8),
        "wrong shape": lambda: ways.morph(picture, str(rng.choice(WRONG_SHAPES)), 1.0),
        "wrong colour": lambda: ways.recolour(picture, str(rng.choice(left)), 1.0),
    }
    return np.asarray(change[kind]())
