from __future__ import annotations

from bracket.domain import Knob
from bracket.stats.search.scale import is_log, is_number, knob_ends


def test_ranges_and_numeric_choices_have_a_scale() -> None:
    ranks = Knob("rank", "choice", choices=(32, 4, 8, 16))
    assert is_number(ranks) and is_log(ranks) and knob_ends(ranks) == (4, 32)
    few = Knob("n", "choice", choices=(0, 2, 3))
    assert is_number(few) and not is_log(few)
    rate = Knob("lr", "float", low=1e-5, high=1e-1, log=True)
    assert is_number(rate) and is_log(rate) and knob_ends(rate) == (1e-5, 1e-1)


def test_names_and_switches_have_none() -> None:
    assert not is_number(Knob("o", "choice", choices=("adamw", "sgd")))
    assert not is_number(Knob("o", "choice", choices=(True, False)))
    assert not is_number(Knob("o", "choice", choices=(8,)))
