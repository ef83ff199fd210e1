from __future__ import annotations

import json
from pathlib import Path

import pytest

from bracket.errors import StorageError
from bracket.weights import KINDS, identify, identify_parts
from bracket.weights.kinds import ALIASES, FAMILY_OF, TITLES
from tests.weights.conftest import Writer
from tests.weights.made import Shapes, recorded, shapes_of, write_safetensors

EVERY = sorted(recorded())
DENOISERS = [
    n for n in EVERY if any(t in n for t in ("flux", "sd", "wan 2", "z-image", "chroma", "lumina")) and "vae" not in n
]


def kind(path: Path) -> str | None:
    found = identify(path)
    return found and found.kind


def tiny(shapes: Shapes) -> Shapes:
    """The same names and axes, every size but those of convolution kernels made one that no model has."""
    return {name: tuple(n if n < 4 else 24 for n in shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("model", EVERY)
def test_every_recorded_model_is_told(model: str, file_of: Writer) -> None:
    assert kind(file_of(model)) == recorded()[model][0]


@pytest.mark.parametrize("model", EVERY)
def test_a_model_of_unknown_size_is_of_its_family(model: str, tmp_path: Path) -> None:
    """A tiny model made for a test run must not be called another's."""
    true_kind, shapes = recorded()[model]
    found = kind(write_safetensors(tmp_path / "tiny.safetensors", tiny(shapes)))
    assert found is not None and FAMILY_OF[found] == FAMILY_OF[true_kind]


@pytest.mark.parametrize("model", DENOISERS)
def test_comfys_prefix_changes_nothing(model: str, file_of: Writer) -> None:
    assert kind(file_of(model, prefix="model.diffusion_model.")) == recorded()[model][0]


def test_at_least_twenty_kinds_in_both_layouts_are_recorded() -> None:
    assert len({k for k, _ in recorded().values()}) > 50


def test_a_whole_sd15_checkpoint(tmp_path: Path) -> None:
    shapes: Shapes = {
        "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        "model.diffusion_model.middle_block.0.in_layers.0.weight": (1280,),
        "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
        "first_stage_model.decoder.up.0.block.0.conv1.weight": (128, 256, 3, 3),
        "first_stage_model.decoder.mid.attn_1.norm.weight": (512,),
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408, 768),
    }
    path = write_safetensors(tmp_path / "v1-5.safetensors", shapes)
    assert [i.kind for i in identify_parts(path)] == ["sd15", "clip-l", "vae-sd"]
    inpainting = shapes | {"model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3)}
    assert kind(write_safetensors(tmp_path / "inpainting.safetensors", inpainting)) == "sd-inpainting"


def test_a_whole_sd2_checkpoint(tmp_path: Path) -> None:
    shapes: Shapes = {
        "cond_stage_model.model.token_embedding.weight": (49408, 1024),
        "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight": (3072, 1024),
        "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
        "model.diffusion_model.middle_block.0.in_layers.0.weight": (1280,),
    }
    assert [i.kind for i in identify_parts(write_safetensors(tmp_path / "v2.safetensors", shapes))] == ["sd2", "clip-h"]


def test_a_whole_sdxl_checkpoint(tmp_path: Path) -> None:
    shapes = {
        **shapes_of("clip-l (transformers)", "conditioner.embedders.0.transformer."),
        "conditioner.embedders.1.model.token_embedding.weight": (49408, 1280),
        "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight": (3840, 1280),
        **shapes_of("sdxl unet (sd-scripts)", "model.diffusion_model."),
        **shapes_of("vae of sdxl (diffusers)", "first_stage_model."),
    }
    path = write_safetensors(tmp_path / "sdxl.safetensors", shapes)
    assert [i.kind for i in identify_parts(path)] == ["sdxl", "clip-l", "clip-g", "vae-sd"]
    refiner = {k: (640, 1280) if k.endswith("attn2.to_k.weight") else v for k, v in shapes.items()}
    assert kind(write_safetensors(tmp_path / "refiner.safetensors", refiner)) == "sdxl-refiner"


def test_layouts_that_have_no_class_to_record(tmp_path: Path) -> None:
    """Comfy's Z-Image (fused qkv), Anima's official `net.`, HiDream-O1, LTX-2's and Wan's own names, OmniGen 2."""
    models: dict[str, Shapes] = {
        "z-image": {
            "cap_pad_token": (1, 3840),
            "x_embedder.weight": (3840, 64),
            "cap_embedder.1.weight": (3840, 2560),
            "noise_refiner.0.attention.qkv.weight": (11520, 3840),
            "noise_refiner.0.attention_norm1.weight": (3840,),
        },
        "anima": shapes_of("anima (sd-scripts)", "net."),
        "hidream-o1": {
            "model.t_embedder1.mlp.0.weight": (4096, 256),
            "model.x_embedder.proj1.weight": (1024, 3072),
            "model.language_model.layers.0.self_attn.q_proj.weight": (4096, 4096),
            "model.language_model.layers.0.self_attn.q_norm.weight": (128,),
            "model.visual.patch_embed.proj.weight": (1152, 3, 2, 16, 16),
            "model.visual.merger.linear_fc1.weight": (4608, 4608),
        },
        "ltx2": {
            "model.diffusion_model.audio_patchify_proj.weight": (2048, 128),
            "model.diffusion_model.patchify_proj.weight": (4096, 128),
            "vae.encoder.down_blocks.0.res_blocks.0.conv1.conv.weight": (128, 128, 3, 3, 3),
        },
        "umt5-xxl": {
            "token_embedding.weight": (256384, 4096),
            "blocks.0.pos_embedding.embedding.weight": (32, 64),
            "blocks.0.attn.q.weight": (4096, 4096),
        },
        "vae-wan2.2": {
            "encoder.downsamples.0.downsamples.0.residual.0.gamma": (160, 1, 1, 1),
            "decoder.conv1.weight": (1024, 48, 3, 3, 3),
        },
        "omnigen2": {
            "ref_image_patch_embedder.weight": (2520, 64),
            "image_index_embedding": (5, 2520),
            "time_caption_embed.caption_embedder.1.weight": (2520, 2048),
            "noise_refiner.0.norm1.linear.weight": (10080, 1024),
        },
        "flex1": {
            "guidance_in.in_layer.weight": (3072, 256),
            "vector_in.in_layer.weight": (3072, 768),
            "img_in.weight": (3072, 64),
            **{f"double_blocks.{i}.img_mod.lin.weight": (18432, 3072) for i in range(8)},
        },
    }
    for expected, shapes in models.items():
        assert kind(write_safetensors(tmp_path / f"{expected}.safetensors", shapes)) == expected


def test_quantised_files_keep_their_names(tmp_path: Path) -> None:
    shapes = shapes_of("flux.2 klein 9b (musubi)")
    scaled = shapes | {k.replace(".weight", ".scale_weight"): () for k in shapes if k.endswith(".weight")}
    assert kind(write_safetensors(tmp_path / "fp8.safetensors", scaled)) == "flux2-klein-9b"
    packed = {k: (v[0] * v[-1] // 2, 1) if len(v) == 2 else v for k, v in shapes.items()}
    assert kind(write_safetensors(tmp_path / "nf4.safetensors", packed)) == "flux2"


@pytest.mark.parametrize(
    ("names", "metadata", "title"),
    [
        (["lora_unet_x.lora_down.weight"], {"ss_base_model_version": "sdxl_base_v1-0"}, "a LoRA for SDXL"),
        (["lora_unet_x.lora_down.weight", "lora_te2_x.lora_up.weight"], {}, "a LoRA for SDXL"),
        (["x.lora_down.weight"], {"modelspec.architecture": "Flux.2-klein-4b/lora"}, "a LoRA for FLUX.2 klein 4B"),
        (["x.lora_down.weight"], {"ss_base_model_version": "wan2.1"}, "a LoRA for Wan"),
        (["transformer.x.lora_A.weight"], {}, "a LoRA"),
        (["diffusion_model.x.lora_B.default.weight"], {}, "a LoRA"),
        (["unet.x.lora.down.weight"], {}, "a LoRA"),
        (["lora_unet_x.lokr_w1", "lora_unet_x.lokr_w2"], {"ss_base_model_version": "z_image"}, "a LoKr for Z-Image"),
        (["lora_unet_x.hada_w1_a"], {"ss_base_model_version": "something new"}, "a LoHa"),
    ],
)
def test_adapters_and_their_base(tmp_path: Path, names: list[str], metadata: dict[str, str], title: str) -> None:
    found = identify(write_safetensors(tmp_path / "l.safetensors", dict.fromkeys(names, (8, 8)), metadata))
    assert found is not None
    assert (found.kind, found.title) == ("lora", title)


def test_a_set_of_files(tmp_path: Path) -> None:
    shapes = list(shapes_of("flux.1 dev (diffusers)").items())
    for number in range(3):
        name = f"diffusion_pytorch_model-0000{number + 1}-of-00003.safetensors"
        write_safetensors(tmp_path / name, dict(shapes[number::3]))
    (tmp_path / "diffusion_pytorch_model.safetensors.index.json").write_text("{}", encoding="utf-8")
    assert kind(tmp_path / "diffusion_pytorch_model-00001-of-00003.safetensors") == "flux1-dev"
    assert kind(tmp_path) == "flux1-dev"


def test_a_diffusers_folder(file_of: Writer, tmp_path: Path) -> None:
    folder = tmp_path / "модель «Z»"
    file_of("z-image (diffusers)", f"{folder.name}/transformer/diffusion_pytorch_model.safetensors")
    file_of("qwen3 4b (transformers)", f"{folder.name}/text_encoder/model.safetensors")
    file_of("vae of flux.1 (diffusers)", f"{folder.name}/vae/diffusion_pytorch_model.safetensors")
    file_of("vae of flux.1 (diffusers)", f"{folder.name}/vae/diffusion_pytorch_model.fp16.safetensors")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "ZImagePipeline"}), encoding="utf-8")
    assert [i.kind for i in identify_parts(folder)] == ["z-image", "qwen3-4b", "vae-flux"]


def test_a_folder_whose_weights_are_no_safetensors_is_told_by_its_classes(tmp_path: Path) -> None:
    for name, config, expected in (
        ("model_index.json", {"_class_name": "StableDiffusionXLPipeline"}, "sdxl"),
        ("model_index.json", {"_class_name": "QwenImageEditPlusPipeline"}, "qwen-image"),
        ("model_index.json", {"_class_name": "Flux2KleinPipeline"}, "flux2"),
        ("config.json", {"_class_name": "FluxTransformer2DModel"}, "flux1"),
        ("config.json", {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}, "qwen3"),
        ("config.json", {"architectures": None}, None),
    ):
        folder = tmp_path / f"{expected}-{name}"
        folder.mkdir()
        (folder / name).write_text(json.dumps(config), encoding="utf-8")
        assert kind(folder) == expected
    (folder / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(StorageError, match="damaged"):
        identify(folder)


def test_what_cannot_be_told(tmp_path: Path, file_of: Writer) -> None:
    assert identify(write_safetensors(tmp_path / "other.safetensors", {"some.weight": (2, 2)})) is None
    (tmp_path / "old.ckpt").write_bytes(b"PK\x03\x04")
    assert identify(tmp_path / "old.ckpt") is None
    file_of("t5-xxl (transformers)", "mixed/t5.safetensors")
    file_of("clip-l (transformers)", "mixed/clip.safetensors")
    assert identify(tmp_path / "mixed") is None
    new = {"model.diffusion_model.new.weight": (2,), **{f"model.diffusion_model.new.{i}": (2,) for i in range(50)}}
    new |= shapes_of("vae of flux.1 (musubi)", "vae.")
    assert identify(write_safetensors(tmp_path / "new.safetensors", new)) is None
    file_of("vae of flux.1 (diffusers)", "pipeline/vae/model.safetensors")
    write_safetensors(tmp_path / "pipeline/transformer/model.safetensors", {"new.weight": (2,)})
    (tmp_path / "pipeline/model_index.json").write_text('{"_class_name": "NewPipeline"}', encoding="utf-8")
    assert identify(tmp_path / "pipeline") is None
    with pytest.raises(StorageError, match="does not exist"):
        identify(tmp_path / "none.safetensors")


def test_names_of_kinds_are_used_once() -> None:
    assert not ALIASES.keys() & TITLES.keys()
    assert all(kind in TITLES for _, kinds in ALIASES.values() for kind in kinds)
    assert {k for k, _ in recorded().values()} <= KINDS
