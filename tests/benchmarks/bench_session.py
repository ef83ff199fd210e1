"""What the session costs beside the trainer: `python -m tests.benchmarks.bench_session`.

Runs a session whose trainer does nothing worth mentioning and counts what is left: the wall time of the rounds less the
time its trainer processes ran, per trial. Then times the app's start beside `import gradio` alone.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bracket.demo.dataset import write_demo_dataset
from bracket.session import view
from bracket.session.running import launch
from bracket.session.store import Store
from tests.session import scripted

ROOT = Path(__file__).parents[2]


def per_trial() -> None:
    runs = Path(tempfile.mkdtemp(prefix="bracket-session-"))
    asked = scripted.settings_for(write_demo_dataset(runs / "data"), configs=12, pairs=5, workers=1)
    folder = launch.create(asked, runs / "session")
    began = time.monotonic()
    summary = scripted.play(folder)
    wall = time.monotonic() - began
    store = Store(folder)
    trained = sum(r.train_seconds for ranking in summary.rounds.values() for ranked in ranking for r in ranked.results)
    trials = len(view.read(folder).trials)
    store.close()
    print(f"{trials} trials in {wall:.1f} s, of which their processes {trained:.1f} s")
    print(f"session beside the trainer: {(wall - trained) / trials:.3f} s per trial (report included)")


def start_up() -> None:
    """Seconds from starting `app.py` to its first page, beside what `import gradio` alone takes."""
    pairs = [(_import_gradio(), _first_page()) for _ in range(3)]
    gradio, ours = (sorted(times)[1] for times in zip(*pairs, strict=True))
    print(f"import gradio {gradio:.2f} s, app up {ours:.2f} s, ratio {ours / gradio:.2f}")


def _import_gradio() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import gradio"], check=True, cwd=ROOT)
    return time.monotonic() - began


def _first_page() -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    command = [sys.executable, "app.py", "--port", str(port), "--no-browser", "--runs", tempfile.mkdtemp()]
    app = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
                return time.monotonic() - began
            except OSError:
                time.sleep(0.02)
    finally:
        app.kill()
        app.wait()


if __name__ == "__main__":
    per_trial()
    start_up()
