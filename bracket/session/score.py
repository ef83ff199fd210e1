"""One figure per trial. Lower is better, every part lies in 0..1, and only trials of one round may be compared.

The loss part is the *validation* loss, never the training loss: training loss is not comparable across configs. It is
measured under the config's own batch size, timestep shift, weighting and dropout, on pictures the LoRA has memorised
by then, and on random timesteps that dominate its variance. The validation loss uses held-out pictures with fixed
noise and fixed timesteps, the same for every config.

How far two losses lie apart says nothing beside how far two judged scores do: as parts of their own units, a weight of
0.3 counted 0.07 among the best configs of the recorded demo (tests/benchmarks/tabular). So the loss is put on the
judge's scale by quantile normalisation within a round and length: the trial with the k-th lowest loss has the k-th best
judged part as its loss part. Both parts then have the same spread, among all and among the best, and a weight means
what it says. It follows from all trials that held, so scores move while a round goes on; the order in which trials end
changes nothing.

Short trials lean on the loss, which knows early what pictures show late, for as long as nothing speaks against it: once
loss and pictures rank the better half by loss against each other (`stats.people.concordance.among_good`), the pictures
count in full there and in longer rungs. Finals and duel are decided by pictures either way.

By the first edition the loss was set against the baseline's, v / (v + v_baseline); short trials always leaned on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bracket.domain import Judgement, Score, TrialResult, mean
from bracket.session.asked.settings import ScoreSettings
from bracket.stats.people.concordance import among_good, matched


def loss_part(validation_loss: float, baseline_loss: float) -> float:
    """v / (v + v_baseline): 0.5 for a loss like the baseline's, towards 0 when lower, towards 1 when higher."""
    both = validation_loss + baseline_loss
    return validation_loss / both if both else 0.5


def sample_part(judgements: Sequence[Judgement]) -> float:
    """One minus the mean judged score of the trial's pictures."""
    return 1.0 - mean([j.score for j in judgements])


def at_length(settings: ScoreSettings, steps: int, longest: int) -> ScoreSettings:
    """What counts in trials of `steps` steps, where the session's longest have `longest`.

    Pictures change late and the validation loss early: on the recorded trainings of the demo (tests/benchmarks/tabular)
    the loss after an eighth of the steps orders the good configs as their last pictures do (Spearman 0.9), while the
    judge of the early pictures does not. So the samples' weight grows with the square of the length's share.
    """
    if not settings.ramp:
        return settings
    return settings.model_copy(update={"sample_weight": settings.sample_weight * min(1.0, steps / longest) ** 2})


def combine(
    settings: ScoreSettings,
    judgements: Sequence[Judgement],
    validation_loss: float | None,
    baseline_loss: float | None,
    full_weight: float | None = None,
) -> Score | None:
    """The trial's score, or None when it has no judged picture.

    Without a validation loss to compare with (no held-out pictures, or a baseline that failed) the samples alone
    count; the caller passes `baseline_loss=None` for the whole round then, so that all its trials are scored alike.
    A trial that lacks a validation loss while the round has one gets the worst loss part. By the second edition this
    is what stands until the ledger is read, see `on_one_scale`.

    Args:
        settings: as `at_length` gives them. full_weight: the samples' weight before that; None for the same.
    """
    if not judgements:
        return None
    return combine_parts(settings, sample_part(judgements), validation_loss, baseline_loss, full_weight)


def combine_parts(
    settings: ScoreSettings,
    samples: float,
    validation_loss: float | None,
    baseline_loss: float | None,
    full_weight: float | None = None,
) -> Score:
    """See `combine`; `samples` is the samples' part, 0 for the best."""
    weight = settings.sample_weight
    total, loss = samples, 0.5
    if baseline_loss is not None:
        loss = 1.0 if validation_loss is None else loss_part(validation_loss, baseline_loss)
        total = settings.loss_weight * loss + weight * samples
    if settings.edition == 1:
        return Score(total, loss, samples)
    return Score(total, loss, samples, weight, weight if full_weight is None else full_weight)


def on_one_scale(results: Sequence[TrialResult]) -> list[TrialResult]:
    """Results of one round, in their order, with the scores that follow from all those of the same length.

    A trial without a validation loss has the worst loss part of its rung; where none has one the samples alone count.
    """
    found = list(results)
    rungs: dict[int, list[tuple[int, Score, float | None]]] = {}
    for place, result in enumerate(results):
        if result.score is not None and result.score.sample_weight is not None:
            rungs.setdefault(result.trial.rung, []).append((place, result.score, result.validation_loss))
    against = False
    for _, held in sorted(rungs.items()):
        samples, losses = [score.sample_part for _, score, _ in held], [loss for *_, loss in held]
        no_loss = all(loss is None for loss in losses)
        parts = samples if no_loss else matched([math.inf if loss is None else loss for loss in losses], samples)
        agreement = among_good(parts, samples)
        against = agreement.opposes if agreement else against
        for (place, score, _), part in zip(held, parts, strict=True):
            weight = (score.full_weight if against else score.sample_weight) or 0.0
            total = (1.0 - weight) * part + weight * score.sample_part
            found[place] = replace(results[place], score=replace(score, total=total, loss_part=part))
    return found
