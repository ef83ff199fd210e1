"""What this machine has and lacks, each with a remedy."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from bracket.dataset import check_disk
from bracket.domain import Problem
from bracket.environment import runs_folder
from bracket.errors import PresetError
from bracket.homes import TRAINERS, State, examined, home_problems, state_of
from bracket.presets import DEMO_PRESET, broken_presets, list_presets
from bracket.runner.devices import devices

_NEEDED = (
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "optuna",
    "scipy",
    "matplotlib",
    "tensorboard",
    "gradio",
    "PIL",
    "yaml",
    "pydantic",
    "typer",
    "psutil",
)
_DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml"}
_NEEDED_BYTES = 2_000_000_000


def examine(needed: Collection[str] = ()) -> list[Problem]:
    """Everything worth saying about this machine, good and bad.

    Args:
        needed: trainers that must be there; to lack another is only worth a word.
    """
    found = [_python(), *_packages(), *_devices(), *check_disk(runs_folder(), _NEEDED_BYTES)]
    found += [*_trainers(needed), *_presets()]
    if not any(p.level == "error" for p in found):
        found.append(Problem("info", "Ready: `demo` runs the whole job on the embedded base"))
    return found


def _python() -> Problem:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Problem("info", text)


def _packages() -> list[Problem]:
    missing = [m for m in _NEEDED if importlib.util.find_spec(m) is None]
    present = [m for m in _NEEDED if m not in missing]
    names = ", ".join(f"{_DISTRIBUTIONS.get(m, m)} {version(_DISTRIBUTIONS.get(m, m))}" for m in present)
    found = [Problem("info", f"Packages: {names}")]
    found += [Problem("error", f"{m} is not installed", "Run start_gui once to install it.") for m in missing]
    return found


def _devices() -> list[Problem]:
    return [Problem("info", f"Device {d.id}: {d.name}, {d.memory / 2**30:.0f} GiB") for d in devices()]


def _trainers(needed: Collection[str]) -> list[Problem]:
    found = []
    states = list(map(state_of, TRAINERS))
    with ThreadPoolExecutor(len(states)) as pool:  # each takes its imports' seconds
        looks = list(pool.map(_look, states))
    for state, look in zip(map(state_of, TRAINERS), looks, strict=True):
        missed = state.home is None and state.upstream.name in needed
        problems = [replace(p, level="error") for p in state.problems] if missed else state.problems
        if state.ready or look:
            found.append(Problem("info", f"{state.upstream.title}: {', '.join(state.facts)}"))
        found += dict.fromkeys([*problems, *look])
    return found


def _look(state: State) -> list[Problem]:
    """A closer look at a trainer that seems ready, or that only its imports kept from it the last time."""
    home = state.home
    return examined(home) if home and all(p.level != "error" for p in home_problems(home)) else []


def _presets() -> list[Problem]:
    broken = [Problem("error", e.message, e.remedy, Path(str(e.path))) for e in broken_presets()]
    try:
        presets = list_presets()
    except PresetError:
        return broken
    lacking = {p.name: [q for q in p.check_weights({}) if q.level == "error"] for p in presets}
    # Only the demo must be there; another preset's weights are fetched by those who want it. A path that was named and
    # leads nowhere is worth a word all the same.
    found = [
        Problem("error" if name == DEMO_PRESET else "warning", f"{name}: {p.message}", p.remedy, p.path)
        for name, problems in lacking.items()
        for p in problems
        if p.path or name == DEMO_PRESET
    ]
    ready = sum(not problems for problems in lacking.values())
    remedy = "`python -m bracket presets NAME` says what one needs and where to get it."
    said = f"{ready} of {len(presets)} presets have their weights, here or from the hub when first used"
    return [*broken, *found, Problem("info", said, remedy)]
