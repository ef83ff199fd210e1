"""Drawing pictures from finished checkpoints, side by side where workers allow.

A folder of pictures may have parts: what an interrupted drawing left whole is kept, and only the rest is drawn, into a
part of its own, since programs that draw begin their folder anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bracket.domain import PART, Prompt
from bracket.errors import TrainerError
from bracket.runner.devices import Device
from bracket.runner.executor import Handle
from bracket.runner.processes.launched import Exit
from bracket.session.running.rounds import POLL_SECONDS, RoundRunner, why
from bracket.trainers import Trainer
from bracket.trainers.base import drawn_in, places_of


@dataclass(frozen=True)
class Drawing:
    """What is to be in `folder`: a picture of each prompt from a checkpoint (None: from the bare base)."""

    folder: Path
    checkpoint: Path | None
    prompts: Sequence[Prompt]


@dataclass(frozen=True)
class _Running:
    drawing: Drawing
    out: Path
    handle: Handle
    device: Device


def draw(runner: RoundRunner, drawings: Sequence[Drawing], enough: Callable[[], bool] = lambda: False) -> None:
    """Draw what is missing. Every program has ended when this returns or raises.

    Args:
        enough: asked again and again; once it says so, what still draws is stopped.

    Raises:
        TrainerError: a program failed, with the end of its log.
        Stopped: the session was asked to stop.
    """
    queue = [d for d in drawings if _missing(runner, d)]
    running: list[_Running] = []
    try:
        while (queue or running) and not enough():
            runner.heed_stop()
            for device in runner.free_slots([r.device for r in running])[: len(queue)]:
                running.append(_start(runner, queue.pop(0), device))
            for item, exit in [(r, exit) for r in running if (exit := r.handle.poll()) is not None]:
                running.remove(item)
                _hold_to(runner, item, exit)
            runner.report()
            time.sleep(POLL_SECONDS)
    finally:
        for item in running:
            item.handle.stop()
        while any(item.handle.poll() is None for item in running):
            time.sleep(POLL_SECONDS)


def _start(runner: RoundRunner, drawing: Drawing, device: Device) -> _Running:
    context = runner.context
    out = _next_place(context.trainer, drawing.folder)
    launch = context.trainer.draw(context.verdict_job(), drawing.checkpoint, _missing(runner, drawing), out)
    return _Running(drawing, out, runner.executor.submit(launch, device), device)


def _missing(runner: RoundRunner, drawing: Drawing) -> list[Prompt]:
    there = {(s.prompt, s.seed) for s in drawn_in(runner.context.trainer, drawing.folder)}
    return [p for p in drawing.prompts if (p.text, p.seed) not in there]


def _hold_to(runner: RoundRunner, item: _Running, exit: Exit) -> None:
    if missing := _missing(runner, item.drawing):
        log = item.out.with_name(f"{item.out.name}.log")
        what = "the base's pictures" if item.drawing.checkpoint is None else "pictures"
        lacks = f"drew {len(item.drawing.prompts) - len(missing)} of {len(item.drawing.prompts)} pictures"
        reason = why(log, exit, lacks)
        raise TrainerError(f"drawing {what} failed: {reason}", path=log, remedy="Mend what it names and resume.")


def _next_place(trainer: Trainer, folder: Path) -> Path:
    """Where the rest is drawn: the folder itself while it is empty, then a part of it that is."""
    places = places_of(folder)
    empty = next((p for p in places if not trainer.find_drawn(p)), None)
    return empty or folder / f"{PART}{len(places) + 1}"
