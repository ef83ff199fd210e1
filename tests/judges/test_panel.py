"""Several judges as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bracket.domain import Judgement, Preference, Sample
from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges.panel import Panel

A, B = Sample(Path("a.png"), "a dog", 1, 10), Sample(Path("b.png"), "a dog", 1, 20)


class Fixed:
    """Says of every picture what it was told to."""

    def __init__(self, name: str, score: float, *, exclusive: bool = False, away: bool = False) -> None:
        self.name, self.fingerprint, self.exclusive = name, f"{name}-{score}", exclusive
        self._score, self._away = score, away
        self.calls: list[str] = []

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        if self._away:
            raise JudgeUnavailable("the server is down")
        return [Judgement(s, self.name, self._score, {"quality": self._score}, spread=0.2) for s in samples]

    def compare(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Preference]:
        return [Preference(a, b, self.name, self._score, flipped=self._score == 0.5) for a, b in pairs]

    def park(self) -> None:
        self.calls.append("park")

    def remarks(self) -> list[str]:
        return ["2 of 9 questions refused"]

    def close(self) -> None:
        self.calls.append("close")


def test_the_score_is_the_mean_by_share_and_every_judge_keeps_its_columns() -> None:
    (said,) = Panel([(Fixed("clip", 0.4), 1.0), (Fixed("vl", 0.8), 3.0)]).score([A])
    assert said.score == pytest.approx(0.7)
    assert said.axes == {"clip": 0.4, "vl": 0.8, "clip.quality": 0.4, "vl.quality": 0.8}
    assert said.spread == pytest.approx(0.2) and said.judge == "panel"


def test_a_judge_without_a_share_is_shown_and_does_not_count() -> None:
    panel = Panel([(Fixed("clip", 0.4), 1.0), (Fixed("reference", 0.9), 0.0)])
    (said,) = panel.score([A])
    assert said.score == pytest.approx(0.4) and said.axes["reference"] == 0.9
    (chosen,) = panel.compare([(A, B)])
    assert chosen.value == pytest.approx(0.4) and not chosen.flipped


def test_two_of_a_kind_are_told_apart_and_remarks_name_their_judge() -> None:
    panel = Panel([(Fixed("vl", 0.5), 1.0), (Fixed("vl", 0.6), 1.0)])
    assert set(panel.score([A])[0].axes) >= {"vl-1", "vl-2"}
    assert panel.remarks() == ["vl-1: 2 of 9 questions refused", "vl-2: 2 of 9 questions refused"]
    assert panel.compare([(A, B)])[0].flipped


def test_one_judge_away_keeps_the_whole_panel_waiting() -> None:
    with pytest.raises(JudgeUnavailable):
        Panel([(Fixed("clip", 0.4), 1.0), (Fixed("vl", 0.8, away=True), 1.0)]).score([A])


def test_it_needs_the_gpu_when_one_of_them_does_and_parks_and_closes_all() -> None:
    judges = [Fixed("clip", 0.4), Fixed("vl", 0.8, exclusive=True)]
    panel = Panel([(j, 1.0) for j in judges])
    assert panel.exclusive
    panel.park()
    panel.close()
    assert [j.calls for j in judges] == [["park", "close"]] * 2


def test_somebody_must_count() -> None:
    with pytest.raises(JudgeError, match="no judge counts"):
        Panel([(Fixed("clip", 0.4), 0.0)])


def test_shares_are_part_of_what_it_is() -> None:
    one, other = (Panel([(Fixed("clip", 0.4), 1.0), (Fixed("vl", 0.8), s)]).fingerprint for s in (1.0, 2.0))
    assert one != other
