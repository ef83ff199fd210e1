"""Statistics as pure functions on arrays: no disk, no global random numbers, no Gradio.

`claims` holds the two kinds of claim a fresh duel can support, `verdict` weighs them and `wording` says so in English.
`descriptive`, `importance` and `curves` describe a search and prove nothing. `power` says what more runs would buy.
"""

from __future__ import annotations

from bracket.stats.claims import (
    CheckpointClaim,
    ConfigClaim,
    PairedClaim,
    checkpoint_claim,
    config_claim,
    improvement_probability,
    win_rate_interval,
)
from bracket.stats.curves import Curve, Knee, failure_knee, lr_curve
from bracket.stats.descriptive import DESCRIPTIVE, Mean, Welch, mean_and_interval, welch
from bracket.stats.importance import KnobImportance, knob_importance
from bracket.stats.power import detectable_difference, pairs_needed, prompts_needed
from bracket.stats.signflip import SignFlip, sign_flip
from bracket.stats.verdict import Verdict, decide, holm
from bracket.stats.wording import sentence, short_sentence

__all__ = [
    "DESCRIPTIVE",
    "CheckpointClaim",
    "ConfigClaim",
    "Curve",
    "Knee",
    "KnobImportance",
    "Mean",
    "PairedClaim",
    "SignFlip",
    "Verdict",
    "Welch",
    "checkpoint_claim",
    "config_claim",
    "decide",
    "detectable_difference",
    "failure_knee",
    "holm",
    "improvement_probability",
    "knob_importance",
    "lr_curve",
    "mean_and_interval",
    "pairs_needed",
    "prompts_needed",
    "sentence",
    "short_sentence",
    "sign_flip",
    "welch",
    "win_rate_interval",
]
