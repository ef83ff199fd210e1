from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from bracket.domain import Outcome, Round, Sample, Wanted
from bracket.runner.reading.events import Curve
from bracket.session import evaluate
from bracket.session.asked import bounds
from bracket.session.job import Context
from bracket.session.melted import why_melted
from bracket.session.running import launch
from bracket.session.store import Store
from tests.session import scripted

SEEDS = range(12)


def _context(folder: Path, drawn: list[Sample]) -> Context:
    find = lambda place: drawn if place == folder / "before" else []  # noqa: E731
    return cast(Context, SimpleNamespace(folder=folder, trainer=SimpleNamespace(find_drawn=find)))


def _curves(*points: tuple[int, float]) -> Mapping[str, Curve]:
    steps, values = zip(*points, strict=True)
    return {"loss/validation": (np.array(steps), np.array(values))}


def _drawn(folder: Path, *, noise: bool) -> list[Sample]:
    """Twelve pictures: each a light on another place of a dark wall, or confetti."""
    folder.mkdir(parents=True)
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 256, (32, 32, 3)) if noise else np.full((32, 32, 3), 20)
        if not noise:
            x, y = 8 * (seed % 4), 10 * (seed // 4)
            pixels[y : y + 12, x : x + 12] = 230
        path = folder / f"{seed}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        found.append(Sample(path, f"prompt {seed}", seed, 100))
    return found


def test_every_sign_alone_is_told(tmp_path: Path) -> None:
    base, melted = _drawn(tmp_path / "a", noise=False), _drawn(tmp_path / "b", noise=True)
    context = _context(tmp_path, base)
    assert why_melted(context, _curves((0, 0.5), (100, 0.3)), base, None) == ""
    assert why_melted(context, {}, melted, None).startswith("it melted: its pictures follow their prompts no longer")
    said = why_melted(context, _curves((0, 0.5), (50, 0.7), (100, 2.0)), base, None)
    assert said == "it melted: its loss on held-out pictures is 2, the base's own 0.5"
    # The size of the change is 8 in each of four outputs.
    half = np.ones((4, 1), np.float32)
    save_file({"q.lora_A.weight": np.full((1, 4), 4, np.float32), "q.lora_B.weight": half}, tmp_path / "x.safetensors")
    said = why_melted(context, {}, base, tmp_path / "x.safetensors")
    assert said == "it melted: its weights answer 8 times as loud as a layer"


@pytest.mark.parametrize(
    "curves",
    [
        {},
        _curves((10, 2.0), (100, 9.0)),  # the base itself was never measured
        _curves((0, float("nan")), (100, 9.0)),
        _curves((0, 0.5), (100, float("nan"))),  # no number at all is told from the log
    ],
)
def test_without_the_bases_own_nothing_is_claimed(tmp_path: Path, curves: Mapping[str, Any]) -> None:
    melted = _drawn(tmp_path / "b", noise=True)
    assert why_melted(_context(tmp_path, []), curves, melted, tmp_path / "missing.safetensors") == ""


def test_pictures_of_other_prompts_and_damaged_ones_say_nothing(tmp_path: Path) -> None:
    base, melted = _drawn(tmp_path / "a", noise=False), _drawn(tmp_path / "b", noise=True)
    fresh = [Sample(s.path, f"fresh {s.prompt}", s.seed, s.step) for s in melted]
    assert why_melted(_context(tmp_path, base), {}, fresh, None) == ""
    melted[2].path.write_bytes(b"no picture")
    assert why_melted(_context(tmp_path, base), {}, melted, None) == ""


def test_a_config_that_melted_is_not_judged_and_never_ranked(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that ended in NaN: it has no score, and the ledger says why."""
    asked = scripted.settings_for(dataset, configs=3).model_copy(update={"baseline": {"learning_rate": 1e-4}})
    folder = launch.create(asked, tmp_path / "s")
    knobs = bounds.bounded_knobs(asked.load_preset(), asked.bounds)
    hot = {"learning_rate": 0.02, "rank": 8, "batch_size": 4}
    store = Store(folder)
    store.begin(Wanted(Round.SEARCH, "baseline", {**hot, "learning_rate": 1e-4}, 0, 6), knobs)
    store.begin(Wanted(Round.SEARCH, "tpe", hot, 0, 6), knobs)
    store.close()

    def melts(context: Context, curves: object, samples: list[Sample], checkpoint: Path | None) -> str:
        assert samples and checkpoint
        return "it melted: so it was told" if "search-001" in checkpoint.parts else ""

    monkeypatch.setattr(evaluate, "why_melted", melts)
    summary = scripted.play(folder)
    assert summary is not None
    last = summary.rounds[Round.SEARCH][-1]
    assert last.config == hot and last.total is None
    (result,) = last.results
    assert (result.outcome, result.cause) == (Outcome.DIVERGED, "it melted: so it was told")
    assert result.score is None and not result.judgements and result.validation_loss is not None
    said = (folder / "report" / "verdict.txt").read_text(encoding="utf-8")
    assert "held; 1 melted, " in said and " learning rate of 2e-2" in said
