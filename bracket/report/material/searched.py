"""What a search's trials say about its knobs: worked out once, for the words, the figures and `mattered.json`.

Everything is of one length, the longest with enough configs, because longer trials score better whatever their
settings. Only melting is looked at over all lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bracket.domain import Knob, Round, TrialResult
from bracket.report.material.pictures import learning_rate_knob
from bracket.report.summary import Summary
from bracket.report.words import config_label, counted, knob_title, knob_value
from bracket.stats.people.concordance import Concordance, InEffect, among_good, concordance, in_effect
from bracket.stats.search.curves import Curve, Knee, failure_knee, lr_curve
from bracket.stats.search.importance import KnobImportance, knob_importance
from bracket.stats.search.landscape import Landscape, landscape
from bracket.stats.search.rungs import Compared, Tried, longest_rung, melted
from bracket.stats.search.scale import is_log, is_number


@dataclass(frozen=True)
class TwoKnobs:
    """A map of the two numeric knobs that explain most."""

    x: Knob
    y: Knob
    landscape: Landscape


@dataclass(frozen=True)
class Searched:
    """A search looked at as a whole.

    Attributes:
        compared: the scored configs of one length that all but the knee is made from.
        labels: of each of these, what tells it from the others.
        importance: the knobs, largest share first; empty when there is too little to go by.
        rate: the learning rate's knob, if one varies. curve: the score over it.
        held: see `held`.
        ended: learning rate of every config that held or melted at any length, and whether it melted. knee: of these.
        map: None when there are too few trials, or no two numeric knobs.
        weights: what loss and pictures carry of these configs' scores; None where that can't be told.
        good: how far loss and pictures agree among the better half by loss, by which short trials lean on the loss.
        judged: places in `compared` of the configs with a validation loss; concordance: of these.
    """

    compared: Compared
    labels: tuple[str, ...]
    importance: tuple[KnobImportance, ...]
    rate: str | None
    curve: Curve | None
    held: str
    ended: tuple[tuple[float, bool], ...]
    knee: Knee | None
    map: TwoKnobs | None
    weights: InEffect | None
    good: Concordance | None
    judged: tuple[int, ...]
    concordance: Concordance | None

    @property
    def tried(self) -> tuple[Tried, ...]:
        return self.compared.tried


def look(summary: Summary) -> Searched:
    """Works everything out; what there are too few trials for is None."""
    results = trials_of(summary)
    compared = longest_rung(results)
    tried, rate = compared.tried, learning_rate_knob(summary)
    importance = tuple(_importance(summary, tried))
    ended = tuple((float(c[rate]), bad) for c, bad in melted(results) if rate in c) if rate else ()
    judged = tuple(i for i, one in enumerate(tried) if one.validation_loss is not None)
    losses = [loss for one in tried if (loss := one.validation_loss) is not None]
    parts = [tried[i].sample_part for i in judged]
    varying = {name for one in tried for name in one.config if _values(tried, name) > 1}
    return Searched(
        compared=compared,
        labels=tuple(config_label(one.config, varying) for one in tried),
        importance=importance,
        rate=rate,
        curve=_curve(tried, rate) if rate else None,
        held=held(summary),
        ended=ended,
        knee=failure_knee([value for value, _ in ended], [bad for _, bad in ended]) if ended else None,
        map=_map(summary, tried, importance),
        weights=_weights(tried) if tried else None,
        good=among_good(losses, parts) if losses else None,
        judged=judged,
        concordance=concordance(losses, parts) if losses else None,
    )


def trials_of(summary: Summary) -> Sequence[TrialResult]:
    """Every ended trial of the search, of all lengths."""
    ranked = summary.rounds.get(Round.SEARCH, ())
    return summary.searched or [result for one in ranked for result in one.results]


def held(summary: Summary) -> str:
    """How many configs of the search held and how many melted, and from where on; "" unless there are of both."""
    ended, rate = melted(trials_of(summary)), learning_rate_knob(summary)
    burnt = [config for config, bad in ended if bad]
    if not burnt or len(burnt) == len(ended):
        return ""
    said = f"{len(ended) - len(burnt)} of {counted(len(ended), 'config')} held; {len(burnt)} melted"
    rates = [float(config[rate]) for config in burnt if rate in config] if rate else []
    if rate and rates:
        above = any(not bad and float(config[rate]) >= min(rates) for config, bad in ended if rate in config)
        lowest = f"{knob_title(rate)} of {knob_value(rate, min(rates))}"
        said += f", the lowest at a {lowest}" if above else f", from a {lowest} on"
    return f"{said}."


def _values(tried: Sequence[Tried], name: str) -> int:
    return len({str(one.config.get(name)) for one in tried})


def _importance(summary: Summary, tried: Sequence[Tried]) -> list[KnobImportance]:
    log = [knob.name for knob in summary.knobs if is_log(knob)]
    return knob_importance([one.config for one in tried], [one.total for one in tried], log=log) if tried else []


def _curve(tried: Sequence[Tried], rate: str) -> Curve | None:
    known = [one for one in tried if rate in one.config]
    return lr_curve([float(one.config[rate]) for one in known], [one.total for one in known]) if known else None


def _weights(tried: Sequence[Tried]) -> InEffect | None:
    parts = [(one.total, one.loss_part, one.sample_part) for one in tried]
    return in_effect(*zip(*parts, strict=True))


def _map(summary: Summary, tried: Sequence[Tried], importance: Sequence[KnobImportance]) -> TwoKnobs | None:
    knobs = {knob.name: knob for knob in summary.knobs if is_number(knob)}
    ordered = [knobs[one.knob] for one in importance if one.knob in knobs and _values(tried, one.knob) > 2]
    if len(ordered) < 2:
        return None
    x, y = ordered[:2]
    both = [one for one in tried if x.name in one.config and y.name in one.config]
    if not both:
        return None
    points = np.array([[float(one.config[x.name]), float(one.config[y.name])] for one in both])
    found = landscape(points, [one.total for one in both], log=(is_log(x), is_log(y)))
    return TwoKnobs(x, y, found) if found else None
