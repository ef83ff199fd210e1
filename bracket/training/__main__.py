"""Train: `python -m bracket.training CONFIG.yaml [--set key=value ...] [--resume]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bracket.training.config.reading import read_trials
from bracket.training.process.program import Exit, limit_threads, run


def main(arguments: Sequence[str]) -> int:
    """Run the program; returns its exit code. A bad config is told before torch is imported."""
    parser = argparse.ArgumentParser(prog="python -m bracket.training", description="Train a LoRA by flow matching.")
    parser.add_argument("config", type=Path, help="YAML, see docs/contracts.md")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a dotted key and a YAML value")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    given = parser.parse_args(arguments)

    def body() -> Exit:
        configs = read_trials(given.config, given.set)
        limit_threads()
        from bracket.training.launch import train

        return train(configs, given.resume)

    return run(body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
