"""How fast is a training step, against a bare diffusers and peft loop on the same model, data and machine?

    python tests/benchmarks/bench_step.py [--model FOLDER] [--batch 4] [--steps 20] [--rounds 12]

Both run in this process, a few steps each in turn, so that whatever else the machine does hits both; on a CPU it is
this process's own time that counts. `ratio` is the median over rounds of the bare loop's seconds by the trainer's: 1.0
is as fast, more is faster. The trainer's step includes its event log; neither includes validation, checkpoints or
samples.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from bracket.demo.shapes import all_specs, draw, random_pictures
from bracket.training.config.schema import ModelSection, TrainingConfig
from bracket.training.data.cache import Cache, read
from bracket.training.data.pictures import find_items
from bracket.training.model.klein import Base, image_ids, pack, text_ids
from bracket.training.model.lora import LORA_TARGETS
from bracket.training.process.events import EventLog
from bracket.training.process.ranks import Ranks
from bracket.training.trial.loop import Stop, Training

TEXT_LENGTH, TEXT_LAYERS = 16, (1, 2, 3)


def make_model(folder: Path) -> Path:
    """The embedded base's architecture with random weights: the time of a step doesn't depend on them."""
    from diffusers import Flux2KleinPipeline

    from bracket.training.embedded import models

    tokenizer, vae = models.make_tokenizer(), models.make_vae()
    text_encoder = models.make_text_encoder(len(tokenizer))
    Flux2KleinPipeline(
        scheduler=models.make_scheduler(),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=models.make_transformer(
            4 * vae.config.latent_channels, len(TEXT_LAYERS) * text_encoder.config.hidden_size
        ),
    ).save_pretrained(folder)
    return folder


def make_pictures(folder: Path, n: int = 24) -> Path:
    folder.mkdir()
    drawn = random_pictures(np.random.default_rng(0), n, all_specs(("star",)))
    for number, (picture, pixels) in enumerate(zip(drawn, draw(drawn), strict=True)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(picture.caption("zorp"))
    return folder


def trainer_steps(config: TrainingConfig, base: Base) -> Callable[[int], None]:
    """The built-in trainer, as many steps as asked at each call."""
    training = Training(config, base, Ranks(), Stop(), resume=False)
    events = EventLog(config.output_dir / "tfevents")
    stream = training.batches.stream(config.train.batch_size, config.seed, 0, Ranks())
    training.transformer.train()

    def run(n: int) -> None:
        for _ in range(n):
            rate = float(training.schedule.get_last_lr()[0])
            loss, norm = training.advance(stream)
            events.add(training.step, {"loss/train": loss, "lr": rate, "grad_norm": norm})

    return run


def bare_steps(config: TrainingConfig, base: Base) -> Callable[[int], None]:
    """The shortest loop that trains the same LoRA: everything in memory, nothing logged, one `loss.item()` a step."""
    from peft import LoraConfig

    items, _ = find_items(config.data)
    cache = Cache(config.cache_dir)
    clean = pack(torch.stack([read(cache.latents(i, base)) for i in items])).to(base.device)
    texts = torch.stack([read(cache.text(i.caption, base)) for i in items]).to(base.device)
    side = int(clean.shape[1] ** 0.5)
    ids = {"img_ids": image_ids(side, side).to(base.device), "txt_ids": text_ids(TEXT_LENGTH).to(base.device)}
    transformer: Any = base.transformer
    transformer.add_adapter(LoraConfig(r=8, lora_alpha=8, init_lora_weights="gaussian", target_modules=LORA_TARGETS))
    parameters = [p for p in transformer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    transformer.train()

    def run(n: int) -> None:
        for _ in range(n):
            chosen = torch.randint(0, len(clean), (config.train.batch_size,), device=base.device)
            x0 = clean[chosen]
            noise, sigma = torch.randn_like(x0), torch.rand(len(x0), device=base.device)
            noisy = (1 - sigma[:, None, None]) * x0 + sigma[:, None, None] * noise
            predicted = transformer(
                hidden_states=noisy, encoder_hidden_states=texts[chosen], timestep=sigma, return_dict=False, **ids
            )[0]
            loss = F.mse_loss(predicted, noise - x0)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()

    return run


def measure(config: TrainingConfig, rounds: int, steps: int) -> Iterator[tuple[float, float]]:
    """Seconds a step of the trainer and of the bare loop, round by round, in changing order."""
    device = torch.device(config.device)
    base, other = (Base(config.model, device, torch.float32) for _ in range(2))
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    loops = [trainer_steps(config, base), bare_steps(config, other)]
    for run in loops:
        run(5)
    for number in range(rounds):
        seconds = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            began = clock()
            loops[which](steps)
            seconds[which] = (clock() - began) / steps
        yield seconds[0], seconds[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a Klein pipeline (default: the embedded base's size, untrained)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=12)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = TrainingConfig.model_validate(
            {
                "output_dir": folder / "out",
                "device": given.device,
                "dtype": "float32",
                "model": ModelSection(
                    path=str(given.model or make_model(folder / "model")),
                    text_length=TEXT_LENGTH,
                    text_layers=TEXT_LAYERS,
                ),
                "data": {"folder": make_pictures(folder / "pictures"), "resolution": 64},
                "lora": {"rank": 8},
                "optimizer": {"learning_rate": 1e-3},
                "train": {"batch_size": given.batch, "steps": 10**6},
            }
        )
        pairs = list(measure(config, given.rounds, given.steps))
    ours, bare = (median(side) * 1000 for side in zip(*pairs, strict=True))
    print(f"trainer {ours:.1f} ms/step, bare loop {bare:.1f} ms/step")
    print(f"ratio {median(b / a for a, b in pairs):.3f}")


if __name__ == "__main__":
    main()
