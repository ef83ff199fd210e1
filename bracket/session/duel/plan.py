"""The plan of a duel: what is compared, on what, and when it ends. Fixed and hashed before its first picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from bracket.domain import Config, Prompt, Round
from bracket.errors import StorageError
from bracket.files import read_json
from bracket.report.claims.again import Earlier, Standing, earlier_of
from bracket.session.job import Context
from bracket.stats.duel.sequential import EDITION, LIVE_SHARE, split_alpha

FOLDER = "confirm"
PLAN = f"{FOLDER}/plan.json"
"""In a session's folder: what its confirmation compares, fixed before its first picture."""
WINNER, BASELINE, RUNNER_UP = "winner", "baseline", "runner_up"
BASE = "base"
"""The model without any LoRA; it is no arm of the duel."""


_KEPT = (
    "The pictures in plain are drawn by winner, baseline and bare base, whatever ends the duel, and the judge sees all "
    "of a prompt in one call. They spend nothing of alpha; what is kept is the winner's mean score over the base's."
)


@dataclass(frozen=True, kw_only=True)
class DuelPlan:
    """What a confirmation set out to compare.

    Attributes:
        runner_up: the finals' second beside the baseline, where the winner is compared with it too.
        judge: its name and fingerprint.
        alpha, live_share, edition: see `bracket.stats.duel.sequential.watch`.
        whole_alpha: what all tries of the same question may err together; `alpha` is what `earlier` ones left of it.
        family: what is equal for tries of the same question, see `duel.again`; earlier: other sessions' tries so
            far; rejudged: the session whose trainings and pictures these are, judged again.
        planned: when it was fixed, in ISO 8601.
        prompts: texts in the order in which they are looked at; pictures: text and sample seed of each picture.
        themes: what prompts stem from that do not stand for themselves alone, by their text: those of one theme rise
            and fall together, so they are one unit.
        pairs, training_seeds: the fresh training seeds, and how many.
        plain: text and sample seed of each picture that shows what winner and baseline keep of what the base could;
            those of `prompts` among them are the duel's own. keep_at_least: see `stats.duel.keep`.
        order_seed: what the order of the arms follows from, see `order`; None in a plan of before it was drawn.
        rule: when the duels end and what counts, in words.
    """

    winner: Config
    baseline: Config
    runner_up: Config | None = None
    judge: str = ""
    alpha: float
    live_share: float = LIVE_SHARE
    edition: int = EDITION
    prompts: tuple[str, ...]
    pictures: tuple[tuple[str, int], ...]
    themes: Mapping[str, str] = field(default_factory=dict)
    pairs: int
    training_seeds: tuple[int, ...]
    plain: tuple[tuple[str, int], ...] = ()
    keep_at_least: int = 0
    rule: str = ""
    order_seed: int | None = None
    whole_alpha: float = 0.0
    family: str = ""
    earlier: tuple[Earlier, ...] = ()
    rejudged: str = ""
    planned: str = ""

    @property
    def arms(self) -> dict[str, Config]:
        """The configs that are compared, by the name of their role."""
        third = {RUNNER_UP: self.runner_up} if self.runner_up is not None else {}
        return {WINNER: self.winner, BASELINE: self.baseline, **third}

    @property
    def others(self) -> tuple[str, ...]:
        """Whom the winner is compared with."""
        return tuple(name for name in self.arms if name != WINNER)

    @property
    def units(self) -> list[tuple[str, ...]]:
        """The prompts of each unit of the duel of the checkpoints, in the order in which the first of each comes."""
        found: dict[str, list[str]] = {}
        for text in self.prompts:
            found.setdefault(self.themes.get(text, text), []).append(text)
        return [tuple(texts) for texts in found.values()]

    @property
    def unit(self) -> Literal["prompt", "theme"]:
        """What the duel of the checkpoints counts."""
        return "theme" if self.themes else "prompt"

    def drawn(self) -> list[Prompt]:
        """What each checkpoint draws for the duel."""
        return [Prompt(text, seed) for text, seed in self.pictures]

    def kept(self, name: str) -> list[Prompt]:
        """What an arm or the bare base draws to show what is kept."""
        return [Prompt(text, seed) for text, seed in self.plain if name in self.showing(text)]

    def showing(self, text: str) -> list[str]:
        """Whose pictures of this prompt the judge sees together."""
        arms = [*self.arms] if text in self.prompts else [WINNER, BASELINE]
        return [*arms, BASE] if any(text == plain for plain, _ in self.plain) else arms

    def order(self, *unit: object, arms: Iterable[str] = ()) -> list[str]:
        """These arms, by default all, in the order in which they are trained or shown to the judge of this unit: a
        training seed, a picture's prompt and sample seed, or all three. Without a seed for it, by name."""
        arms = [*arms] or [*self.arms]
        return sorted(arms) if self.order_seed is None else drawn_order(self.order_seed, unit, arms)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `plan.json`."""
        return {**asdict(self), "comparisons": list(self.others)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`. A plan made before duels could end early says nothing of them; they are as now. One
        that names no edition of the rules was made under the first.

        Raises:
            KeyError, TypeError, ValueError: it is not what a plan looks like.
        """
        seeds = tuple(int(seed) for seed in data["training_seeds"])
        return cls(
            winner=dict(data["winner"]),
            baseline=dict(data["baseline"]),
            runner_up=dict(data["runner_up"]) if data.get("runner_up") else None,
            judge=str(data.get("judge", "")),
            alpha=float(data["alpha"]),
            live_share=float(data.get("live_share", LIVE_SHARE)),
            edition=int(data.get("edition", 1)),
            prompts=tuple(str(text) for text in data["prompts"]),
            pictures=tuple((str(text), int(seed)) for text, seed in data["pictures"]),
            themes={str(text): str(theme) for text, theme in data.get("themes", {}).items()},
            pairs=len(seeds),
            training_seeds=seeds,
            plain=tuple((str(text), int(seed)) for text, seed in data.get("plain", ())),
            keep_at_least=int(data.get("keep_at_least", 0)),
            rule=str(data.get("rule", "")),
            order_seed=None if data.get("order_seed") is None else int(data["order_seed"]),
            whole_alpha=float(data.get("whole_alpha", 0.0)),
            family=str(data.get("family", "")),
            earlier=earlier_of(data),
            rejudged=str(data.get("rejudged", "")),
            planned=str(data.get("planned", "")),
        )


def drawn_order(seed: int, unit: Iterable[object], arms: Iterable[str]) -> list[str]:
    """The arms in an order that chance gave this unit: it follows from the seed by a hash, so that a resume has the
    same."""
    about = "/".join(map(str, unit))
    return sorted(arms, key=lambda arm: hashlib.sha256(f"{seed}/{about}/{arm}".encode()).digest())


def plan_of(context: Context, winner: Config, runner_up: Config | None, judge: str, standing: Standing) -> DuelPlan:
    """The plan that the settings ask for, from where the session stands among the tries of its question."""
    s, alpha = context.settings.confirmation, standing.alpha
    seeds = tuple(context.settings.seeds.training(Round.CONFIRMATION, s.pairs))
    comparisons = 2 if runner_up is not None else 1
    prompts, plain = tuple(context.dataset.verdict_prompts), context.keep_pictures()
    themes = context.dataset.shared_themes(prompts)
    units, unit = context.dataset.count_themes(prompts), "theme" if themes else "prompt"
    said = f"{standing.rule} {rule(units, s.pairs, alpha, s.live_share, comparisons, unit)}"
    return DuelPlan(
        winner=dict(winner),
        baseline=dict(context.baseline),
        runner_up=dict(runner_up) if runner_up is not None else None,
        judge=judge,
        alpha=alpha,
        live_share=s.live_share,
        prompts=prompts,
        pictures=tuple((p.text, p.seed) for p in context.verdict_prompts()),
        themes=themes,
        pairs=s.pairs,
        training_seeds=seeds,
        plain=tuple((p.text, p.seed) for p in plain),
        keep_at_least=s.keep_at_least,
        rule=f"{said} {_KEPT}" if plain else said,
        order_seed=context.settings.seed,
        whole_alpha=standing.whole,
        family=standing.family,
        earlier=standing.earlier,
        rejudged=standing.rejudged,
    )


def rule(prompts: int, pairs: int, alpha: float, live_share: float, comparisons: int, unit: str = "prompt") -> str:
    """When the duels of so many prompts (or themes, where `unit` is that) and pairs end, and what counts, in words."""
    duels = [(f"{unit}s", prompts, True), ("pairs", pairs, False)]
    said = [_ends(*duel, alpha, live_share, comparisons) for duel in duels if duel[1]]
    lost = "A training that melts scores 0, and so does one that crashes or whose pictures can't be judged. "
    shown = (
        "In which order the arms of a pair are trained, and the pictures of one prompt and sample seed shown to the "
        "judge, follows from order_seed; the judge sees all arms of a prompt or pair in one call. "
    )
    alike = "Prompts that stem from one caption or template are one theme. " if unit == "theme" else ""
    return (
        f"{alike}Prompts and pairs of trainings are looked at one after the other in this order. "
        f"{' '.join(said)} Each ends too as soon as no claim can be reached any more, unless there are too few units "
        f"for any claim. {lost if pairs else ''}{shown}"
    ).strip()


def _ends(units: str, planned: int, two_sided: bool, alpha: float, live_share: float, comparisons: int) -> str:
    split, sides = split_alpha(planned, two_sided, alpha, comparisons, live_share), 2 if two_sided else 1
    duel, end = f"The duel over {planned} {units}", "its planned end, where the exact sign-flip test needs"
    least = f"p <= {split.final:.3g} (the smallest p that so many can show is {min(1.0, sides / 2**planned):.2g})"
    if split.live:
        return f"{duel} is decided as soon as its e-value reaches {1 / split.live:.0f}, or at {end} {least}."
    why = "; watching spends nothing, as so few can't take an e-value to its threshold" if live_share else ""
    return f"{duel} is decided at {end} {least}{why}."


def read_plan(folder: Path) -> DuelPlan | None:
    """The plan of the session in `folder`; None before there is one.

    Raises:
        StorageError: the file is damaged.
    """
    return read_plan_at(folder / PLAN) if (folder / PLAN).exists() else None


def read_plan_at(path: Path) -> DuelPlan:
    """The plan in this file.

    Raises:
        StorageError: it is missing or damaged.
    """
    try:
        return DuelPlan.from_dict(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(
            f"the plan of the duel is damaged: {error!r}", path=path, remedy="Restore it from a copy."
        ) from error
