from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from bracket.errors import JudgeError
from bracket.judges.embeddings.vision import VisionModel, check_vision

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


def pictures(count: int = 2) -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 255, (count, 90, 80, 3), np.uint8)
    return [Image.fromarray(n) for n in noise]


def save(model: Any, processor: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def vit(folder: Path, pooled: bool = True) -> Path:
    torch.manual_seed(0)
    config = transformers.ViTConfig(**SMALL, image_size=32, patch_size=16)
    model = transformers.ViTModel(config, add_pooling_layer=pooled)
    return save(model, transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}), folder)


def test_embeddings_are_the_class_token_at_length_1(random_dino: Path) -> None:
    found = VisionModel(random_dino).images(pictures())
    processor = transformers.BitImageProcessorPil.from_pretrained(random_dino)
    model = transformers.Dinov2Model.from_pretrained(random_dino).eval()
    with torch.inference_mode():
        states = model(**processor(images=pictures(), return_tensors="pt")).last_hidden_state[:, 0].numpy()
    assert found == pytest.approx(states / np.linalg.norm(states, axis=1, keepdims=True), abs=1e-5)
    assert found.dtype == np.float32 and np.linalg.norm(found, axis=1) == pytest.approx([1, 1])


def test_a_checkpoint_without_a_pooler_gives_the_same_every_time(tmp_path: Path) -> None:
    """DINO's first checkpoints have none, and a pooler drawn at random would say something else each time."""
    folder = vit(tmp_path / "vit", pooled=False)
    one, two = (VisionModel(folder).images(pictures()) for _ in range(2))
    assert np.array_equal(one, two)


def test_a_model_without_class_token_gives_its_pooled_output(tmp_path: Path) -> None:
    config = transformers.ConvNextConfig(hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1])
    processor = transformers.ConvNextImageProcessorPil(size={"shortest_edge": 64}, crop_pct=1.0)
    folder = save(transformers.ConvNextModel(config), processor, tmp_path / "convnext")
    assert VisionModel(folder).images(pictures()).shape == (2, 16)


def test_a_model_of_pictures_and_texts_gives_its_image_features(tmp_path: Path) -> None:
    config = transformers.SiglipConfig(
        text_config={**SMALL, "vocab_size": 50}, vision_config={**SMALL, "image_size": 32, "patch_size": 16}
    )
    processor = transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    folder = save(transformers.SiglipModel(config), processor, tmp_path / "siglip")
    assert check_vision(folder) == []
    assert VisionModel(folder).images(pictures()).shape == (2, 32)


def test_weights_that_lack_a_part_are_refused(random_dino: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(random_dino, tmp_path / "torn"))
    weights = load_file(folder / "model.safetensors")
    weights.pop("layernorm.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(JudgeError, match=r"lack layernorm\.weight"):
        VisionModel(folder)


def test_a_model_of_texts_is_refused_in_a_sentence(tmp_path: Path) -> None:
    config = transformers.BertConfig(**SMALL, vocab_size=50)
    processor = transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
    folder = save(transformers.BertModel(config), processor, tmp_path / "bert")
    with pytest.raises(JudgeError, match="can't look at pictures alone"):
        VisionModel(folder).images(pictures())


def test_damaged_weights_and_a_model_nobody_knows_are_refused(random_dino: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(random_dino, tmp_path / "torn"))
    (folder / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(JudgeError, match="can't be loaded"):
        VisionModel(folder)
    (folder / "config.json").write_text('{"model_type": "dinov9"}')
    with pytest.raises(JudgeError, match="can't be loaded"):
        VisionModel(folder)
