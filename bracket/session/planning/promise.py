"""What a budget can show, in plain words: for the session as a whole, and for each comparison it makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bracket.dataset import KIND_WORDS, Scan
from bracket.domain import DatasetSplit
from bracket.report.words import counted, duration, judged, number, percent
from bracket.session.job import Context
from bracket.session.planning.spread import Spread
from bracket.stats.duel.claims import POWER
from bracket.stats.duel.keep import FEWEST
from bracket.stats.duel.power import detectable_difference
from bracket.stats.duel.sequential import fewest_units, split_alpha

Cost = Callable[[int], float]
"""Seconds that so many more pairs take."""


@dataclass(frozen=True)
class Promise:
    """What one comparison may end in. `possible`: it can end in a claim."""

    about: str
    possible: bool
    words: str


def fewest_prompts(context: Context) -> int:
    """Verdict prompts below which no claim about the checkpoint is reached: they are tested two-sided."""
    return _fewest(context, two_sided=True)


def fewest_pairs(context: Context) -> int:
    """Pairs below which no claim about the settings is reached: they are tested one-sided."""
    return _fewest(context, two_sided=False)


@dataclass(frozen=True)
class Fresh:
    """Verdict prompts there are, and how many themes they are of: what the duel of the checkpoints counts."""

    prompts: int
    themes: int

    @classmethod
    def of(cls, context: Context) -> Fresh:
        """Those of the question's split; where there is none to look at, as many as were asked for."""
        made, asked = context.dataset, context.settings.dataset.verdict_prompts
        if not made.train:  # said by the dataset's own check
            return cls(asked, asked)
        return cls(len(made.verdict_prompts), made.count_themes(made.verdict_prompts))

    @property
    def words(self) -> str:
        """ "20 fresh prompts", "20 fresh prompts of 8 themes"."""
        of = f" of {counted(self.themes, 'theme')}" if self.themes < self.prompts else ""
        return f"{counted(self.prompts, 'fresh prompt')}{of}"


def claim(context: Context, fresh: Fresh, cost: Cost | None = None) -> str:
    """What this budget can show, in a sentence or two; with `cost`, also what the pairs that lack would take."""
    s = context.settings
    if s.search.configs < 2:
        return "This trains one config and has nothing to compare it with. Add configs to search."
    prompts, pairs = fewest_prompts(context), fewest_pairs(context)
    finds = f"This finds the best of {s.search.configs} settings"
    if fresh.themes < prompts:
        kind = "verdict prompts" if fresh.themes == fresh.prompts else "themes of verdict prompts"
        return f"{finds}, but with fewer than {prompts} {kind} it can prove nothing about them."
    file = f"{finds} and can prove that its LoRA file beats the baseline's on {fresh.words}."
    if s.confirmation.pairs >= pairs:
        return f"{file} With {s.confirmation.pairs} paired runs it can also prove it of the settings."
    missing = pairs - s.confirmation.pairs
    time = _more(cost, missing)
    return f"{file} To prove it of the settings, add {counted(missing, 'paired run')}{time}."


def promises(context: Context, fresh: Fresh, spread: Spread, cost: Cost | None) -> tuple[Promise, ...]:
    """What each comparison of the session may end in; none where there is nothing to compare."""
    if context.settings.search.configs < 2:
        return ()
    return (_search(context), _checkpoint(context, fresh, spread), _config(context, spread, cost))


def parted(context: Context) -> tuple[str, ...]:
    """How its split parts the pictures and prompts there are, in a sentence or two each: of the pictures, also what
    those held out cost, and where the prompts come from."""
    return _pictures(context.seen(), context.dataset), _prompts(context.dataset)


def _pictures(seen: Scan, made: DatasetSplit) -> str:
    every, trained = {p.path for p in seen.pictures}, len({p.path for p in made.train})
    held = len(every & {p.path for p in made.validation})
    kept = sum(made.origins.get(text) == "caption" for text in made.verdict_prompts)
    verb = "is" if trained == 1 else "are"
    share = f"All {len(every)} pictures" if trained == len(every) > 1 else f"{trained} of {len(every)} pictures"
    said = f"{counted(1, 'picture') if len(every) == trained == 1 else share} {verb} trained on"
    reasons = [f"{held} held out for the validation loss"] if held else []
    reasons += [f"{kept} kept for fresh prompts"] if kept else []
    if reasons:
        said += f", {' and '.join(reasons)}: training sees {percent((held + kept) / len(every))} fewer"
    if not made.validation:
        return f"{said}. There is no validation loss: the judged pictures alone decide."
    more = len(made.validation) - held
    return f"{said}. The validation loss is of {counted(more, 'more picture')}." if more else f"{said}."


def _prompts(made: DatasetSplit) -> str:
    search, verdict, kept = len(made.prompts), made.verdict_prompts, len(made.keep_prompts)
    few = f", too few for an interval ({FEWEST} would do)" if kept < FEWEST else ""
    keep = f" {counted(kept, 'fresh prompt')} without the trigger word will show what is forgotten{few}."
    return (
        f"{counted(search, 'search prompt')}{_sources(made, made.prompts, 'caption')}. "
        f"{Fresh(len(verdict), made.count_themes(verdict)).words} for the verdict"
        f"{_sources(made, verdict, 'held-out caption')}.{keep if kept else ''}"
    )


def _sources(made: DatasetSplit, prompts: tuple[str, ...], caption: str) -> str:
    """Where prompts come from, after a colon; "" where a split of an earlier bracket doesn't say."""
    count = Counter(made.origins.get(text, "") for text in prompts)
    words = {
        "own": f"{count['own']} of your own",
        "caption": counted(count["caption"], caption),
        "bank": f"{count['bank']} of the bank for {KIND_WORDS.get(made.kind, made.kind)}",
        "recombined": f"{count['recombined']} of captions' parts",
    }
    said = [text for origin, text in words.items() if count[origin]]
    return f": {', '.join(said)}" if said else ""


def _search(context: Context) -> Promise:
    s = context.settings
    seeds = counted(s.finals.seeds, "training seed")
    words = f"ranked by the search and by finals with {seeds}. A ranking is no proof: the first may be there by luck."
    return Promise(f"Which of {s.search.configs} settings is best", False, words)


def _checkpoint(context: Context, fresh: Fresh, spread: Spread) -> Promise:
    about, least, n = "The winner's LoRA file against the baseline's", fewest_prompts(context), fresh.themes
    unit = "prompts" if n == fresh.prompts else "themes"
    if n < least:
        takes = f"{least} {unit}" if unit == "themes" else least
        return Promise(about, False, f"not with {fresh.words.replace('fresh', 'verdict')}; it takes {takes}.")
    lead = _lead(_detectable(context, n, two_sided=True), spread.prompts, unit)
    return Promise(about, True, f"can be proved on {fresh.words}. {lead}")


def _more(cost: Cost | None, pairs: int) -> str:
    """What so many more pairs take, in brackets; "" where it can't be said."""
    return f" (+{duration(cost(pairs))})" if cost else ""


def _config(context: Context, spread: Spread, cost: Cost | None) -> Promise:
    s = context.settings
    about, least, n = "The winner's settings against the baseline's", fewest_pairs(context), s.confirmation.pairs
    if n < least:
        seeds, missing = counted(s.finals.seeds, "seed"), least - n
        have = f"with {seeds} and {counted(n, 'pair')}" if n else f"with {seeds}"
        more = f"{missing} more pair{'s' if missing > 1 else ''}" if n else counted(missing, "paired run")
        more += f" would do{_more(cost, missing)}"
        words = f"{have} this is about the checkpoint, not about the settings; {more}."
        return Promise(about, False, words)
    lead, further = (_detectable(context, k, two_sided=False) for k in (n, 2 * n))
    better = f" {2 * n} pairs{_more(cost, n)} would find one of {_size(further, spread.pairs)}."
    words = f"can be proved over {n} paired trainings. {_lead(lead, spread.pairs, 'trainings')}{better}"
    return Promise(about, True, words)


def _lead(factor: float | None, spread: float | None, between: str) -> str:
    """The lead that is found in most duels, as a sentence: in score where earlier sessions measured the spread."""
    over = f" (if {between} differ as in earlier sessions)" if spread is not None else f" between {between}"
    return f"A lead of {_size(factor, spread)}{over} is found in {percent(POWER)} of such duels."


def _size(factor: float | None, spread: float | None) -> str:
    if factor is None:  # held off by `fewest_pairs` and `fewest_prompts`
        return "any size"
    if spread is not None:
        return f"about {judged(factor * spread)} points"
    return f"about {number(factor, 2)} standard deviations"


def _fewest(context: Context, *, two_sided: bool) -> int:
    c = context.settings.confirmation
    return fewest_units(two_sided, c.alpha, _comparisons(context), c.live_share)


def _detectable(context: Context, n: int, *, two_sided: bool) -> float | None:
    """In standard deviations, at what the exact test at the planned end has, split over the named comparisons."""
    c, comparisons = context.settings.confirmation, _comparisons(context)
    final = split_alpha(n, two_sided, c.alpha, comparisons, c.live_share).final
    return detectable_difference(1.0, n, alpha=final / comparisons, power=POWER, two_sided=two_sided)


def _comparisons(context: Context) -> int:
    return 2 if context.settings.confirmation.runner_up else 1
