"""What the session costs beside the trainer: `python -m tests.benchmarks.bench_session`.

Runs a session whose trainer does nothing worth mentioning and counts what is left: the wall time of the rounds less the
time its trainer processes ran, per trial. Also times the app's start beside `import gradio` alone.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from bracket.demo.dataset import write_demo_dataset
from bracket.session import launch, view
from bracket.session.store import Store

ROOT = Path(__file__).parents[2]


def scripted() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scripted", ROOT / "tests" / "session" / "scripted.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def per_trial() -> None:
    runs = Path(tempfile.mkdtemp(prefix="bracket-session-"))
    module = scripted()
    asked = module.settings_for(write_demo_dataset(runs / "data"), configs=12, pairs=5, workers=1)
    folder = launch.create(asked, runs / "session")
    began = time.monotonic()
    summary = module.play(folder)
    wall = time.monotonic() - began
    store = Store(folder)
    trained = sum(r.train_seconds for ranking in summary.rounds.values() for ranked in ranking for r in ranked.results)
    trials = len(view.read(folder).trials)
    store.close()
    print(f"{trials} trials in {wall:.1f} s, of which their processes {trained:.1f} s")
    print(f"session beside the trainer: {(wall - trained) / trials:.3f} s per trial (report included)")


def start_up() -> None:
    def timed(code: str) -> float:
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        return time.monotonic() - began

    pairs = [(timed("import gradio"), timed("import app")) for _ in range(3)]
    gradio, ours = (sorted(x)[1] for x in zip(*pairs, strict=True))
    print(f"import gradio {gradio:.2f} s, import app {ours:.2f} s, ratio {ours / gradio:.2f}")


if __name__ == "__main__":
    per_trial()
    start_up()
