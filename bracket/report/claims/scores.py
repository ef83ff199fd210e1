"""A duel's judgements as the claims that can be made of them: the session, its report and its certificate all ask here.

What the plan fixed before the first picture says how many units there were to be, how many comparisons were named and
what watching may spend of alpha; what was judged says the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bracket.domain import Judgement
from bracket.report.summary import Duel, Pair, Plain
from bracket.stats.duel.claims import CheckpointClaim, ConfigClaim, checkpoint_claim, config_claim
from bracket.stats.duel.flips import Flips, judge_flips, prompt_flips
from bracket.stats.duel.keep import Kept, keep_of
from bracket.stats.duel.rates import by_theme
from bracket.stats.duel.sequential import EDITION, LIVE_SHARE, split_alpha

Floats = NDArray[np.float64]
Scored = tuple[str, int, float]
"""Prompt, sample seed, score."""
RUNNER_UP = "runner_up"
BASELINE = "baseline"
PANEL = "panel"
"""What judgements of several judges name as their judge."""


@dataclass(frozen=True)
class Rules:
    """What a plan fixed that its claims need.

    Attributes:
        prompts, pairs: how many units were planned; themes count in place of prompts where prompts share one.
        comparisons: whom the winner was to be compared with, "baseline" first.
        alpha, live_share, edition: see `bracket.stats.duel.sequential`; a plan that names no edition has the first.
    """

    prompts: int
    pairs: int
    comparisons: tuple[str, ...] = (BASELINE,)
    alpha: float = 0.05
    live_share: float = LIVE_SHARE
    edition: int = EDITION
    themes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Mapping[str, Any], left_out: Sequence[int] = ()) -> Rules:
        """Of `confirm/plan.json`.

        Args:
            left_out: planned training seeds that could not be told for reasons that are no fault of the settings.

        Raises:
            KeyError: the plan lacks what every plan has.
        """
        seeds = [seed for seed in plan["training_seeds"] if seed not in set(left_out)]
        themes = plan.get("themes") or {}
        return cls(
            len({themes.get(prompt, prompt) for prompt, _ in plan["pictures"]}),
            len(seeds),
            tuple(plan.get("comparisons") or (BASELINE,)),
            plan["alpha"],
            plan.get("live_share", LIVE_SHARE),
            plan.get("edition", 1),
            themes,
        )

    @property
    def unit(self) -> Literal["prompt", "theme"]:
        """What a claim about the files counts."""
        return "theme" if self.themes else "prompt"

    @property
    def terms(self) -> dict[str, Any]:
        """What both kinds of claim are made with, beside their units."""
        shared = {"alpha": self.alpha, "live_share": self.live_share, "edition": self.edition}
        return {**shared, "comparisons": len(self.comparisons)}

    def final_alpha(self, planned: int, *, two_sided: bool) -> float:
        """What the exact test of so many planned units is held to."""
        return split_alpha(planned, two_sided, **self.terms).final


@dataclass(frozen=True)
class Claims:
    """Every claim that a confirmation's judgements allow, as `bracket.stats.decide` takes them."""

    checkpoint: CheckpointClaim | None = None
    config: ConfigClaim | None = None
    other_checkpoints: Mapping[str, CheckpointClaim] = field(default_factory=dict)
    other_configs: Mapping[str, ConfigClaim] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `decide`."""
        return dict(vars(self))


def claims_of(duel: Duel | None, pairs: Sequence[Pair], rules: Rules, *, seed: int = 0) -> Claims:
    """The claims of a duel's judgements and of paired runs, both in the plan's order.

    The runner-up's duel may have fewer units than the baseline's, as each ends when it is decided or hopeless.

    Raises:
        ValueError: judgements that are not paired (see `matrices`), or more units than planned.
    """
    sides = {} if duel is None else {BASELINE: duel.baseline, RUNNER_UP: duel.runner_up}
    winner = duel.winner if duel else ()
    checkpoints = {
        name: checkpoint_claim(
            *paired_scores(_met(winner, other), other, rules.themes),
            unit=rules.unit,
            planned=rules.prompts,
            seed=seed,
            **rules.terms,
        )
        for name in rules.comparisons
        if (other := sides.get(name) or ())
    }
    configs = {
        name: config_claim(differences, planned=rules.pairs, **rules.terms)
        for name in rules.comparisons
        if (differences := differences_to(name, pairs))
    }
    return Claims(checkpoints.pop(BASELINE, None), configs.pop(BASELINE, None), checkpoints, configs)


def kept_of(plain: Plain | None, plan: Mapping[str, Any] | None) -> Kept | None:
    """What winner and baseline keep of what the base could; None where the plan asks for nothing of it.

    Raises:
        ValueError: judgements that are not paired (see `matrices`).
    """
    least = int((plan or {}).get("keep_at_least", 0))
    if plain is None:
        return Kept(winner=None, baseline=None, at_least=least) if least else None
    arms = (keep_of(*paired_scores(arm, plain.base)) for arm in (plain.winner, plain.baseline))
    return Kept(**dict(zip(("winner", "baseline"), arms, strict=True)), at_least=least)


def differences_to(name: str, pairs: Sequence[Pair]) -> list[float]:
    """The winner's lead in each pair that has the other, "baseline" or "runner_up"."""
    if name == BASELINE:
        return [pair.difference for pair in pairs]
    return [pair.winner - pair.runner_up for pair in pairs if pair.runner_up is not None]


def _met(winner: Sequence[Judgement], other: Sequence[Judgement]) -> list[Judgement]:
    """The winner's pictures of the prompts that the other has come to."""
    prompts = {j.sample.prompt for j in other}
    return [j for j in winner if j.sample.prompt in prompts]


def flips_of(duel: Duel, rules: Rules, shares: Mapping[str, float], *, seed: int = 0) -> tuple[Flips, Flips | None]:
    """Which prompts, and which judges of a panel, carry the claim about the two files by themselves.

    Args:
        shares: what each judge of a panel counts, see `shares_of`; {} for a single judge.

    Raises:
        ValueError: judgements that are not paired.
    """
    winner = _met(duel.winner, duel.baseline)
    ours, theirs = duel_scores(duel, rules.themes)
    terms = {"planned": rules.prompts, "seed": seed, **rules.terms}
    names = list(dict.fromkeys(rules.themes.get(j.sample.prompt, j.sample.prompt) for j in winner))
    by_prompt = prompt_flips(ours, theirs, names, unit=rules.unit, **terms)
    if len(shares) < 2:
        return by_prompt, None
    members = {
        name: matrices(*([_scored(j, name) for j in side] for side in (winner, duel.baseline)), themes=rules.themes)
        for name in shares
    }
    return by_prompt, judge_flips(members, shares, **terms)


def shares_of(duel: Duel, settings: Mapping[str, Any]) -> dict[str, float]:
    """What each judge of a panel counts, by the name its scores have among the axes; {} for a single judge.

    Panels list their judges' scores first, in the order of the settings. Shares that don't give the panel's scores
    again, as after judging with others, are not used.
    """
    judgements = [*duel.winner, *duel.baseline]
    if any(j.judge != PANEL for j in judgements) or not judgements:
        return {}
    asked = [settings.get("judge") or {}, *(settings.get("other_judges") or ())]
    names = list(judgements[0].axes)[: len(asked)]
    shares = {name: float(judge.get("share", 1.0)) for name, judge in zip(names, asked, strict=False)}
    counting = {name: share for name, share in shares.items() if share > 0}
    return counting if counting and all(panel_holds(j.score, j.axes, counting) for j in judgements) else {}


def panel_holds(score: float, axes: Mapping[str, float | None], shares: Mapping[str, float]) -> bool:
    """Whether a panel's score is its judges' mean by share."""
    members = [axes.get(name) for name in shares]
    known = [value for value in members if value is not None]
    if len(known) < len(members):
        return False
    return bool(np.isclose(np.average(known, weights=list(shares.values())), score, rtol=0, atol=1e-6))


def duel_scores(duel: Duel, themes: Mapping[str, str] | None = None) -> tuple[Floats, Floats]:
    """`paired_scores` of winner and baseline on the prompts the baseline has come to: the duel of the two may have
    ended while the winner's with the runner-up went on.

    Raises:
        ValueError: see `matrices`.
    """
    return paired_scores(_met(duel.winner, duel.baseline), duel.baseline, themes)


def paired_scores(
    winner: Iterable[Judgement], baseline: Iterable[Judgement], themes: Mapping[str, str] | None = None
) -> tuple[Floats, Floats]:
    """Scores of the two sides, each of shape (prompts, sample seeds), entry by entry the same prompt and seed; with
    themes that prompts share, see `rates.by_theme`.

    Prompts and seeds come in the order in which the winner's judgements have them. What was watched, and flips drawn
    above 16 prompts, depend on the prompts' order, so a session and its certificate must have them in the same one.

    Raises:
        ValueError: see `matrices`.
    """
    return matrices(*([_scored(j) for j in side] for side in (winner, baseline)), themes=themes)


def _scored(judgement: Judgement, axis: str = "") -> Scored:
    score = judgement.axes[axis] if axis else judgement.score
    return judgement.sample.prompt, judgement.sample.seed, score


def matrices(
    winner: Sequence[Scored], baseline: Sequence[Scored], *, themes: Mapping[str, str] | None = None
) -> tuple[Floats, Floats]:
    """`paired_scores` of plain tuples.

    Raises:
        ValueError: a picture was judged twice or on one side only, or prompts have different numbers of seeds.
    """
    ours, theirs = _by_key(winner), _by_key(baseline)
    if odd := [key for key in (*ours, *theirs) if (key in ours) != (key in theirs)]:
        prompt, seed = odd[0]
        raise ValueError(f"prompt {prompt!r} with sample seed {seed} was judged on one side only")
    prompts = dict.fromkeys(prompt for prompt, _ in ours)
    seeds = {prompt: [s for p, s in ours if p == prompt] for prompt in prompts}
    if len({len(of_prompt) for of_prompt in seeds.values()}) != 1:
        raise ValueError("prompts have different numbers of judged sample seeds" if seeds else "nothing was judged")
    first, second = (
        by_theme(np.array([[side[p, s] for s in seeds[p]] for p in prompts]), list(prompts), themes or {})
        for side in (ours, theirs)
    )
    return first, second


def _by_key(rows: Sequence[Scored]) -> dict[tuple[str, int], float]:
    found = {(prompt, seed): score for prompt, seed, score in rows}
    if len(found) != len(rows):
        raise ValueError("a picture of one prompt and sample seed was judged more than once")
    return found
