"""Fill the cache before trials share it: `python -m bracket.training.prepare CONFIG.yaml [--set key=value ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bracket.training.config.reading import read_trials
from bracket.training.process.program import Exit, limit_threads, run


def main(arguments: Sequence[str]) -> int:
    """Run the program; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bracket.training.prepare", description="Fill the cache.")
    parser.add_argument("config", type=Path, help="a training config")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a dotted key and a YAML value")
    given = parser.parse_args(arguments)

    def body() -> Exit:
        configs = read_trials(given.config, given.set)
        limit_threads()
        from bracket.training.launch import prepare

        return prepare(configs)

    return run(body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
