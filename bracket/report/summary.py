"""Everything a report says, gathered by the session in one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bracket.domain import Config, Judgement, Knob, Round, Sample, TrialResult

if TYPE_CHECKING:
    from bracket.stats.duel.verdict import Verdict
    from bracket.stats.people.agreement import Agreement, Gate
    from bracket.stats.people.bradley_terry import Ranking
    from bracket.stats.people.correction import Corrected


@dataclass(frozen=True)
class Duel:
    """Fresh pictures of the checkpoints of the checkpoint claim: same prompts, same sample seeds, judged.

    A duel that ended before all prompts were drawn has the first of them, in the plan's order. The runner-up's are
    there where the winner was to be compared with it too.
    """

    winner: tuple[Judgement, ...]
    baseline: tuple[Judgement, ...]
    runner_up: tuple[Judgement, ...] = ()


@dataclass(frozen=True)
class Plain:
    """Judged pictures of prompts that don't ask for what was learnt, in the plan's order: the same prompts and sample
    seeds by the duel's two checkpoints and by the bare base."""

    winner: tuple[Judgement, ...]
    baseline: tuple[Judgement, ...]
    base: tuple[Judgement, ...]


@dataclass(frozen=True)
class Pair:
    """One fresh training seed of the config claim: the configs trained with it and judged on the verdict prompts.

    `winner`, `baseline` and, where it was to be compared too, `runner_up` are mean judged scores (0..1, higher is
    better). `lost` names those whose training ended without pictures that could be judged, for other reasons than
    melting: they count as 0 (by the earlier editions of the rules the seed of such a pair was left out).
    """

    seed: int
    winner: float
    baseline: float
    runner_up: float | None = None
    lost: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        return self.winner - self.baseline


@dataclass(frozen=True)
class Addition:
    """A duel of the settings that was added to a finished session: its plan as it was fixed, the pairs that count, and
    the planned training seeds that were left out."""

    plan: Mapping[str, Any]
    pairs: tuple[Pair, ...]
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ranked:
    """A config of one round with its scores over training seeds. Lower totals are better; failed trials have none."""

    config: Config
    label: str
    """The config in words that tell it from the others, such as "lr 1e-3, rank 8"."""
    origin: str
    results: tuple[TrialResult, ...]
    total: float | None
    """Mean score over its judged trials of this round, None when no trial was judged."""


@dataclass(frozen=True)
class Calibration:
    """A judge held against a person's votes.

    Attributes:
        judged, voted: the judge's and the person's choices on the same pairs, 1 for the first picture, 0.5 a tie.
        agreement: how often they agree; gate: whether the judge may crown a winner.
        corrected: the winner's share of pictures as the person would see it; None with too few votes on the duel.
        pictures: the pairs that were voted on, as the judge scored them, in the same order.
    """

    judged: tuple[float, ...]
    voted: tuple[float, ...]
    agreement: Agreement
    gate: Gate
    corrected: Corrected | None = None
    pictures: tuple[tuple[Judgement, Judgement], ...] = ()


@dataclass(frozen=True)
class Summary:
    """One session as its report tells it.

    Attributes:
        rounds: the ranking of each round that ran, best first, failures last; in the search every config stands in the
            longest rung it was trained in, and longer rungs come first.
        searched: every trial of the search, of all rungs, in the order they began.
        winner, baseline: the two that the finals leave to the duel; None before the finals ended.
        runner_up: the finals' second, where the plan compares the winner with it too.
        pairs: in the plan's order. left_out: planned training seeds without a pair because a training ended for reasons
            that are no fault of its settings (a crash, not a melt); they no longer count as planned. Both are of the
            confirmation itself; additions: duels of the settings that were added later, in their order.
        before: the bare base's pictures of the choosing prompts, without any LoRA.
        command: argv to train the winner in full.
        seconds: wall time by phase (prepare, search, finals, confirmation).
        prompts, verdict_prompts: the texts drawn in choosing and in the duel.
        promotion: how finalists came from the search to the finals' length, in words.
        memory: what the search borrowed from earlier sessions, in words; "" when it was not to.
        loss_counts: whether the score has a validation loss in it.
        plan: what the confirmation set out to compare, as it was written down before its first picture; None before.
        calibration: the judge held against the person's votes; None without any.
        ranking: finalists ranked by pairwise comparisons; `flip_rate` of these, the share in which order decided.
        remarks: what the judge wants known of its scores. controls: its scores of one and the same picture, which it
            saw with every unit of the duel, in their order.
        plain: pictures that show what is kept of what the base could; None before all are judged.
        base_score: mean judged score of `before`; None where it was not judged.
        suggestion: the next session's space as `search.suggestion.Suggestion.as_dict` gives it; None before the search.
        again: earlier sessions that asked the same and what they left of alpha, or whose pictures were judged again, in
            words.
        warnings: what the pre-flight or the run wants said (few captions, too few seeds, …).
    """

    name: str
    folder: Path
    fingerprint: str
    preset_name: str
    preset_title: str
    settings: Mapping[str, Any]
    knobs: tuple[Knob, ...]
    baseline_config: Config
    rounds: Mapping[Round, tuple[Ranked, ...]]
    verdict: Verdict
    prompts: tuple[str, ...]
    verdict_prompts: tuple[str, ...]
    winner: Ranked | None = None
    baseline: Ranked | None = None
    runner_up: Ranked | None = None
    duel: Duel | None = None
    pairs: tuple[Pair, ...] = ()
    left_out: tuple[int, ...] = ()
    additions: tuple[Addition, ...] = ()
    before: tuple[Sample, ...] = ()
    judge: str = ""
    command: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    promotion: str = ""
    memory: str = ""
    loss_counts: bool = True
    plan: Mapping[str, Any] | None = None
    calibration: Calibration | None = None
    ranking: Ranking | None = None
    flip_rate: float | None = None
    remarks: tuple[str, ...] = ()
    searched: tuple[TrialResult, ...] = ()
    suggestion: Mapping[str, Any] | None = None
    controls: tuple[float, ...] = ()
    again: tuple[str, ...] = ()
    plain: Plain | None = None
    base_score: float | None = None
