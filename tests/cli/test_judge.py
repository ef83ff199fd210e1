"""`judge` as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bracket.cli.judge import judge_settings, model_name
from bracket.cli.judge import test_lines as lines_of
from bracket.domain import Judgement, Preference, Sample
from bracket.errors import SettingsError
from bracket.judges.graded.pairs import GradedSet, make_set

ROOT = Path(__file__).parents[2]
A, B = (Sample(Path(name), "a big star", 0, 0) for name in ("one.png", "two.png"))


def judge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bracket", "judge", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert "Traceback" not in ended.stderr
    return ended


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> GradedSet:
    return make_set("drawings", tmp_path_factory.mktemp("drawings"), pairs=1)


def test_two_pictures_by_axis() -> None:
    first = Judgement(A, "vlm", 0.8, {"adherence": 0.75, "artefacts": 0.9}, 0.03, "median of 5")
    second = Judgement(B, "vlm", 0.6, {"adherence": 0.5}, 0.04, "median of 5")
    assert lines_of(first, second, Preference(A, B, "vlm", 1.0), (2.04, 1.0)) == [
        "A  one.png",
        "B  two.png",
        "",
        "                    A           B",
        "judged     80.0 ± 3.0  60.0 ± 4.0",
        "adherence        75.0        50.0",
        "artefacts        90.0           –",
        "",
        "Judged (median of 5): A is better by 20.0 points, 4.0 times their spread.",
        "Side by side: A is better.",
        "2.0 s to score both, its start included; 1.0 s to compare them.",
    ]


@pytest.mark.parametrize(
    ("value", "flipped", "words"),
    [
        (0.0, False, "B is better."),
        (0.2, False, "B is better (80% sure)."),
        (0.5, False, "a tie."),
        (0.5, True, "a tie, for in the other order it chose the other picture."),
    ],
)
def test_side_by_side(value: float, flipped: bool, words: str) -> None:
    equal = [Judgement(s, "clip", 0.5, {}) for s in (A, B)]
    lines = lines_of(*equal, Preference(A, B, "clip", value, flipped), (0, 0))
    assert lines[-3:-1] == ["Judged: no difference.", f"Side by side: {words}"]


def test_settings_of_a_judge() -> None:
    demo = judge_settings("clip", "", "", "", [])
    assert model_name(demo) == "scorer" and demo.repeats == 5
    named = ("openai_api", "qwen", "http://localhost:1/v1", "r.yaml")
    other = judge_settings(*named, ["repeats=3", "weights={quality: 2}"])
    assert (other.kind, other.model, other.url, other.rubric) == named
    assert (other.repeats, other.weights, model_name(other)) == (3, {"quality": 2.0}, "qwen")
    assert judge_settings("qwen_vl", "", "", "", []).model == ""
    for entry, words in [("repeats", "needs name=value"), ("weights={", "needs"), ("repeats=no", "repeats")]:
        with pytest.raises(SettingsError, match=words):
            judge_settings("clip", "", "", "", [entry])


@pytest.mark.slow
def test_bench_measures_and_writes(tmp_path: Path) -> None:
    ended = judge("bench", "--pairs", "80", "--only", "drawings", "--out", str(tmp_path / "out"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("drawings: 80 pairs, judge clip scorer (") and ended.stderr == ""
    data = json.loads((tmp_path / "out" / "bench.json").read_text())
    (whole,) = [r for r in data["drawings"]["rows"] if (r["kind"], r["level"]) == ("all", 0)]
    assert whole["pairs"] == 80 and whole["score"]["right"] > 0.9
    assert "| right by score, % |" in (tmp_path / "out" / "bench.md").read_text()
    assert len(list((tmp_path / "out" / "drawings" / "pictures").iterdir())) == 2 * 42


@pytest.mark.slow
def test_bench_writes_nothing_into_a_folder_of_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "bench.md").write_text("mine")
    ended = judge("bench", "--pairs", "40", "--only", "drawings", "--out", str(tmp_path))
    assert ended.returncode == 1 and "holds something that no bench made" in ended.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bench.md"] and (tmp_path / "bench.md").read_text() == "mine"


@pytest.mark.slow
def test_two_pictures_are_judged(drawings: GradedSet) -> None:
    pair = next(p for p in drawings.pairs if (p.kind, p.level) == ("wrong subject", 5))
    concept = ("--data", str(drawings.dataset.folder), "--trigger", "zorp", "--class-word", "star")
    ended = judge("test", str(pair.better.path), str(pair.worse.path), "--prompt", pair.better.prompt, *concept)
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("Judge clip scorer (") and "Side by side: A is better." in lines
    assert [line.split()[0] for line in lines[5:9]] == ["judged", "adherence", "likeness", "originality"]
    scores = [float(word) for word in lines[5].split()[1:]]
    assert scores[0] > scores[1] + 30


@pytest.mark.slow
def test_what_is_wrong_is_one_sentence(drawings: GradedSet, tmp_path: Path) -> None:
    picture = str(drawings.pairs[0].better.path)
    for arguments, words in [
        (("test", picture, picture, "--prompt", "a star"), "Name the folder of your training pictures with --data."),
        (("test", picture, "gone.png", "--prompt", "x", "--data", str(drawings.dataset.folder)), "gone.png"),
        (("bench", "--only", "paintings"), "there is no graded set called 'paintings'"),
        (("bench", "--kind", "clop"), "Did you mean 'clip'?"),
        (("bench", "--photos", str(tmp_path / "none"), "--only", "photos"), "none"),
    ]:
        ended = judge(*arguments)
        assert ended.returncode == 1 and words in ended.stderr and ended.stderr.count("\n") == 1, ended.stderr


@pytest.mark.slow
def test_check_says_what_is_missing(tmp_path: Path) -> None:
    fine, broken = judge("check"), judge("check", "--model", str(tmp_path / "gone"))
    assert (fine.returncode, fine.stdout) == (0, "Nothing keeps this judge from working.\n")
    assert broken.returncode == 1 and "model folder is missing" in broken.stdout
