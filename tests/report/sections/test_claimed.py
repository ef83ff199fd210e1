"""How the claims are told, where the report's other tests don't look."""

from __future__ import annotations

import pytest

from bracket.report.sections.claimed import _config_terms
from bracket.stats import config_claim, decide


@pytest.mark.parametrize(("pairs", "said"), [(3, "; 3 pairs can't get there, 5 can"), (5, "needs p ≤ 0.05")])
def test_too_few_pairs_are_told_how_many_can_claim(pairs: int, said: str) -> None:
    claim = config_claim([0.1] * pairs)
    assert dict(_config_terms(claim, decide("w", "b", config=claim)))["How sure"].endswith(said)
