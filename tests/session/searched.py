"""A session whose search is over in the ledger; nothing was trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bracket.domain import Outcome, Round, Score, TrialResult, Wanted
from bracket.presets import DEMO_PRESET, find_preset
from bracket.search.space import effective
from bracket.session.asked.bounds import bounded_knobs
from bracket.session.asked.settings import Bound, DatasetSettings, from_preset, save
from bracket.session.store import Store


def searched_session(
    folder: Path, trials: int, pictures: str = "pictures", baseline: Mapping[str, float] | None = None
) -> Path:
    """A search of the demo's preset whose score is best at a learning rate of 1e-3."""
    preset = find_preset(DEMO_PRESET)
    settings = from_preset(
        preset, DatasetSettings(folder=pictures), bounds={"rank": Bound(choices=(4, 8))}, baseline=baseline or {}
    )
    folder.mkdir(parents=True)
    save(settings, folder)
    knobs = bounded_knobs(preset, settings.bounds)
    store = Store(folder)
    for i, rate in enumerate(np.geomspace(1e-5, 5e-2, trials)):
        config = effective({**preset.baseline, "learning_rate": float(rate)}, knobs)
        trial = store.begin(Wanted(Round.SEARCH, "tpe" if i else "baseline", config, 1, 100), knobs)
        bad = 0.3 + 0.1 * (float(np.log10(rate)) + 3) ** 2
        store.finish(TrialResult(trial, Outcome.OK, score=Score(bad, 0.5, bad)))
    store.close()
    return folder
