"""The stand-ins do what the real trainers were recorded doing: the same commands end alike and leave the same files."""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from bracket.runner.reading.events import EventReader
from tests.trainers.stand_ins.checkouts import make_checkout

RECORDED = Path(__file__).parents[1] / "data" / "kohya-runs"
NOT_DONE = ("-full", "-resume", "-resume-skip", "-sigterm", "-sigterm-group", "-sigint-group")
"""Ends of runs whose trainer the stand-ins don't stand in for, or that were ended from outside."""
RUNS = sorted(f.name for f in RECORDED.iterdir() if f.is_dir() and not f.name.endswith(NOT_DONE))
_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Invalid)): (.*)|^.*(error): (.*)", re.MULTILINE)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lay under /home/user when the runs were recorded, as far as the stand-ins look at it."""
    from PIL import Image

    home = tmp_path_factory.mktemp("user")
    for trainer, name in (("sd_scripts", "sd"), ("musubi", "musubi")):
        make_checkout(trainer, home / name)
    data = home / "runs" / "_data"
    for name in ("images", "empty_images", "../../models"):
        (data / name).mkdir(parents=True)
    for number in range(6):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(data / "images" / f"{number}.png")
        (data / "images" / f"{number}.txt").write_text("a photo")
    for file in (f for f in RECORDED.iterdir() if f.suffix in (".toml", ".txt")):
        (data / file.name).write_text(file.read_text("utf-8").replace("/home/user", str(home)), encoding="utf-8")
    for name in ("sdxl", "sd15", "zimage_dit", "zimage_vae", "qwen3"):
        (home / "models" / f"{name}.safetensors").touch()
    for run in ("musubi-zimage-cache-latents", "musubi-zimage-cache-te"):
        assert _run(home, run).returncode == 0
    return home


def _run(home: Path, run: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split((RECORDED / run / "command.txt").read_text("utf-8").replace("/home/user", str(home)))
    folder = home / words[1]
    (script,) = (n for n, word in enumerate(words) if word.endswith(".py"))
    python = folder / "venv" / "bin" / "python"
    command = [str(python), str(folder / Path(words[script]).name), *words[script + 1 :]]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def _error(log: str) -> tuple[str, str]:
    """The last error before accelerate's own, without what is not English."""
    found = [m for m in _ERROR.finditer(log) if m[1] != "CalledProcessError"]
    kind, text = [g for g in found[-1].groups() if g] if found else ("", "")
    return kind, text.partition(" /")[0].split(". Please")[0].rstrip(".")


def _names(files: list[str]) -> set[str]:
    """Names of files without states, and without the times and process ids in them."""
    kept = (f for f in files if "-state/" not in f)
    return {re.sub(r"\d{14}|(?<=tfevents\.).*", "*", f) for f in kept}


def _left(run: str) -> list[str]:
    """The files that a recorded run left in its output folder, else the checkpoints that it says it saved."""
    tree = RECORDED / run / "tree.txt"
    if tree.exists():
        lines = [line for line in tree.read_text("utf-8").splitlines() if line.startswith(" ")]
    else:
        log = (RECORDED / run / "stdout.log").read_text("utf-8")
        lines = re.findall(r"^saving checkpoint: (.*)", log, re.MULTILINE)
    return [line.rpartition(f"/{run}/out/")[2] for line in lines]


@pytest.mark.parametrize("run", RUNS)
def test_a_stand_in_ends_as_the_real_one_did(home: Path, run: str) -> None:
    code = json.loads((RECORDED / run / "result.json").read_text("utf-8"))["exit_code"]
    done = _run(home, run)
    assert bool(done.returncode) == bool(code), done.stderr[-500:]
    if code:
        real = _error((RECORDED / run / "stderr.log").read_text("utf-8").replace("/home/user", str(home)))
        assert _error(done.stderr) == real
    out = home / "runs" / run / "out"
    assert _names([str(f.relative_to(out)) for f in out.rglob("*") if f.is_file()]) == _names(_left(run))


@pytest.mark.parametrize("run", [run for run in RUNS if (RECORDED / run / "tfevents.json").exists()])
def test_a_stand_in_logs_what_the_real_one_did(home: Path, run: str) -> None:
    (real,) = json.loads((RECORDED / run / "tfevents.json").read_text("utf-8")).values()
    out = home / "runs" / run / "out"
    if not out.exists():
        _run(home, run)
    made = EventReader(out).read_all()
    assert made.keys() == real.keys()
    for tag, points in real.items():
        assert list(made[tag][0]) == [step for step, _ in points], tag
        assert math.isfinite(made[tag][1][-1]) is math.isfinite(points[-1][1]), tag
