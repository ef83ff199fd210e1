"""Does a session of 10,000 trials stay quick? `python -m tests.benchmarks.bench_scale [--trials 10000]`.

Makes a session folder whose ledger holds so many search trials in three rungs (a real `study.db`; folders for only some
hundred of them, with small pictures, as if the others had been cleared away) and one with 100, and times on both, in
seconds and as a ratio: the next trial (proposed, begun, told), the reading of the session, what the app builds of it,
the report, and the page in a real browser. Then the memory of a process that polls as pages do, while trials come in.
The figures to reach: the next trial below 0.5 s, the Results page below 1 s, memory flat.

Every figure is the median wall time, and beside it the processor's: on a busy machine the first is the longer. For the
page in the browser that is the time of all processors that the app and the browser use.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from bracket.domain import DatasetSplit, Knob, Outcome, Round, Score, Trial, TrialResult, Wanted
from bracket.files import append_json
from bracket.presets import find_preset
from bracket.report import write_report
from bracket.report.summary import Summary
from bracket.search.rungs import Rung
from bracket.search.space import active, distributions, effective, random_config
from bracket.search.strategies.protocol import Strategy, make_strategy
from bracket.session import view
from bracket.session.asked.bounds import bounded_knobs
from bracket.session.asked.settings import DatasetSettings, SessionSettings, from_preset, save
from bracket.session.control import Progress, write_progress
from bracket.session.job import resolve
from bracket.session.planning.outlook import ahead, enough_of
from bracket.session.running.summarise import summarise
from bracket.session.store import Store, _described, _told, name_of
from tests.ui.browser import launched, opened, started

PRESET = "flux2-klein-4b-lora"
SMALL = 100
SHARES = (0.8, 0.16, 0.04)
"""Of the trials, by rung."""
FOLDERS = 300
LAST = 10
"""Trials that are begun and told through the session's own calls."""
POLLS = 200
MORE = 100_000
"""Configs the search may still try, so that it never counts as done."""


@dataclass(frozen=True)
class Time:
    """Seconds of one thing: by the clock and of the processor."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Made:
    """A session's folder and what it was made of."""

    folder: Path
    settings: SessionSettings
    knobs: tuple[Knob, ...]
    sizes: tuple[int, ...]

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs as they stand."""
        return tuple(Rung(n, 100 * 2**k) for k, n in enumerate(self.sizes))


def make(runs: Path, trials: int) -> Made:
    """A session with so many told trials."""
    preset = find_preset(PRESET)
    asked = from_preset(preset, DatasetSettings(folder=str(runs)))
    search = asked.search.model_copy(update={"configs": MORE, "steps": 400, "stop_below": 1e-9})
    settings = asked.model_copy(update={"search": search})
    folder = runs / f"session-{trials}"
    save(settings, folder)
    made = Made(folder, settings, bounded_knobs(preset, settings.bounds), tuple(round(trials * s) for s in SHARES))
    store = Store(folder)
    below = _first(made)
    for rung, size in enumerate(made.sizes):
        below = sorted(below, key=lambda r: r.score.total if r.score else np.inf)[:size] if rung else below
        wanted = [_wanted(made, r, rung) for r in below]
        below = [_result(store._trial(w, n)) for n, w in enumerate(wanted)]
        _fill(store, made, rung, wanted, below)
        for result in below[:: max(1, trials // FOLDERS)]:
            _pictures(result.trial)
    store.close()
    write_progress(folder, Progress("stopped", "search", trials, MORE, message="Searching"))
    return made


def _first(made: Made) -> list[TrialResult]:
    """The first rung: the baseline, and configs by chance."""
    rng = np.random.default_rng(0)
    baseline = effective(find_preset(PRESET).baseline, made.knobs)
    configs = [baseline, *(random_config(made.knobs, rng) for _ in range(made.sizes[0] - 1))]
    return [
        _result(Trial("", Round.SEARCH, "tpe" if n else "baseline", c, 1, 1, Path())) for n, c in enumerate(configs)
    ]


def _wanted(made: Made, below: TrialResult, rung: int) -> Wanted:
    t = below.trial
    return Wanted(Round.SEARCH, t.origin, t.config, 1, made.rungs[rung].steps, continues=t.id, rung=rung)


def _result(trial: Trial) -> TrialResult:
    """Made up; one in twenty melts in the first rung."""
    bad = 0.2 + 0.6 * float(np.random.default_rng(list(repr(sorted(trial.config.items())).encode())).random())
    if bad > 0.77 and trial.origin != "baseline":
        return TrialResult(trial, Outcome.DIVERGED, cause="the loss became infinite at step 21")
    return TrialResult(trial, Outcome.OK, score=Score(bad, bad, bad), validation_loss=bad, train_seconds=20.0)


def _fill(store: Store, made: Made, rung: int, wanted: Sequence[Wanted], results: Sequence[TrialResult]) -> None:
    """Told trials at once. Optuna's own `add_trials` asks the database some twenty times for each."""
    from optuna.distributions import distribution_to_json
    from optuna.storages._rdb import models
    from optuna.trial import TrialState

    study = store._study(name_of(Round.SEARCH, rung))
    now = datetime.now()
    rows: dict[Any, list[dict[str, Any]]] = {}
    with store._storage.engine.begin() as connection:
        first = 1 + (connection.exec_driver_sql("SELECT max(trial_id) FROM trials").scalar() or 0)
        for number, (w, r) in enumerate(zip(wanted, results, strict=True)):
            at = first + number
            state = TrialState.COMPLETE if r.score else TrialState.PRUNED
            row: dict[str, Any] = {"trial_id": at, "number": number, "study_id": study._study_id, "state": state}
            rows.setdefault(models.TrialModel, []).append({**row, "datetime_start": now, "datetime_complete": now})
            for name, kind in distributions(active(made.knobs, w.config)).items():
                value = {"param_value": kind.to_internal_repr(w.config[name]), "param_name": name}
                said = {"distribution_json": distribution_to_json(kind), "trial_id": at}
                rows.setdefault(models.TrialParamModel, []).append({**value, **said})
            for key, told in (("trial", _described(w)), ("result", _told(r))):
                row = {"trial_id": at, "key": key, "value_json": json.dumps(told)}
                rows.setdefault(models.TrialUserAttributeModel, []).append(row)
            if r.score:
                value = {"value": r.score.total, "value_type": models.TrialValueModel.TrialValueType.FINITE}
                rows.setdefault(models.TrialValueModel, []).append({"trial_id": at, "objective": 0, **value})
        for model, found in rows.items():
            connection.execute(model.__table__.insert(), found)


def _pictures(trial: Trial) -> None:
    folder = trial.folder / "samples"
    for prompt in range(2):
        place = f"step-{trial.steps:06d}/{prompt:03d}-s100.png"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (trial.steps % 255, 90, 90)).save(folder / place)
        append_json(folder / "index.jsonl", {"path": place, "prompt": f"p{prompt}", "seed": 100, "step": trial.steps})


def timed(work: Callable[[], object], times: int = 1) -> Time:
    """The median of so many calls."""
    found = []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return Time(*(statistics.median(x) for x in zip(*found, strict=True)))


# What is measured


def proposing(made: Made) -> dict[str, Time]:
    """The last trials of the search, each proposed, begun and told as `stages.search` and the round's runner do it."""
    found: dict[str, Time] = {}
    cold = Store(made.folder)
    found["the ledger, opened and read"] = timed(lambda: (cold.results(Round.SEARCH), cold.open_trials(Round.SEARCH)))
    cold.close()
    survivors = (*made.rungs[:2], Rung(made.rungs[2].configs + 10 * LAST, made.rungs[2].steps))
    more = (Rung(made.rungs[0].configs + 10 * LAST, made.rungs[0].steps), *made.rungs[1:])
    for title, name, rungs in (
        ("next survivor, tournament", "tournament", survivors),
        ("next config, tournament by TPE", "tournament", more),
        ("next config, random", "random", more),
    ):
        store = Store(made.folder)
        strategy = _strategy(made, name, rungs)
        enough = enough_of(resolve(made.settings, made.folder))

        def one(store: Store = store, strategy: Strategy = strategy, enough: Any = enough) -> None:
            told, open_ = store.results(Round.SEARCH), store.open_trials(Round.SEARCH)
            ahead(enough, told, open_)
            (wanted,) = strategy.propose(told, open_, 1)
            trial = store.begin(wanted, made.knobs)
            store.results(Round.SEARCH), store.open_trials(Round.SEARCH)  # the runner looks for the rung's baseline
            store.finish(_result(trial))

        found[f"first {title.removeprefix('next ')} after a resume"] = timed(one)
        found[title] = timed(one, LAST - 1)
        store.close()
    return found


def _strategy(made: Made, name: str, rungs: Sequence[Rung]) -> Strategy:
    baseline = find_preset(PRESET).baseline
    return make_strategy(name, rungs=rungs, knobs=made.knobs, baseline=baseline, curated=(), seed=0, training_seed=1)


def reading(made: Made) -> dict[str, Time]:
    """The session as the app reads it."""
    found = {
        "view, first": timed(lambda: view.read(made.folder)),
        "view, polled unchanged": timed(lambda: view.read(made.folder), 5),
    }
    store, rng = Store(made.folder), np.random.default_rng(5)
    store.results(Round.SEARCH)

    def one_more() -> None:
        wanted = Wanted(Round.SEARCH, "tpe", random_config(made.knobs, rng), 1, 100)
        store.finish(_result(store.begin(wanted, made.knobs)))

    after = []
    for _ in range(3):
        one_more()
        after.append(timed(lambda: view.read(made.folder)))
    found["view, after one more trial"] = sorted(after, key=lambda t: t.cpu)[1]
    store.close()
    return found


def drawing(made: Made) -> dict[str, Time]:
    """What the app builds of it."""
    from bracket.ui.page import Page
    from bracket.ui.results import tab as results
    from bracket.ui.shared import loss_chart as chart
    from bracket.ui.views import bracket as bracket_view

    page, name = Page(made.folder.parent), made.folder.name
    shown = page.context.read(name)
    seen = page._poll(name, None, {})[-1]
    stamp = bracket_view.told(shown, "")["stamp"]

    def redrawn() -> None:
        bracket_view._known.clear()
        bracket_view.told(shown, "")

    return {
        "Results, built": timed(lambda: results.values(shown, pick=True), 3),
        "page, first poll": timed(lambda: page._poll(name, None, {}), 3),
        "page, later polls": timed(lambda: page._poll(name, None, seen), 5),
        "bracket, drawn": timed(redrawn, 3),
        "bracket, polled unchanged": timed(lambda: bracket_view.told(shown, stamp), 5),
        "curves, polled": timed(lambda: chart.points(shown, None, {}), 3),
    }


def reporting(made: Made) -> dict[str, Time]:
    """The report of the search so far."""
    dataset = DatasetSplit(made.folder, (), (), ("p0", "p1"), ("p2",), "", "")
    context, store = replace(resolve(made.settings, made.folder), dataset=dataset, faults=()), Store(made.folder)
    found: list[Summary] = []
    times = {
        "summary": timed(lambda: found.append(summarise(context, store, judge="made up", seconds={}))),
        "report, written": timed(lambda: write_report(found[0], made.folder.parent / "report")),
    }
    store.close()
    return times


def paging(made: Made) -> dict[str, Time]:
    """The app, opened in a browser on the session; then Results."""
    log = made.folder.parent / "app.log"
    with launched() as browser, started(made.folder.parent, log) as url, opened(browser, url):
        pass  # what starts with the first page only
    with launched() as browser, started(made.folder.parent, log) as url:
        began = _now()
        with opened(browser, url) as (page, complaints):
            page.wait_for_selector("#cards .card")
            page.wait_for_selector("#samples img")
            watched = _now()
            page.keyboard.press("5")
            page.wait_for_selector("#tournament .card")
            page.wait_for_function("() => document.querySelector('#table').innerText.includes('search')")
            page.wait_for_selector("#xyz img")
            found = _now()
            assert not complaints, complaints
    return {"page opened: Monitor shows": _between(began, watched), "then Results shows": _between(watched, found)}


def _now() -> Time:
    """The clock, and what this process and all it started have used of the processors."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    used = [p.cpu_times() for p in family]
    return Time(time.perf_counter(), sum(t.user + t.system for t in used))


def _between(one: Time, other: Time) -> Time:
    return Time(other.wall - one.wall, other.cpu - one.cpu)


def memory(made: Made) -> str:
    """Resident memory over many polls of all that a page asks for each second; a trial comes in with every tenth."""
    from bracket.ui.page import Page
    from bracket.ui.shared import loss_chart as chart
    from bracket.ui.views import bracket as bracket_view

    page, name, process = Page(made.folder.parent), made.folder.name, psutil.Process()
    store, rng = Store(made.folder), np.random.default_rng(6)
    seen: dict[str, Any] = {}
    stamp, sizes = "", []
    for poll in range(POLLS):
        if poll % 10 == 0:
            wanted = Wanted(Round.SEARCH, "tpe", random_config(made.knobs, rng), 1, 100)
            store.finish(_result(store.begin(wanted, made.knobs)))
        page.context._read.cache_clear()
        seen = page._poll(name, None, seen)[-1]
        shown = page.context.read(name)
        stamp = bracket_view.told(shown, stamp, sparks=True)["stamp"]
        chart.points(shown, None, {})
        sizes.append(process.memory_info().rss / 2**20)
    store.close()
    first, warm, last = (f"{sizes[n]:.0f}" for n in (0, POLLS // 10, -1))
    return f"memory: {first} MiB after the first poll, {warm} after {POLLS // 10}, {last} after {POLLS}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="bracket-scale-") as runs:
        small, big = (make(Path(runs, str(trials)), trials) for trials in (SMALL, given.trials))
        print(f"{'':<44}{SMALL:>10} trials{given.trials:>15} trials     ratio (of the processor's time)")
        for measure in (proposing, reading, drawing, reporting, paging):
            few, many = measure(small), measure(big)
            for title in few:
                _line(title, few[title], many[title])
        print(memory(big))


def _line(title: str, few: Time, many: Time) -> None:
    cells = "".join(f"{t.wall:10.3f} ({t.cpu:.3f})" for t in (few, many))
    print(f"{title:<44}{cells}{many.cpu / few.cpu:10.1f}", flush=True)


if __name__ == "__main__":
    main()
