"""Which trials of a search may be looked at together: those of one length, a config's seeds averaged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bracket.domain import Config, Outcome, TrialResult, mean

ENOUGH = 6
"""Scored configs that a rung needs to be the one that is looked at."""


@dataclass(frozen=True)
class Tried:
    """One config at one length: means over its scored trials.

    `validation_loss` is None unless each of them has one.
    """

    config: Config
    origin: str
    total: float
    loss_part: float
    sample_part: float
    validation_loss: float | None


@dataclass(frozen=True)
class Compared:
    """The scored configs of one length, in the order they were tried; `steps` is 0 when there are none.

    `others` are the lengths of scored trials that were left out.
    """

    steps: int
    tried: tuple[Tried, ...]
    others: tuple[int, ...] = ()


def longest_rung(results: Iterable[TrialResult], enough: int = ENOUGH) -> Compared:
    """The longest length at which `enough` configs were scored; where there is none, the one with most of them.

    Trials of different length are never pooled: longer ones score better whatever their settings.
    """
    by_length: dict[int, dict[str, list[TrialResult]]] = {}
    for result in results:
        if result.score is not None:
            by_length.setdefault(result.trial.steps, {}).setdefault(config_key(result.trial.config), []).append(result)
    if not by_length:
        return Compared(0, ())
    full = [steps for steps, configs in by_length.items() if len(configs) >= enough]
    steps = max(full) if full else max(by_length, key=lambda steps: (len(by_length[steps]), steps))
    others = tuple(sorted(set(by_length) - {steps}))
    return Compared(steps, tuple(_tried(group) for group in by_length[steps].values()), others)


def melted(results: Iterable[TrialResult]) -> list[tuple[Config, bool]]:
    """Every config that held or melted, and whether it melted at any length; other ends (a crash, no memory) say
    nothing of the settings and are left out."""
    found: dict[str, tuple[Config, bool]] = {}
    for result in results:
        if result.outcome in (Outcome.OK, Outcome.DIVERGED):
            key = config_key(result.trial.config)
            before = found[key][1] if key in found else False
            found[key] = (result.trial.config, before or result.outcome is Outcome.DIVERGED)
    return list(found.values())


def config_key(config: Config) -> str:
    """The same for equal configs, whatever their order."""
    return repr(sorted(config.items()))


def _tried(group: list[TrialResult]) -> Tried:
    scores = [result.score for result in group if result.score is not None]
    losses = [result.validation_loss for result in group if result.validation_loss is not None]
    origin = "baseline" if any(r.trial.origin == "baseline" for r in group) else group[0].trial.origin
    return Tried(
        config=group[0].trial.config,
        origin=origin,
        total=mean([score.total for score in scores]),
        loss_part=mean([score.loss_part for score in scores]),
        sample_part=mean([score.sample_part for score in scores]),
        validation_loss=mean(losses) if len(losses) == len(group) else None,
    )
