"""Command line of the embedded base's making."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path

import typer

app = typer.Typer(add_completion=False, help=__doc__)


@app.callback()
def main() -> None:
    """Build the embedded base step by step."""


@app.command()
def vae(out: Path, steps: int = 2800) -> None:
    """Train the VAE (about 20 CPU-minutes)."""
    from bracket.training.embedded.vae import train_vae

    typer.echo(f"PSNR {train_vae(out, steps):.1f} dB")


@app.command()
def base(
    out: Path, vae: Path, steps: int = 9000, stop_at: int = 4000, peak: float = 1.8e-3, start_from: Path | None = None
) -> None:
    """Train the transformer and text encoder on top of a trained VAE (about 40 CPU-minutes in two stages).

    The shipped base: `base A vae`, then `base B vae --steps 1500 --stop-at 0 --peak 0.0009 --start-from A`.
    """
    from bracket.training.embedded.base import Recipe, train_base

    typer.echo(str(train_base(out, vae, Recipe(steps, stop_at, peak), start_from)))


@app.command()
def ship(trained: Path, out: Path) -> None:
    """Save a trained base in fp16, as it is shipped."""
    from bracket.training.embedded.base import ship as save

    save(trained, out)


@app.command()
def check(base: Path, n: int = 200) -> None:
    """Draw held-out captions with a base and say how many pictures show what was asked."""
    import torch
    from diffusers import Flux2KleinPipeline

    from bracket.training.embedded.base import check_base

    typer.echo(str(check_base(Flux2KleinPipeline.from_pretrained(base, dtype=torch.float32), n)))


@app.command()
def scorer(out: Path, steps: int = 2500) -> None:
    """Train the demo's image-text scorer, its judge (about 15 CPU-minutes on one core)."""
    from bracket.training.embedded.scorer import train_scorer

    typer.echo(f"orders {train_scorer(out, steps):.1%} of pairs as the procedural checker does")


if __name__ == "__main__":
    app()
