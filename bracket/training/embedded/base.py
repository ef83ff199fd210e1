"""Train the embedded base (transformer and text encoder together) on drawn, captioned pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline
from torch import Tensor
from tqdm import trange

from bracket.demo.checker import Check, check
from bracket.demo.shapes import RESOLUTION, all_specs, caption, draw, held_out_specs, random_pictures
from bracket.files import read_json, write_json
from bracket.training.embedded.models import (
    TEXT_LAYERS,
    TEXT_LENGTH,
    make_scheduler,
    make_text_encoder,
    make_tokenizer,
    make_transformer,
)

CAPTION_DROPOUT = 0.1
"""Share of captions trained as empty, so that classifier-free guidance has something to guide away from."""


@dataclass
class BaseCheck:
    """How well a base draws what held-out captions ask: shares of pictures, 0..1."""

    shape_right: float
    colours_right: float
    edge: float
    iou: float


def untrained(vae_dir: Path) -> Flux2KleinPipeline:
    """A pipeline around a trained VAE whose transformer and text encoder still know nothing."""
    vae = AutoencoderKLFlux2.from_pretrained(vae_dir).eval().requires_grad_(False)
    tokenizer = make_tokenizer()
    text_encoder = make_text_encoder(len(tokenizer))
    channels = vae.config.latent_channels * 4
    transformer = make_transformer(channels, text_encoder.config.hidden_size * len(TEXT_LAYERS))
    return Flux2KleinPipeline(
        scheduler=make_scheduler(), vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, transformer=transformer
    )


@torch.no_grad()
def _cache(pipeline: Flux2KleinPipeline, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Packed latents (n, 64, 32) and caption tokens (n, 16) of pictures whose captions are not held out."""
    rng = np.random.default_rng(seed)
    held_out = set(held_out_specs())
    specs = [s for s in all_specs() if s not in held_out]
    latents, tokens = [], []
    for _ in trange(0, n, 64, desc="latents"):
        pictures = random_pictures(rng, 64, specs)
        images = torch.from_numpy(draw(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        latents.append(pipeline._pack_latents(pipeline._encode_vae_image(images, None)))
        tokens.append(_tokens(pipeline, [p.caption() for p in pictures]))
    return torch.cat(latents), torch.cat(tokens)


def _tokens(pipeline: Flux2KleinPipeline, captions: list[str]) -> Tensor:
    made = pipeline.tokenizer(
        captions, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt"
    )
    return torch.as_tensor(made.input_ids)


def _embed(pipeline: Flux2KleinPipeline, tokens: Tensor) -> Tensor:
    """Prompt embeddings as the pipeline makes them, but with gradients: (B, 16, 3 * hidden)."""
    mask = (tokens != pipeline.tokenizer.pad_token_id).long()
    out = pipeline.text_encoder(input_ids=tokens, attention_mask=mask, output_hidden_states=True, use_cache=False)
    stacked = torch.stack([out.hidden_states[k] for k in TEXT_LAYERS], 1)
    return stacked.permute(0, 2, 1, 3).reshape(tokens.shape[0], TEXT_LENGTH, -1)


@dataclass(frozen=True)
class Recipe:
    """One stage of the base's training.

    `steps` is the length of the cosine schedule, which begins at `peak` after 100 steps of warm-up; it ends after
    `stop_at` of them (0: all). The shipped base had two: 4,000 steps of a 9,000-step schedule, then, from there,
    1,500 steps at half the rate.
    """

    steps: int = 9000
    stop_at: int = 4000
    peak: float = 1.8e-3
    batch: int = 32
    pictures: int = 16384
    seed: int = 0

    @property
    def last(self) -> int:
        return self.stop_at or self.steps

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.peak * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * cosine)


def train_base(out: Path, vae_dir: Path, recipe: Recipe, start_from: Path | None = None) -> BaseCheck:
    """Flow matching with more weight on high noise, where the shape is decided; an average of weights is saved."""
    torch.manual_seed(recipe.seed)
    pipeline = untrained(vae_dir)
    if start_from:
        pipeline = Flux2KleinPipeline.from_pretrained(start_from, dtype=torch.float32)
    latents, tokens = _cache(pipeline, recipe.pictures, recipe.seed)
    params = [*pipeline.transformer.parameters(), *pipeline.text_encoder.parameters()]
    average = [p.detach().clone() for p in params]
    optimizer = torch.optim.AdamW(params, lr=recipe.peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    batches = _Batches(pipeline, latents, tokens, recipe.batch)
    bar = trange(recipe.last, desc="base", mininterval=10)
    result = BaseCheck(0.0, 0.0, 0.0, 0.0)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        loss = batches.loss()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in params], 1 - decay)
        if (step + 1) % 1000 == 0 or step + 1 == recipe.last:
            result = _save_average(pipeline, params, average, out, n=60 if step + 1 < recipe.last else 200)
            bar.write(f"step {step + 1}: {result}")
    return result


class _Batches:
    """Random batches of cached pictures, and the flow-matching loss on them."""

    def __init__(self, pipeline: Flux2KleinPipeline, latents: Tensor, tokens: Tensor, size: int) -> None:
        self._pipeline, self._latents, self._tokens, self._size = pipeline, latents, tokens, size
        self._null = _tokens(pipeline, [""])[0]
        side = RESOLUTION // 8
        self._image_ids = pipeline._prepare_latent_ids(torch.zeros(1, 1, side, side))
        self._text_ids = pipeline._prepare_text_ids(torch.zeros(1, TEXT_LENGTH, 1))

    def loss(self) -> Tensor:
        """Mean squared error of the predicted velocity on one batch: target noise - clean."""
        index = torch.randint(0, len(self._latents), (self._size,))
        clean, words = self._latents[index], self._tokens[index].clone()
        words[torch.rand(self._size) < CAPTION_DROPOUT] = self._null
        u = torch.rand(self._size)
        sigma = 3 * u / (1 + 2 * u)
        noise = torch.randn_like(clean)
        velocity = self._pipeline.transformer(
            hidden_states=torch.lerp(clean, noise, sigma[:, None, None]),
            encoder_hidden_states=_embed(self._pipeline, words),
            timestep=sigma,
            img_ids=self._image_ids,
            txt_ids=self._text_ids,
            return_dict=False,
        )[0]
        return F.mse_loss(velocity, noise - clean)


@torch.no_grad()
def _save_average(
    pipeline: Flux2KleinPipeline, params: list[Tensor], average: list[Tensor], out: Path, n: int
) -> BaseCheck:
    """Save and check the averaged weights, then put the trained ones back."""
    kept = [p.detach().clone() for p in params]
    torch._foreach_copy_(params, average)
    pipeline.save_pretrained(out)
    result = check_base(pipeline, n=n)
    torch._foreach_copy_(params, kept)
    pipeline.transformer.train()
    pipeline.text_encoder.train()
    return result


def ship(trained: Path, out: Path) -> None:
    """Save a trained base in fp16, half the size; it is loaded as fp32 again."""
    pipeline = Flux2KleinPipeline.from_pretrained(trained, dtype=torch.float32)
    pipeline.to(torch.float16).save_pretrained(out)
    for path in out.rglob("*.json"):
        config = read_json(path)
        if config.pop("_name_or_path", None):  # where it was trained is nobody's business
            write_json(path, config)


@torch.no_grad()
def check_base(pipeline: Flux2KleinPipeline, n: int = 200, guidance: float = 3.0, steps: int = 16) -> BaseCheck:
    """Draw `n` held-out captions and let the procedural checker say what is on the pictures."""
    checks = [c for _, c in drawn(pipeline, n, guidance, steps)]
    return BaseCheck(
        shape_right=float(np.mean([c.shape_right for c in checks])),
        colours_right=float(np.mean([c.colours_right for c in checks])),
        edge=float(np.mean([c.edge for c in checks])),
        iou=float(np.mean([c.shape_iou for c in checks])),
    )


def drawn(pipeline: Flux2KleinPipeline, n: int, guidance: float, steps: int) -> list[tuple[np.ndarray, Check]]:
    """Pictures (uint8, 64x64x3) of the first `n` held-out captions, each with its check."""
    pipeline.transformer.eval()
    pipeline.text_encoder.eval()
    pipeline.set_progress_bar_config(disable=True)
    out = []
    specs = held_out_specs()[:n]
    for start in range(0, len(specs), 20):
        part = specs[start : start + 20]
        images = pipeline(
            prompt=[caption(*s) for s in part],
            height=RESOLUTION,
            width=RESOLUTION,
            num_inference_steps=steps,
            guidance_scale=guidance,
            max_sequence_length=TEXT_LENGTH,
            text_encoder_out_layers=TEXT_LAYERS,
            generator=[torch.Generator().manual_seed(start + i) for i in range(len(part))],
        ).images
        for image, (_size, colour, shape, background) in zip(images, part, strict=True):
            array = np.asarray(image.convert("RGB"))
            out.append((array, check(array, shape, colour, background)))
    return out
