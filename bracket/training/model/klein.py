"""A Klein pipeline's parts, loaded when needed, and the layout of its latents."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from bracket.errors import SettingsError, TrainerError
from bracket.files import given_path
from bracket.reading import from_json, read_text
from bracket.training.config.schema import ModelSection

if TYPE_CHECKING:
    from diffusers import Flux2KleinPipeline

_EDGE = 1 << 20


def patchify(latents: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 4C, H/2, W/2): 2x2 patches become channels, in the order 4c + 2dy + dx."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(b, 4 * c, h // 2, w // 2)


def pack(latents: Tensor) -> Tensor:
    """(B, C, H, W) to tokens (B, H * W, C), row by row."""
    return latents.flatten(2).transpose(1, 2)


def image_ids(height: int, width: int) -> Tensor:
    """Positions (T, y, x, L) = (0, y, x, 0) of the tokens of `height` x `width` patches: int64 (height * width, 4)."""
    ids = torch.zeros(height, width, 4, dtype=torch.int64)
    ids[..., 1] = torch.arange(height)[:, None]
    ids[..., 2] = torch.arange(width)[None]
    return ids.view(-1, 4)


def text_ids(length: int) -> Tensor:
    """Positions (0, 0, 0, l) of the text's tokens: int64 (length, 4)."""
    ids = torch.zeros(length, 4, dtype=torch.int64)
    ids[:, 3] = torch.arange(length)
    return ids


def choose_device(name: str) -> torch.device:
    """The device of a config; "auto" is CUDA, else Apple's, else the CPU.

    Raises:
        SettingsError: torch doesn't know the name, or the machine has no such device.
    """
    if name == "auto":
        mps = torch.backends.mps.is_available()
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(f"The device {name} can't be used: {reason}", remedy="Try cpu or auto.") from error
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return cast(torch.dtype, getattr(torch, name))


class Base:
    """The frozen base model. Each part is loaded when it is first asked for, so that a trial whose latents and texts
    are cached loads neither the text encoder nor, until it draws, the VAE.
    """

    def __init__(self, model: ModelSection, device: torch.device, dtype: torch.dtype) -> None:
        self.model, self.device, self.dtype = model, device, dtype
        self.path = _local(model.path)

    @cached_property
    def transformer(self) -> Any:
        from diffusers import Flux2Transformer2DModel

        with _quiet():
            loaded = Flux2Transformer2DModel.from_pretrained(self.path, subfolder="transformer", torch_dtype=self.dtype)
        return loaded.requires_grad_(False).eval().to(self.device)

    @cached_property
    def vae(self) -> Any:
        from diffusers import AutoencoderKLFlux2

        with _quiet():
            loaded = AutoencoderKLFlux2.from_pretrained(self.path, subfolder="vae", torch_dtype=self.dtype)
        return loaded.requires_grad_(False).eval().to(self.device)

    @cached_property
    def pipeline(self) -> Flux2KleinPipeline:
        """The pipeline that draws, around this transformer and VAE. It has no text encoder: it is given embeddings."""
        from diffusers import Flux2KleinPipeline

        parts: dict[str, Any] = {"transformer": self.transformer, "vae": self.vae}
        with _quiet():
            pipeline = Flux2KleinPipeline.from_pretrained(
                self.path, text_encoder=None, tokenizer=None, dtype=self.dtype, **parts
            )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @cached_property
    def _text(self) -> Flux2KleinPipeline:
        from diffusers import Flux2KleinPipeline

        with _quiet():
            pipeline = Flux2KleinPipeline.from_pretrained(self.path, transformer=None, vae=None, dtype=self.dtype)
        pipeline.text_encoder.requires_grad_(False).eval()
        return pipeline.to(self.device)

    @torch.no_grad()
    def encode_text(self, text: str) -> Tensor:
        """The prompt embedding (text_length, width) on the CPU. One text at a time: others must not change its bits."""
        embedding, _ = self._text.encode_prompt(
            prompt=[text],
            device=self.device,
            max_sequence_length=self.model.text_length,
            text_encoder_out_layers=self.model.text_layers,
        )
        return cast(Tensor, embedding[0].cpu())

    @torch.no_grad()
    def encode_picture(self, pixels: Tensor) -> Tensor:
        """Normalised latents (4C, H/2, W/2) on the CPU, of pixels (3, h, w) in -1..1.

        The posterior's mode, patchified, then (z - running_mean) / sqrt(running_var + eps) with the VAE's
        batch-norm statistics, as the pipeline undoes it before decoding.
        """
        vae = self.vae
        latents = patchify(vae.encode(pixels[None].to(self.device, self.dtype)).latent_dist.mode()).float()
        mean = vae.bn.running_mean.float().view(1, -1, 1, 1)
        std = (vae.bn.running_var.float() + vae.config.batch_norm_eps).sqrt().view(1, -1, 1, 1)
        return cast(Tensor, ((latents - mean) / std)[0].cpu())

    def forget_text_encoder(self) -> None:
        """Give back the memory of the largest part that training itself doesn't need."""
        if "_text" in self.__dict__:
            del self.__dict__["_text"]
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    @cached_property
    def picture_fingerprint(self) -> str:
        """What latents depend on: the VAE's files and the number format."""
        return _fingerprint(self.path, ("vae",), str(self.dtype))

    @cached_property
    def text_fingerprint(self) -> str:
        """What text embeddings depend on: text encoder, tokenizer, length, layers and the number format."""
        settings = f"{self.dtype}/{self.model.text_length}/{self.model.text_layers}"
        return _fingerprint(self.path, ("text_encoder", "tokenizer"), settings)


def velocity(transformer: Any, noisy: Tensor, text: Tensor, sigma: Tensor, ids: tuple[Tensor, Tensor]) -> Tensor:
    """The predicted velocity (B, tokens, C), noise minus clean.

    Args:
        noisy: tokens (B, tokens, C).
        text: (B, text_length, width).
        sigma: noise levels (B,), which are also the model's timesteps in 0..1.
        ids: positions of the image's and of the text's tokens.
    """
    return cast(
        Tensor,
        transformer(
            hidden_states=noisy,
            encoder_hidden_states=text,
            timestep=sigma,
            img_ids=ids[0],
            txt_ids=ids[1],
            return_dict=False,
        )[0],
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the loaders' own progress bars, which say nothing in a log."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    yield


def _local(path: str) -> Path:
    """The folder of a pipeline in diffusers format; a hub id is looked up in the cache and downloaded if need be."""
    folder = given_path(path)
    if not folder.is_dir():
        folder = _download(path)
    index = folder / "model_index.json"
    try:
        name = from_json(read_text(index))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            "The model is not a pipeline in diffusers format",
            path=index,
            remedy="model.path must be the folder that holds model_index.json.",
        ) from error
    if not str(name).startswith("Flux2Klein"):
        raise SettingsError(f"The model is a {name}, and only Flux2Klein pipelines can be trained here", path=index)
    return folder


def _download(path: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if Path(path).is_absolute() or path.startswith(".") or path.count("/") != 1:
        raise SettingsError("The model's folder doesn't exist", path=path, remedy="Check model.path.")
    try:
        return Path(snapshot_download(path, allow_patterns=["*/*", "model_index.json"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise TrainerError(
            "The model is no folder and can't be downloaded", path=path, remedy="Check its name and the network."
        ) from error


def _fingerprint(folder: Path, parts: Sequence[str], settings: str) -> str:
    """A hash of the parts' files: names, sizes and both ends, so that gigabytes needn't be read at each start."""
    digest = sha256(settings.encode())
    for path in sorted(p for part in parts for p in (folder / part).rglob("*") if p.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_EDGE))
            if size > 2 * _EDGE:
                file.seek(-_EDGE, 2)
            digest.update(file.read(_EDGE))
    return digest.hexdigest()
