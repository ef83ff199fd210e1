from __future__ import annotations

import pytest

from bracket.report.scores import matrices

OURS = [("b", 7, 0.9), ("b", 3, 0.8), ("a", 3, 0.7), ("a", 7, 0.6)]


def test_both_sides_take_the_winners_order() -> None:
    theirs = [("a", 7, 0.1), ("a", 3, 0.2), ("b", 3, 0.3), ("b", 7, 0.4)]
    first, second = matrices(OURS, theirs)
    assert first.tolist() == [[0.9, 0.8], [0.7, 0.6]]
    assert second.tolist() == [[0.4, 0.3], [0.2, 0.1]]


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        (OURS, OURS[:-1], "'a' with sample seed 7 was judged on one side only"),
        (OURS[:-1], OURS[:-1], "different numbers"),
        ([*OURS, OURS[0]], OURS, "more than once"),
        ([], [], "nothing was judged"),
    ],
)
def test_what_is_not_paired_is_refused(ours: list, theirs: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        matrices(ours, theirs)
