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


def train_base(
    out: Path,
    vae_dir: Path,
    steps: int,
    batch: int = 32,
    peak: float = 1.8e-3,
    pictures: int = 16384,
    seed: int = 0,
    start_from: Path | None = None,
) -> BaseCheck:
    """Flow matching with more weight on high noise, where the shape is decided; an average of weights is saved."""
    torch.manual_seed(seed)
    pipeline = untrained(vae_dir)
    if start_from:
        pipeline = Flux2KleinPipeline.from_pretrained(start_from, dtype=torch.float32)
    transformer, text_encoder = pipeline.transformer.train(), pipeline.text_encoder.train()
    latents, tokens = _cache(pipeline, pictures, seed)
    null = _tokens(pipeline, [""])[0]
    image_ids = pipeline._prepare_latent_ids(torch.zeros(1, 1, RESOLUTION // 8, RESOLUTION // 8))
    text_ids = pipeline._prepare_text_ids(torch.zeros(1, TEXT_LENGTH, 1))
    params = [*transformer.parameters(), *text_encoder.parameters()]
    average = [p.detach().clone() for p in params]
    optimizer = torch.optim.AdamW(params, lr=peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    bar = trange(steps, desc="base", mininterval=10)
    running = 0.0
    for step in bar:
        for group in optimizer.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = peak * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * cosine)
        index = torch.randint(0, len(latents), (batch,))
        clean, words = latents[index], tokens[index].clone()
        words[torch.rand(batch) < CAPTION_DROPOUT] = null
        u = torch.rand(batch)
        sigma = 3 * u / (1 + 2 * u)
        noise = torch.randn_like(clean)
        noisy = torch.lerp(clean, noise, sigma[:, None, None])
        velocity = transformer(
            hidden_states=noisy,
            encoder_hidden_states=_embed(pipeline, words),
            timestep=sigma,
            img_ids=image_ids,
            txt_ids=text_ids,
            return_dict=False,
        )[0]
        loss = F.mse_loss(velocity, noise - clean)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in params], 1 - decay)
        running += loss.item()
        if (step + 1) % 50 == 0:
            bar.set_postfix(loss=f"{running / 50:.4f}", refresh=False)
            running = 0.0
        if (step + 1) % 1000 == 0 or step + 1 == steps:
            with torch.no_grad():
                kept = [p.detach().clone() for p in params]
                torch._foreach_copy_(params, average)
                pipeline.save_pretrained(out)
                result = check_base(pipeline, n=60 if step + 1 < steps else 200)
                torch._foreach_copy_(params, kept)
            transformer.train(), text_encoder.train()
            bar.write(f"step {step + 1}: {result}")
    return result


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
