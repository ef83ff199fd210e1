"""Measuring judges: worked by hand with judges whose answers are known, and the demo's own in earnest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bracket.domain import Judgement, Preference, Sample
from bracket.environment import project_root
from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges import make_judge
from bracket.judges.graded.bench import ALL_KINDS, ALL_LEVELS, Table, markdown, measure, text, to_json, write_tables
from bracket.judges.graded.pairs import KINDS, LEVELS, Pair, make_set
from bracket.session.asked.settings import JudgeSettings


def a_pair(kind: str, level: int, seed: int) -> Pair:
    better, worse = (Sample(Path(f"{name}-{seed}.png"), f"prompt {seed}", seed, 0) for name in ("good", kind))
    return Pair(better, Sample(Path(f"{worse.path.stem}-{level}.png"), worse.prompt, seed, 0), kind, level)


PAIRS = [a_pair(kind, level, seed) for seed in range(4) for kind in ("blur", "noise") for level in (1, 2)]


class Known:
    """A judge that finds every good picture better but the worse ones of `mistaken`, and can't tell those of `equal`.

    Side by side it prefers the first picture when it can't tell (`biased`), or says that the orders disagree.
    """

    name, fingerprint, exclusive = "known", "0123456789abcdef", False

    def __init__(self, mistaken: Sequence[Pair] = (), equal: Sequence[Pair] = (), biased: bool = False) -> None:
        self.mistaken, self.equal = {p.worse.path for p in mistaken}, {p.worse.path for p in equal}
        self.biased = biased
        self.scored: list[list[Sample]] = []

    def value(self, sample: Sample) -> float:
        if sample.path.stem.startswith("good") or sample.path in self.equal:
            return 0.5
        return 0.8 if sample.path in self.mistaken else 0.2

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        self.scored.append(list(samples))
        return [Judgement(s, self.name, self.value(s), {}) for s in samples]

    def compare(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Preference]:
        return [self._prefer(a, b) for a, b in pairs]

    def _prefer(self, a: Sample, b: Sample) -> Preference:
        if self.value(a) != self.value(b):
            # As sure as a judge that gives probabilities may be.
            return Preference(a, b, self.name, 0.7 if self.value(a) > self.value(b) else 0.3)
        return Preference(a, b, self.name, 1.0) if self.biased else Preference(a, b, self.name, 0.5, flipped=True)

    def park(self) -> None: ...

    def remarks(self) -> list[str]:
        return ["3 answers were no answers."]

    def close(self) -> None: ...


def some(kind: str, level: int, count: int) -> list[Pair]:
    return [p for p in PAIRS if (p.kind, p.level) == (kind, level)][:count]


@pytest.fixture(scope="module")
def table() -> Table:
    """Blur 1: one of four wrong; noise 1: two of four equal."""
    return measure(Known(some("blur", 1, 1), some("noise", 1, 2)), PAIRS, "small")


def test_counts_by_hand(table: Table) -> None:
    rows = {(r.kind, r.level): r for r in table.rows}
    assert {key: row.pairs for key, row in rows.items()} == {
        ("blur", 1): 4,
        ("blur", 2): 4,
        ("blur", ALL_LEVELS): 8,
        ("noise", 1): 4,
        ("noise", 2): 4,
        ("noise", ALL_LEVELS): 8,
        (ALL_KINDS, 1): 8,
        (ALL_KINDS, 2): 8,
        (ALL_KINDS, ALL_LEVELS): 16,
    }
    right = {key: (row.score.right, row.compare.right, row.tied, row.flipped) for key, row in rows.items()}
    assert right["blur", 1] == (0.75, 0.75, 0, 0)
    assert right["noise", 1] == (0.75, 0.75, 0.5, 0.5)
    assert right["blur", 2] == right["noise", 2] == (1, 1, 0, 0)
    assert right[ALL_KINDS, 1] == (0.75, 0.75, 0.25, 0.25)
    assert right[ALL_KINDS, ALL_LEVELS] == (0.875, 0.875, 0.125, 0.125)


def test_intervals_are_wilson_s(table: Table) -> None:
    """3 of 4: 0.3006 to 0.9544; 4 of 4: 0.5101 to 1 (z = 1.96)."""
    one, other = table.row("blur", 1).score, table.row("blur", 2).score
    assert (one.low, one.high) == pytest.approx((0.3006, 0.9544), abs=1e-4)
    assert (other.low, other.high) == pytest.approx((0.5101, 1.0), abs=1e-4)
    # Pairs of one good picture go together: 16 pairs on 4 pictures say less than 16 on 16 would.
    whole = table.row().score
    assert whole.low < 0.64 and whole.low < whole.right < whole.high


def test_a_preference_for_the_first_is_no_judgement() -> None:
    biased = measure(Known(equal=PAIRS, biased=True), PAIRS).row()
    assert (biased.score.right, biased.compare.right, biased.tied) == (0.5, 0.5, 0)


def test_pictures_of_a_cell_are_scored_together_and_none_twice_the_first_time() -> None:
    judge = Known()
    seen: list[tuple[int, int]] = []
    measured = measure(judge, PAIRS, progress=lambda *done: seen.append(done))
    good = [p.better for p in some("blur", 1, 4)]
    # The first alone, then the good ones once and each cell's worse ones; then all of it again, from the cache.
    cells = [[p.worse for p in some(k, n, 4)] for k in ("blur", "noise") for n in (1, 2)]
    assert judge.scored == [[good[0]], good, *cells, good, *cells]
    assert seen == [(n, 4) for n in (1, 2, 3, 4)]
    assert min(measured.speed.pictures, measured.speed.pairs, measured.speed.again) > 0 <= measured.speed.first


def test_as_text_and_markdown(table: Table) -> None:
    lines = text("drawings", table)
    assert lines[0].startswith("drawings: 16 pairs, judge known small (0123456789abcdef), ")
    assert lines[2].split("  ")[0] == "right by score, %" and lines[2].endswith("95 % interval")
    assert lines[3].split()[:4] == ["blur", "75", "100", "87.5"]
    assert lines[9].split()[:4] == ["noise", "75", "100", "87.5"] and lines[9].split()[-2:] == ["25.0", "25.0"]
    assert lines[-2].startswith("First picture after ") and lines[-1] == "3 answers were no answers."
    rows = [line for line in markdown("drawings", table) if line.startswith("|")]
    assert rows[0] == "| right by score, % | level 1 | level 2 | all | 95 % interval |"
    assert rows[1] == "|---|---:|---:|---:|---:|" and rows[4].startswith("| all | 75 | 100 | 87.5 | ")


def test_written_whole(table: Table, tmp_path: Path) -> None:
    write_tables({"drawings": table, "photos": table}, tmp_path / "out")
    data = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert data["photos"] == json.loads(json.dumps(to_json(table)))
    assert data["drawings"]["rows"][0]["score"]["right"] == 0.75
    assert (tmp_path / "out" / "bench.md").read_text().count("### ") == 2


def test_nothing_and_errors(table: Table) -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        measure(Known(), [])
    with pytest.raises(KeyError):
        table.row("jpeg")

    with pytest.raises(JudgeUnavailable):
        measure(Failing(JudgeUnavailable("the server is away", path=PAIRS[0].better.path)), PAIRS)
    with pytest.raises(JudgeError, match="no such model"):
        measure(Failing(JudgeError("no such model")), PAIRS)


class Failing(Known):
    """A judge that fails on pictures it is given with these errors."""

    def __init__(self, *errors: JudgeError) -> None:
        super().__init__()
        self.errors = errors

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        self.fail(samples)
        return super().score(samples)

    def compare(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Preference]:
        self.fail([sample for pair in pairs for sample in pair])
        return super().compare(pairs)

    def fail(self, samples: Sequence[Sample]) -> None:
        for error in self.errors:
            if error.path in (None, *(s.path for s in samples)):
                raise error


def test_a_picture_without_a_judgement_is_a_tie_and_counted() -> None:
    refused = [some("blur", 1, 4)[1], some("blur", 1, 4)[2]]
    table = measure(Failing(*(JudgeError("it refuses", path=p.worse.path) for p in refused)), PAIRS)
    row = table.row("blur", 1)
    assert (row.score.right, row.score.unanswered, row.compare.right, row.compare.unanswered) == (0.75, 0.5, 0.75, 0.5)
    assert row.tied == 0 and table.row("blur", 2).score.unanswered == 0
    assert table.row().score.unanswered == 2 / 16
    lines = text("drawings", table)
    assert lines[2].endswith("no answer") and lines[3].endswith(" 25.0") and lines[4].endswith(" 0.0")


@pytest.mark.slow
def test_the_demo_s_judge_orders_its_domain(tmp_path: Path) -> None:
    graded = make_set("drawings", tmp_path, pairs=800, seed=1)
    scorer = project_root() / "presets" / "embedded" / "scorer"
    judge = make_judge(JudgeSettings(model=str(scorer)), graded.dataset, tmp_path / "judge.sqlite")
    table = measure(judge, graded.pairs)
    judge.close()
    assert table.row().pairs == 800
    assert table.row().score.right >= 0.95 and table.row().compare.right >= 0.95
    # Level by level it is no worse, and what is ruined it never mistakes.
    rates = [table.row(level=level).score.right for level in LEVELS]
    assert rates == sorted(rates) and rates[-1] >= 0.99
    assert all(table.row(kind).score.right > 0.85 for kind in KINDS)
    assert table.row().flipped == 0
