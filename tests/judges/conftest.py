"""A small dataset of the demo's new concept, pictures that get worse, and the two models the judges are tried with."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bracket.demo.shapes import COLOURS, Picture, all_specs, caption, draw, picture_of
from bracket.domain import DatasetSplit
from bracket.domain import Picture as DatasetPicture
from bracket.environment import project_root

TRIGGER = "zorb"


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
        **sides, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**sides, "image_size": 64, "patch_size": 16}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    folder = tmp_path_factory.mktemp("random-clip")
    save(model, tokenizer, folder)
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
    rng = np.random.default_rng(seed)
    clean = draw([picture])[0]
    image = Image.fromarray(clean)
    if severity == 0:
        return clean
    if kind == "blur":
        return np.asarray(image.filter(ImageFilter.GaussianBlur(1 + 9 * float(severity))))
    if kind == "noise":
        return _clip(clean + rng.normal(0, 20 + 150 * severity, clean.shape))
    if kind == "jpeg":
        small = image.resize((max(4, int(64 * (1 - severity) ** 2)),) * 2, Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=max(1, int(40 * (1 - severity))))
        return np.asarray(Image.open(buffer).resize((64, 64), Image.Resampling.BICUBIC))
    if kind == "melt":
        return _rippled(clean, severity, rng)
    if kind == "blob":
        return _half_formed(picture, severity)
    if kind == "wrong shape":
        return draw([replace(picture, shape=str(rng.choice(["circle", "square", "cross", "ring", "triangle"])))])[0]
    left = [c for c in COLOURS if c not in (picture.colour, picture.background)]
    return draw([replace(picture, colour=str(rng.choice(left)))])[0]


def _clip(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def _rippled(clean: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Rows and columns pushed about by random sine waves."""
    y, x = np.mgrid[0:64, 0:64].astype(float)
    for _ in range(3):
        fx, fy, px, py = rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5), *rng.uniform(0, 6, 2)
        x, y = x + 7 * severity * np.sin(fx * y + px), y + 7 * severity * np.sin(fy * x + py)
    return clean[np.clip(y, 0, 63).astype(int), np.clip(x, 0, 63).astype(int)]


def _half_formed(picture: Picture, severity: float) -> np.ndarray:
    """A star whose points shrink into a disc: severity 1 is the disc."""
    from bracket.demo.shapes import signed_distance

    axis = (np.arange(64, dtype=np.float32) + 0.5) / 32 - 1
    gx, gy = np.meshgrid(axis, axis)
    x, y = (gx - picture.x) / picture.radius, (gy - picture.y) / picture.radius
    disc = signed_distance("circle", x / 0.8, y / 0.8) * 0.8
    distance = (signed_distance(picture.shape, x, y) * (1 - severity) + disc * severity) * picture.radius
    cover = np.clip(0.5 - distance * 32, 0, 1)[..., None]
    front, back = (np.array(COLOURS[c], float) for c in (picture.colour, picture.background))
    return _clip(front * cover + back * (1 - cover))
