"""Statistics as pure functions on arrays: no disk, no global random numbers, no Gradio.

`claims` holds the two kinds of claim a fresh duel can support, `verdict` weighs them and `wording` says so in English.
`agreement` and `correction` hold a judge against a person's votes, `bradley_terry` ranks by pairwise choices.
`sequential` watches a duel while it runs and says when it is decided or hopeless; `keep` says what a file still draws
of what the base could.
`descriptive`, `importance`, `curves`, `landscape` and `concordance` describe a search and prove nothing; `rungs` says
which of its trials may be looked at together. `power` says what more runs would buy.
"""

from __future__ import annotations

from bracket.stats.agreement import Agreement, Gate, agreement, gate
from bracket.stats.bradley_terry import Ranking, rank_pairs
from bracket.stats.claims import (
    CheckpointClaim,
    ConfigClaim,
    PairedClaim,
    checkpoint_claim,
    config_claim,
)
from bracket.stats.concordance import Concordance, concordance
from bracket.stats.correction import Corrected, corrected_rate
from bracket.stats.curves import Curve, Knee, failure_knee, lr_curve
from bracket.stats.descriptive import DESCRIPTIVE, Mean, Welch, mean_and_interval, welch
from bracket.stats.importance import KnobImportance, knob_importance
from bracket.stats.landscape import Landscape, landscape
from bracket.stats.power import detectable_difference, pairs_needed, prompts_needed
from bracket.stats.rates import improvement_probability, win_rate_interval
from bracket.stats.sequential import Watched, e_values, watch
from bracket.stats.signflip import SignFlip, sign_flip
from bracket.stats.verdict import Comparison, Verdict, decide, holm
from bracket.stats.wording import sentence, short_sentence

__all__ = [
    "DESCRIPTIVE",
    "Agreement",
    "CheckpointClaim",
    "Comparison",
    "Concordance",
    "ConfigClaim",
    "Corrected",
    "Curve",
    "Gate",
    "Knee",
    "KnobImportance",
    "Landscape",
    "Mean",
    "PairedClaim",
    "Ranking",
    "SignFlip",
    "Verdict",
    "Watched",
    "Welch",
    "agreement",
    "checkpoint_claim",
    "concordance",
    "config_claim",
    "corrected_rate",
    "decide",
    "detectable_difference",
    "e_values",
    "failure_knee",
    "gate",
    "holm",
    "improvement_probability",
    "knob_importance",
    "landscape",
    "lr_curve",
    "mean_and_interval",
    "pairs_needed",
    "prompts_needed",
    "rank_pairs",
    "sentence",
    "short_sentence",
    "sign_flip",
    "watch",
    "welch",
    "win_rate_interval",
]
