from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bracket.errors import SettingsError
from bracket.training.config.schema import LoraSection, ModelSection
from bracket.training.model.klein import (
    Base,
    choose_device,
    choose_dtype,
    image_ids,
    pack,
    patchify,
    text_ids,
)
from bracket.training.model.lora import add_lora, remove_lora

CPU = torch.device("cpu")


def base_of(model: Path, dtype: torch.dtype = torch.float32) -> Base:
    return Base(ModelSection(path=str(model), text_length=16, text_layers=(1, 2, 3)), CPU, dtype)


def test_patchify_by_hand() -> None:
    # Two latent channels of 2x4: each 2x2 patch becomes channels 4c + 2dy + dx.
    latents = torch.arange(16.0).view(1, 2, 2, 4)
    patches = patchify(latents)
    assert patches.shape == (1, 8, 1, 2)
    assert patches[0, :, 0, 0].tolist() == [0, 1, 4, 5, 8, 9, 12, 13]
    assert patches[0, :, 0, 1].tolist() == [2, 3, 6, 7, 10, 11, 14, 15]


def test_tokens_and_ids_go_row_by_row() -> None:
    tokens = pack(torch.arange(6.0).view(1, 1, 2, 3))
    assert tokens.tolist() == [[[0], [1], [2], [3], [4], [5]]]
    assert image_ids(2, 3).tolist() == [[0, y, x, 0] for y in range(2) for x in range(3)]
    assert text_ids(3).tolist() == [[0, 0, 0, number] for number in range(3)]


def test_latents_and_texts_are_what_the_pipeline_itself_makes(model: Path) -> None:
    from diffusers import Flux2KleinPipeline

    base = base_of(model)
    pipeline = Flux2KleinPipeline.from_pretrained(model, dtype=torch.float32)
    pixels = torch.rand(3, 48, 96) * 2 - 1
    with torch.no_grad():
        expected = pipeline._encode_vae_image(pixels[None], None)[0]
    torch.testing.assert_close(base.encode_picture(pixels), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(image_ids(*expected.shape[1:]), pipeline._prepare_latent_ids(expected[None])[0])
    text, ids = pipeline.encode_prompt(["a star"], max_sequence_length=16, text_encoder_out_layers=(1, 2, 3))
    assert torch.equal(base.encode_text("a star"), text[0].detach())
    assert torch.equal(text_ids(16), ids[0])


def test_default_lora_reaches_both_kinds_of_blocks(model: Path) -> None:
    transformer = base_of(model).transformer
    add_lora(transformer, LoraSection(rank=2), seed=0)
    trainable = [n for n, p in transformer.named_parameters() if p.requires_grad]
    adapted = {n.partition(".lora_A")[0] for n in trainable if "lora_A" in n}
    single = {"to_qkv_mlp_proj", "to_out"}
    double = {"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"}
    assert {f"single_transformer_blocks.0.attn.{n}" for n in single} <= adapted
    assert {f"transformer_blocks.0.attn.{n}" for n in double} <= adapted
    assert {f"transformer_blocks.0.{ff}.linear_{n}" for ff in ("ff", "ff_context") for n in ("in", "out")} <= adapted


def test_lora_weights_are_float32_on_a_bfloat16_base_and_alone_trainable(model: Path) -> None:
    transformer = base_of(model, torch.bfloat16).transformer
    parameters = add_lora(transformer, LoraSection(rank=2), seed=0)
    assert {p.dtype for p in parameters} == {torch.float32}
    trainable = {n for n, p in transformer.named_parameters() if p.requires_grad}
    assert all("lora_" in n for n in trainable) and len(trainable) == len(parameters)
    assert {p.dtype for n, p in transformer.named_parameters() if n not in trainable} == {torch.bfloat16}


def test_lora_starts_from_its_seed_and_changes_nothing_yet(model: Path) -> None:
    transformer = base_of(model).transformer
    first = [p.detach().clone() for p in add_lora(transformer, LoraSection(rank=4), seed=1)]
    again = add_lora(transformer, LoraSection(rank=4), seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = add_lora(transformer, LoraSection(rank=4), seed=2)
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    ups = [p for n, p in transformer.named_parameters() if "lora_B" in n]
    assert all(not p.any() for p in ups)


def test_removing_the_lora_gives_the_base_back(model: Path) -> None:
    transformer = base_of(model).transformer
    before = {n: p.clone() for n, p in transformer.state_dict().items()}
    add_lora(transformer, LoraSection(rank=2), seed=0)
    remove_lora(transformer)
    after = transformer.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[n], before[n]) for n in before)


def test_targets_that_match_nothing_are_one_sentence(model: Path) -> None:
    with pytest.raises(SettingsError, match=r"lora\.targets") as caught:
        add_lora(base_of(model).transformer, LoraSection(targets=("nothing",)), seed=0)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_pipeline_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not a pipeline in diffusers format"):
        base_of(tmp_path)
    with pytest.raises(SettingsError, match="doesn't exist"):
        base_of(tmp_path / "none")
    (tmp_path / "model_index.json").write_text('{"_class_name": "ZImagePipeline"}')
    with pytest.raises(SettingsError, match="ZImagePipeline"):
        base_of(tmp_path)


def test_devices_and_formats() -> None:
    assert choose_dtype("auto", CPU) == torch.float32
    assert choose_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16
    with pytest.raises(SettingsError, match="gpu7"):
        choose_device("gpu7")


def test_the_fingerprints_notice_another_model(model: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    first, same = base_of(model), base_of(copy)
    assert (first.picture_fingerprint, first.text_fingerprint) == (same.picture_fingerprint, same.text_fingerprint)
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    data = np.fromfile(weights, np.uint8)
    data[-1] ^= 1
    data.tofile(weights)
    changed = base_of(copy)
    assert changed.picture_fingerprint != first.picture_fingerprint
    assert changed.text_fingerprint == first.text_fingerprint
    assert base_of(model, torch.bfloat16).picture_fingerprint != first.picture_fingerprint


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_fast_lora_layer_computes_what_pefts_own_does(model: Path, dropout: float) -> None:
    from peft.tuners.lora.layer import Linear

    transformer = base_of(model).transformer
    parameters = add_lora(transformer, LoraSection(rank=3, alpha=7, dropout=dropout), seed=0)
    transformer.train()
    for parameter in parameters:
        torch.nn.init.normal_(parameter)
    layer = transformer.single_transformer_blocks[0].attn.to_out.double()
    assert isinstance(layer, Linear)
    x = torch.randn(2, 5, layer.in_features, dtype=torch.float64)
    got = []
    for forward in (layer.forward, type(layer).forward.__get__(layer)):
        for parameter in parameters:
            parameter.grad = None
        torch.manual_seed(1)
        inputs = x.clone().requires_grad_()
        out = forward(inputs)
        out.square().sum().backward()
        weights = (layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad)
        got.append((out.detach(), inputs.grad, *weights))
    for fast, plain in zip(*got, strict=True):
        torch.testing.assert_close(fast, plain)
