"""A session's folder as a run leaves it, made in a second: real ledger, event files, pictures and logs; no training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from bracket.demo.shapes import SHAPES, caption, draw, picture_of
from bracket.domain import Config, Outcome, Round, Score, Trial, TrialResult, Wanted
from bracket.files import append_json, write_json, write_text
from bracket.presets import find_preset
from bracket.search.rungs import ranked, standing
from bracket.search.space import effective
from bracket.session.asked.bounds import bounded_knobs
from bracket.session.asked.settings import SessionSettings
from bracket.session.control import Progress, write_progress
from bracket.session.running import launch
from bracket.session.running.stages import rank
from bracket.session.store import Store
from bracket.training.process.events import EventLog

COLOURS = ("red", "blue", "yellow", "purple", "green", "white")
SPECS = [
    ("big", c, s, b)
    for c, s, b in zip(COLOURS, ("star", "star", "star", "circle", "star", "ring"), COLOURS[::-1], strict=True)
    if c != b
]
PROMPTS = [caption(*s).replace("star", "zorp") for s in SPECS]
FRESH = [("big", c, "star", b) for c, b in zip(COLOURS, COLOURS[2:] + COLOURS[:2], strict=True)]
RATES = (1e-4, 5e-4, 1e-2, 3e-5, 2.4e-3, 6e-4, 4.1e-3, 8e-2, 1.6e-3, 3e-4, 9e-4, 2e-4)
MELTS = 21
CAUSE = f"the loss became infinite at step {MELTS}\nstep {MELTS - 1} loss 8.4e11\nstep {MELTS} loss nan"


@cache
def picture(index: int, good: float, fresh: bool = False) -> Image.Image:
    """A shape between what was asked (`good` 1) and grey noise (`good` 0)."""
    spec = (FRESH if fresh else SPECS)[index]
    rng = np.random.default_rng([index, int(good * 1000)])
    assert spec[2] in SHAPES
    clear = draw([picture_of(spec, np.random.default_rng(index))])[0].astype(float)
    noise = rng.uniform(40, 215, clear.shape)
    return Image.fromarray((clear * good + noise * (1 - good)).clip(0, 255).astype(np.uint8))


def quality(config: Config) -> float:
    """Best at 1e-3: what the made-up trials score by."""
    return float(np.exp(-((np.log10(float(config["learning_rate"])) + 3) ** 2) / 1.2))


def samples(folder: Path, good: float, steps: Sequence[int], fresh: bool = False) -> None:
    for step in steps:
        for i, prompt in enumerate(PROMPTS if not fresh else [caption(*s).replace("star", "zorp") for s in FRESH]):
            place = f"step-{step:06d}/{i:03d}-s100.png"
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            picture(i, round(good * min(1.0, 0.4 + step / steps[-1] * 0.6), 2), fresh).save(folder / place)
            append_json(folder / "index.jsonl", {"path": place, "prompt": prompt, "seed": 100, "step": step})


def events(folder: Path, good: float, steps: int, nan: bool = False) -> None:
    rng = np.random.default_rng(int(good * 1e6))
    log = EventLog(folder / "tfevents")
    for step in range(1, steps + 1):
        loss = 0.25 + (1.2 - 0.6 * good) * np.exp(-step * good / 25) + rng.normal(0, 0.08)
        log.add(step, {"loss/train": float("nan") if nan and step == steps else float(abs(loss))})
        if step % 30 == 0:
            log.add(step, {"loss/validation": float(0.3 + (1 - good) * 0.4 + 0.5 * np.exp(-step / 30))})
    log.close()


def trial_files(trial: Trial, until: int, outcome: Outcome | None) -> None:
    good = quality(trial.config)
    events(trial.folder, good, until, nan=outcome is Outcome.DIVERGED)
    write_text(
        trial.folder / "logs" / "trainer.log", "".join(f"step {i} loss {1 / i:.4f}\n" for i in range(1, until + 1))
    )
    write_text(trial.folder / "command.sh", f"#!/bin/sh\npython -m bracket.training {trial.folder / 'config.yaml'}\n")
    if outcome is Outcome.OK:
        samples(trial.folder / "samples", good, (trial.steps // 2, trial.steps))
        write_json(trial.folder / "exit.json", {"code": 0, "signal": None, "ended": 0})


def result(trial: Trial, outcome: Outcome) -> TrialResult:
    if outcome is not Outcome.OK:
        return TrialResult(trial, outcome, cause=CAUSE)
    bad = 1 - quality(trial.config) + (trial.seed % 7) * 0.002
    return TrialResult(
        trial,
        outcome,
        score=Score(0.3 * bad + 0.7 * bad, bad, bad),
        validation_loss=0.3 + bad * 0.4,
        train_seconds=21.0,
        axes={"adherence": 1 - bad, "likeness": 1 - bad / 2},
        notes=(f"trained on from {trial.continues.name}",) if trial.continues else (),
    )


class Maker:
    """Writes one session step by step."""

    def __init__(self, runs: Path, name: str = "zorp", **search: object) -> None:
        settings = launch.demo_settings(runs=runs)
        # Told here whole, so that what a preset suggests may change: 12, 7 and 4 configs of 30, 60 and 120 steps.
        rungs = {"configs": 12, "steps": 120, "rungs": 3, "reduction": 2.0, **search}
        finals = {"finalists": 3, "steps": 200, "seeds": 2}
        changes = {
            "workers": 1,
            "search": settings.search.model_copy(update=rungs),
            "finals": settings.finals.model_copy(update=finals),
            "confirmation": settings.confirmation.model_copy(update={"pairs": 5}),
        }
        self.settings: SessionSettings = settings.model_copy(update=changes)
        self.folder = launch.create(self.settings, runs / name)
        self.preset = find_preset(self.settings.preset)
        self.knobs = bounded_knobs(self.preset, self.settings.bounds)
        self.store = Store(self.folder)
        self.number = 0

    def trial(
        self,
        round_: Round,
        config: Config,
        *,
        origin: str,
        seed: int,
        steps: int,
        outcome: Outcome | None = Outcome.OK,
        until: int | None = None,
        rung: int = 0,
        continues: str = "",
    ) -> Trial:
        config = effective(config, self.knobs)
        wanted = Wanted(round_, origin, config, seed, steps, continues=continues, rung=rung)
        made = self.store.begin(wanted, self.knobs)
        trial_files(made, steps if until is None else until, outcome)
        if outcome is not None:
            self.store.finish(result(made, outcome))
        return made

    def config(self, rate: float, rank: int = 8) -> Config:
        return {**self.preset.baseline, "learning_rate": rate, "rank": rank}

    def search(self, count: int = len(RATES), running: int = 0) -> None:
        """The first rung, of which the last `running` still train."""
        (steps, *_) = (r.steps for r in self.settings.search_rungs())
        for i in range(count):
            rate = RATES[i % len(RATES)] * (1 + i // len(RATES) / 40)
            origin = "baseline" if i == 0 else "curated" if i < 3 else "tpe"
            melts = rate > 5e-2
            outcome = None if i >= count - running else Outcome.DIVERGED if melts else Outcome.OK
            self.trial(
                Round.SEARCH,
                self.config(rate, 8 if i < 3 else 2 ** (i % 4 + 1)),
                origin=origin,
                seed=11,
                steps=steps,
                outcome=outcome,
                until=MELTS if melts or outcome is None else None,
            )
        self.log(count)

    def rung(self, number: int, running: int = 0, count: int = 1000) -> None:
        """The best of the rung below train on, and the baseline with them; the last `running` still do."""
        plan = self.settings.search_rungs()[number]
        below = ranked(self.store.results(Round.SEARCH), number - 1)
        baseline = [r.trial for r in below if r.trial.origin == "baseline"]
        chosen = [*baseline, *(r.trial for r in below if r.trial not in baseline)][: min(plan.configs, count)]
        for i, t in enumerate(chosen):
            outcome = None if i >= len(chosen) - running else Outcome.OK
            self.trial(
                Round.SEARCH,
                t.config,
                origin=t.origin,
                seed=t.seed,
                steps=plan.steps,
                outcome=outcome,
                until=None if outcome else (t.steps + plan.steps) // 2,
                rung=number,
                continues=t.id,
            )

    def finals(self, running: int = 0) -> None:
        best = [r.trial.config for r in standing(self.store.results(Round.SEARCH)) if r.trial.origin != "baseline"]
        configs = [("baseline", self.config(RATES[0])), *(("finalist", c) for c in best[:3])]
        wanted = [(seed, *c) for seed in (21, 22) for c in configs]
        for i, (seed, origin, config) in enumerate(wanted):
            outcome = None if i >= len(wanted) - running else Outcome.OK
            until = None if outcome else 84
            self.trial(Round.FINALS, config, origin=origin, seed=seed, steps=200, outcome=outcome, until=until)

    def confirmation(self, pairs: int = 5) -> None:
        self.before()
        winner = rank(self.store.results(Round.FINALS))[0].config
        for name, config in (("winner", winner), ("baseline", self.config(RATES[0]))):
            samples(self.folder / "confirm" / name, quality(config), (200,), fresh=True)
        for seed in range(31, 31 + pairs):
            for origin, config in (("baseline", self.config(RATES[0])), ("winner", winner)):
                self.trial(Round.CONFIRMATION, config, origin=origin, seed=seed, steps=200)

    def before(self) -> None:
        samples(self.folder / "before", 0.2, (1,))

    def report(self) -> None:
        write_text(self.folder / "report" / "report.html", "<!doctype html><title>Report</title><h1>Report</h1>")
        write_text(
            self.folder / "report" / "verdict.txt",
            "**lr 9e-4** wins. Its pictures beat the baseline's in 81 % of 40 fresh prompts (95 % interval 67–91 %). "
            "This is about this LoRA file; for the settings, 5 of 5 needed runs are done.",
        )
        argv = ["python", "-m", "bracket.training", str(self.folder / "winner" / "config.yaml"), "--resume"]
        write_json(self.folder / "winner" / "argv.json", {"argv": argv})

    def log(self, lines: int) -> None:
        text = "".join(f"2026-01-01 10:00:{i:02d} INFO trial search-{i:03d} ended: ok\n" for i in range(lines))
        write_text(self.folder / "session.log", text)

    def state(
        self, state: str, phase: str, done: int, planned: int = 30, eta: float | None = None, message: str = ""
    ) -> None:
        write_progress(self.folder, Progress(state, phase, done, planned, eta, message))

    def runs_here(self) -> None:
        """As if the process that asks ran this session."""
        import psutil

        me = psutil.Process()
        (self.folder / "lock").write_text(json.dumps({"pid": me.pid, "started": me.create_time()}))

    def close(self) -> None:
        self.store.close()


def done_session(runs: Path, name: str = "zorp") -> Path:
    """A session that went all the way."""
    maker = Maker(runs, name)
    maker.search()
    maker.rung(1)
    maker.rung(2)
    maker.finals()
    maker.confirmation()
    maker.report()
    maker.state("done", "done", 41, planned=41, message="Done")
    maker.close()
    return maker.folder


def running_session(runs: Path, name: str = "zorp-live") -> Path:
    """A session in the middle of its search, run by this very process."""
    maker = Maker(runs, name)
    maker.search(count=8, running=1)
    maker.before()
    maker.state("running", "search", 7, eta=742.0, message="Searching")
    maker.runs_here()
    maker.close()
    return maker.folder
