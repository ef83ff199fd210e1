"""What a weight file or model folder is, from its header alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bracket.errors import StorageError
from bracket.files import read_json, storage_errors
from bracket.weights.download import SAFETENSORS
from bracket.weights.header import Header, Shapes, read_set, set_name
from bracket.weights.kinds import FAMILIES, FAMILY_OF, TITLES
from bracket.weights.lora import lora_title

_PART = re.compile(
    r"(model\.diffusion_model\.|diffusion_model\.|net\.|control_model\.|first_stage_model\.|vae\."
    r"|text_encoders\.[^.]+\.(?:transformer\.)?|cond_stage_model\.(?:transformer\.|model\.)?"
    r"|conditioner\.embedders\.\d+\.(?:transformer\.|model\.)?)"
)
"""Prefixes that set the parts of a whole checkpoint apart."""

_WRAPPER = re.compile(r"(?:model\.)?(?:language_model\.)?(?:model\.)?(?:text_model\.|vision_model\.)?")
"""Prefixes that differ between versions of one model."""

_DRAWS = ("model.diffusion_model.", "diffusion_model.", "net.")
"""Those of the model that draws."""

_MAIN = ("transformer", "unet", "prior")
_PARTS = ("vae", "text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4", "image_encoder")

_CLASSES = (
    ("AnimaModular", "anima"),
    ("AutoencoderKLFlux2", "vae-flux2"),
    ("AutoencoderKLHunyuanImage", "vae-hunyuan-image-2.1"),
    ("AutoencoderKLHunyuanVideo15", "vae-hunyuanvideo1.5"),
    ("AutoencoderKLHunyuanVideo", "vae-hunyuanvideo"),
    ("CLIPText", "clip"),
    ("Chroma", "chroma"),
    ("Flux2", "flux2"),
    ("Flux", "flux1"),
    ("Gemma2", "gemma2"),
    ("Gemma3", "gemma3"),
    ("HiDreamImage", "hidream-i1"),
    ("HunyuanImage", "hunyuan-image-2.1"),
    ("HunyuanVideo15", "hunyuanvideo1.5"),
    ("HunyuanVideoFramepack", "framepack"),
    ("HunyuanVideo", "hunyuanvideo"),
    ("Ideogram4", "ideogram4"),
    ("Kandinsky5", "kandinsky5"),
    ("Kolors", "kolors"),
    ("Krea2", "krea2"),
    ("LTX2", "ltx2"),
    ("LTX", "ltx"),
    ("Lumina2", "lumina2"),
    ("OmniGen2", "omnigen2"),
    ("Qwen2_5_VL", "qwen2.5-vl"),
    ("Qwen3ForCausalLM", "qwen3"),
    ("QwenImageLayered", "qwen-image-layered"),
    ("QwenImage", "qwen-image"),
    ("SD3Transformer", "sd3"),
    ("StableDiffusion3", "sd3"),
    ("StableDiffusionXL", "sdxl"),
    ("StableDiffusion", "sd"),
    ("T5Encoder", "t5"),
    ("UMT5", "umt5"),
    ("WanAnimate", "wan-animate"),
    ("WanVACE", "wan-vace"),
    ("Wan", "wan"),
    ("ZImage", "z-image"),
)
"""How diffusers' and transformers' class names begin, for folders whose weights aren't safetensors."""


@dataclass(frozen=True)
class Identity:
    """What a weight is: `kind` as presets name it, `title` for a sentence."""

    kind: str
    title: str

    @property
    def family(self) -> str:
        return FAMILY_OF[self.kind]


def identify(path: Path) -> Identity | None:
    """What a weight file, a file of a set, or a model folder is; None when it can't be told.

    Only headers and configs are read. Of a whole checkpoint or pipeline, it is the model that draws.

    Raises:
        StorageError: the file is missing, cut short or no safetensors although it is called so; says which.
    """
    return next(iter(identify_parts(path)), None)


def identify_parts(path: Path) -> list[Identity]:
    """Everything that is in a file or folder, the model that draws first; empty when it can't be told.

    Raises:
        StorageError: as identify.
    """
    with storage_errors(path):
        path.stat()
    if path.is_dir():
        return _unique(_of_folder(path))
    return _of_header(read_set(path)) if path.suffix.lower() in SAFETENSORS else []


def _of_header(header: Header) -> list[Identity]:
    title = lora_title(header)
    if title:
        return [Identity("lora", title)]
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in header.tensors.items():
        prefix = _PART.match(name)
        rest = name[prefix.end() :] if prefix else name
        parts.setdefault(prefix[0] if prefix else "", {})[_WRAPPER.sub("", rest, count=1)] = shape
    bare = parts.get("", {})
    main = next((parts[p] for p in _DRAWS if p in parts), bare if 2 * len(bare) > len(header.tensors) else None)
    if main is not None and not _recognise(main):
        return []  # the VAE of a model that isn't known must not pass for the whole
    return _unique(found for shapes in parts.values() if (found := _recognise(shapes)))


def _recognise(shapes: Shapes) -> Identity | None:
    for family in FAMILIES:
        if family.marks(shapes):
            variant = next((v for v in family.variants if v.when(shapes)), family)
            return Identity(variant.kind, variant.title)
    return None


def _unique(found: Iterator[Identity]) -> list[Identity]:
    """Each once; models that draw before their parts, which is the order of FAMILIES."""
    order = {family.kind: place for place, family in enumerate(FAMILIES)}
    return sorted(dict.fromkeys(found), key=lambda i: order.get(i.family, -1))


def _of_folder(folder: Path) -> Iterator[Identity]:
    """A diffusers pipeline, one component of it, or a transformers model."""
    index = folder / "model_index.json"
    if not index.is_file():
        yield from _of_component(folder)
        return
    main = [i for name in _MAIN if (folder / name).is_dir() for i in _of_component(folder / name)] or _by_class(index)
    yield from main
    for name in _PARTS if main else ():
        if (folder / name).is_dir():
            yield from _of_component(folder / name)


def _of_component(folder: Path) -> list[Identity]:
    found: list[Identity] = []
    with storage_errors(folder):
        files = sorted(p for p in folder.iterdir() if p.suffix in SAFETENSORS and not p.name.startswith("."))
    sets = {set_name(p): p for p in reversed(files)}
    # model.safetensors and model.fp16.safetensors are one model; a mixture of others tells nothing.
    if len({name.partition(".")[0] for name in sets}) == 1:
        found = _of_header(read_set(sets[min(sets, key=len)]))
    return found or _by_class(folder / "config.json")


def _by_class(config: Path) -> list[Identity]:
    """What the class named in a config says: a family, never its size."""
    if not config.is_file():
        return []
    raw = read_json(config)
    if not isinstance(raw, dict):
        raise StorageError("This file is damaged: it holds no settings", path=config, remedy="Download it again.")
    names = [str(raw.get("_class_name", "")), *map(str, raw.get("architectures") or ())]
    kinds = (kind for name in names for beginning, kind in _CLASSES if name.startswith(beginning))
    kind = next(kinds, None)
    return [Identity(kind, TITLES[kind])] if kind else []
