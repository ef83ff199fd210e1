from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bracket.domain import Outcome, Problem, Round, Sample, Score, by_kind
from bracket.session.view import SessionView, TrialView
from bracket.ui.shared import format as words

VIEW = SessionView("owls", Path("/runs/owls"), "running", "search", 7, 24, 754.0, "Searching", ())
TRIAL = TrialView("search-003", Round.SEARCH, "tpe", {"rank": 8}, "rank 8", 1, 120, "training", step=84)


def test_title_leads_with_progress() -> None:
    assert words.page_title(VIEW) == "7/24 Searching · owls · bracket"
    assert words.page_title(replace(VIEW, state="done")) == "Done · owls · bracket"
    assert words.page_title(None) == "bracket"


def test_progress_names_units_and_time_left() -> None:
    assert words.progress_words(VIEW) == "7 of 24 trials, about 12 min 34 s left"
    assert words.progress_words(replace(VIEW, eta=None)) == "7 of 24 trials, measuring the time left"
    assert words.progress_words(replace(VIEW, eta=0.0)) == "7 of 24 trials, longer than expected"
    for other in ({"state": "stopped"}, {"phase": "report"}, {"phase": "starting"}):
        assert words.progress_words(replace(VIEW, **other)) == "7 of 24 trials"
    assert words.progress_words(replace(VIEW, state="stopped", eta=None, planned=0)) == ""


@pytest.mark.parametrize(
    ("phase", "said"),
    [("finals", "Finals"), ("confirmation", "Confirming"), ("checks", "Checking"), ("new", "Running")],
)
def test_a_running_session_says_what_it_runs(phase: str, said: str) -> None:
    assert words.state_words(replace(VIEW, phase=phase)) == said


def test_trials_in_words() -> None:
    assert words.trial_state(TRIAL) == "training 84/120"
    assert words.trial_state(replace(TRIAL, outcome=Outcome.DIVERGED)) == "melted"
    assert words.trial_tone(replace(TRIAL, outcome=Outcome.OUT_OF_MEMORY)) == "bad"
    assert words.trial_tone(replace(TRIAL, outcome=Outcome.STOPPED)) == "quiet"
    assert words.trial_score(replace(TRIAL, score=Score(0.31249, 0.1, 0.4))) == "68.8"
    assert words.trial_score(TRIAL) == "–"


def test_every_outcome_has_words() -> None:
    assert all(words.trial_state(replace(TRIAL, outcome=o)) for o in Outcome)


def test_long_paths_lose_their_middle_and_keep_their_end() -> None:
    path = "/data/" + "deep/" * 30 + "owls"
    short = words.middle(path)
    assert len(short) == 48
    assert short.startswith("/data/")
    assert short.endswith("deep/owls")
    assert words.middle("/data/owls") == "/data/owls"


@pytest.mark.parametrize(("n", "said"), [(999, "999 bytes"), (512_000_000, "512 MB"), (1_240_000_000, "1.2 GB")])
def test_sizes(n: int, said: str) -> None:
    assert words.size(n) == said


def test_untrusted_text_is_escaped() -> None:
    evil = '<img src=x onerror="alert(1)">'
    sample = Sample(Path("/runs/a b/'\"<.png"), evil, 1, 2)
    html = [
        words.problem_html(Problem("error", evil, evil, Path(evil))),
        words.picture(sample, evil),
        words.empty_html(evil),
    ]
    for text in html:
        assert "<img src=x" not in text
        assert 'onerror="' not in text


def test_a_problem_has_mark_sentence_place_and_remedy() -> None:
    html = words.problem_html(Problem("warning", "three captions are empty", "Write them.", Path("/pics")))
    assert 'class="warning"' in html
    assert "Three captions are empty" in html
    assert "/pics" in html
    assert "Write them." in html


def test_file_addresses_are_relative_and_quoted() -> None:
    assert words.file_url(Path("/runs/a b/x#1.png")) == "gradio_api/file=/runs/a%20b/x%231.png"


def test_a_clip_is_a_video_that_shows_a_frame_and_a_picture_an_image() -> None:
    clip, still = (words.picture(Sample(Path(f"/a/b.{kind}"), 'a "star"', 1, 20), "lr 1e-3") for kind in ("mp4", "png"))
    assert clip.startswith('<video class="frame" muted playsinline preload="metadata" src="gradio_api/file=/a/b.mp4"')
    assert still.startswith('<img class="frame" loading="lazy" src="gradio_api/file=/a/b.png" alt="a &quot;star&quot;"')
    assert all('data-large="lr 1e-3 · a &quot;star&quot; · seed 1 · step 20"' in html for html in (clip, still))


def test_problems_of_one_kind_are_one_line_that_opens() -> None:
    small = [
        Problem("warning", f"'a{i}.png' is {i} pixels wide", "Use larger ones.", Path(f"/p/a{i}.png"))
        for i in range(60)
    ]
    html = words.problems_html(
        [*small, Problem("warning", "no caption"), Problem("error", "'a1.png' is 1 pixels wide")]
    )
    assert html.count("<details>") == 1 and "<summary><b>60 ×</b>" in html and "and 10 more" in html
    assert html.count('<li class="warning">') == 2 and html.count('<li class="error">') == 1
    assert '<span class="unseen">warning: </span>' in html, "the mark alone says nothing to a screen reader"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a.png is 3 wide", "b.jpg is 4 wide", True),
        ("'x y.png' has no caption", "'z.png' has no caption", True),
        ("/a/b c: damaged", "/d/e c: damaged", True),
        ("the VAE is missing", "the DiT is missing", False),
    ],
)
def test_a_kind_is_the_sentence_without_its_particulars(one: str, other: str, same: bool) -> None:
    assert (len(by_kind([Problem("warning", one), Problem("warning", other)])) == 1) is same


@pytest.mark.parametrize(
    ("action", "buttons"),
    [
        ("", []),
        ("install musubi", ["install musubi", "use musubi"]),
        ("weight 2", ["weight 2"]),
        ("set device cpu", ["set device cpu"]),
        ("delete everything", []),
    ],
)
def test_a_remedy_that_the_app_can_do_is_a_button(action: str, buttons: list[str]) -> None:
    html = words.problem_html(Problem("error", "so", action=action))
    assert re.findall(r'data-do="([^"]*)"', html) == buttons


def test_a_picture_that_opens_large_can_be_reached_by_keys() -> None:
    html = words.frame_html(Path("/r/a.png"), alt="a star", large="a star, large")
    assert 'tabindex="0"' in html and 'role="button"' in html
    assert "tabindex" not in words.frame_html(Path("/r/a.png"), alt="a star")
