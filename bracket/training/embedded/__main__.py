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
def vae(out: Path, steps: int = 2500) -> None:
    """Train the VAE (about 15 CPU-minutes)."""
    from bracket.training.embedded.vae import train_vae

    typer.echo(f"PSNR {train_vae(out, steps):.1f} dB")


@app.command()
def base(out: Path, vae: Path, steps: int = 9000, start_from: Path | None = None) -> None:
    """Train the transformer and text encoder on top of a trained VAE (about an hour on one core)."""
    from bracket.training.embedded.base import train_base

    typer.echo(str(train_base(out, vae, steps, start_from=start_from)))


@app.command()
def scorer(out: Path, steps: int = 2500) -> None:
    """Train the demo's image-text scorer, its judge (about 15 CPU-minutes on one core)."""
    from bracket.training.embedded.scorer import train_scorer

    typer.echo(f"orders {train_scorer(out, steps):.1%} of pairs as the procedural checker does")


if __name__ == "__main__":
    app()
