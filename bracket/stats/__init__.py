"""Statistics as pure functions on arrays: no disk, no global random numbers, no Gradio.

`claims` holds the two kinds of claim a fresh duel can support, `verdict` weighs them and `wording` says so in English.
`agreement` and `correction` hold a judge against a person's votes, `bradley_terry` ranks by pairwise choices.
`sequential` watches a duel while it runs and says when it is decided or hopeless; `keep` says what a file still draws
of what the base could.
`descriptive`, `importance`, `curves`, `landscape` and `concordance` describe a search and prove nothing; `rungs` says
which of its trials may be looked at together. `power` says what more runs would buy.
"""

from __future__ import annotations

from bracket.stats.descriptive import DESCRIPTIVE, Mean, Welch, mean_and_interval, welch
from bracket.stats.duel.claims import (
    CheckpointClaim,
    ConfigClaim,
    PairedClaim,
    checkpoint_claim,
    config_claim,
)
from bracket.stats.duel.power import detectable_difference, pairs_needed, prompts_needed
from bracket.stats.duel.rates import improvement_probability, win_rate_interval
from bracket.stats.duel.sequential import Watched, e_values, watch
from bracket.stats.duel.signflip import SignFlip, sign_flip
from bracket.stats.duel.verdict import Comparison, Verdict, decide, holm
from bracket.stats.duel.wording import sentence, short_sentence
from bracket.stats.people.agreement import Agreement, Gate, agreement, gate
from bracket.stats.people.bradley_terry import Ranking, rank_pairs
from bracket.stats.people.concordance import Concordance, concordance
from bracket.stats.people.correction import Corrected, corrected_rate
from bracket.stats.search.curves import Curve, Knee, failure_knee, lr_curve
from bracket.stats.search.importance import KnobImportance, knob_importance
from bracket.stats.search.landscape import Landscape, landscape

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
