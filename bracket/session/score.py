"""One figure per trial. Lower is better, every part lies in 0..1, and only trials of one round may be compared.

The loss part is the *validation* loss, never the training loss: training loss is not comparable across configs. It is
measured under the config's own batch size, timestep shift, weighting and dropout, on pictures the LoRA has memorised
by then, and on random timesteps that dominate its variance. The validation loss uses held-out pictures with fixed
noise and fixed timesteps, the same for every config, and is set against the baseline's of the same round.
"""

from __future__ import annotations

from collections.abc import Sequence

from bracket.domain import Judgement, Score, mean
from bracket.session.settings import ScoreSettings


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
    settings: ScoreSettings, judgements: Sequence[Judgement], validation_loss: float | None, baseline_loss: float | None
) -> Score | None:
    """The trial's score, or None when it has no judged picture.

    Without a validation loss to compare with (no held-out pictures, or a baseline that failed) the samples alone
    count; the caller passes `baseline_loss=None` for the whole round then, so that all its trials are scored alike.
    A trial that lacks a validation loss while the round has one gets the worst loss part.
    """
    return combine_parts(settings, sample_part(judgements), validation_loss, baseline_loss) if judgements else None


def combine_parts(
    settings: ScoreSettings, samples: float, validation_loss: float | None, baseline_loss: float | None
) -> Score:
    """See `combine`; `samples` is the samples' part, 0 for the best."""
    if baseline_loss is None:
        return Score(total=samples, loss_part=0.5, sample_part=samples)
    loss = 1.0 if validation_loss is None else loss_part(validation_loss, baseline_loss)
    total = settings.loss_weight * loss + settings.sample_weight * samples
    return Score(total=total, loss_part=loss, sample_part=samples)
