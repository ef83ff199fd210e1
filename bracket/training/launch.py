"""Run a config's trials one after another on one loaded base."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bracket.files import write_json
from bracket.training.config.schema import TrainingConfig
from bracket.training.model.klein import Base, choose_device, choose_dtype
from bracket.training.process.program import Exit
from bracket.training.process.ranks import Ranks, join, leave
from bracket.training.trial.loop import Stop, Training, fill_cache


def train(configs: Sequence[TrainingConfig], resume: bool) -> Exit:
    """Train every trial. With several, each one's end is written to its `exit.json`, and a diverged one doesn't keep
    the rest from their turn.

    Returns:
        The exit code of the only trial, or of the first that failed.
    """
    ranks, base = _open(configs[0])
    stop = Stop()
    codes: list[Exit] = []
    try:
        for config in configs:
            code = _train_one(config, base, ranks, stop, resume)
            codes.append(code)
            if ranks.first and len(configs) > 1:
                ended = {"code": int(code), "signal": None, "ended": time.time()}
                write_json(config.output_dir / "exit.json", ended)
            if code is Exit.STOPPED:
                return code
    finally:
        leave()
    return next((code for code in codes if code is not Exit.OK), Exit.OK)


def prepare(configs: Sequence[TrainingConfig]) -> Exit:
    """Fill the cache for every trial."""
    ranks, base = _open(configs[0])
    for config in configs:
        fill_cache(config, base, ranks)
    return Exit.OK


def _train_one(config: TrainingConfig, base: Base, ranks: Ranks, stop: Stop, resume: bool) -> Exit:
    training = Training(config, base, ranks, stop, resume)
    with stop.listening():
        return training.run()


def _open(config: TrainingConfig) -> tuple[Ranks, Base]:
    ranks, name = join(config.device)
    device = choose_device(name)
    return ranks, Base(config.model, device, choose_dtype(config.dtype, device))
