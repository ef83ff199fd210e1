"""What mattered, in plain words: for the report, and as `mattered.json` for whoever shows it again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bracket.domain import Knob
from bracket.report.figures.drawing import DARK, LIGHT, Kind, Plot
from bracket.report.material.searched import Searched, trials_of
from bracket.report.summary import Summary
from bracket.report.words import counted, fixed, knob_title, knob_value, p_value, percent
from bracket.report.writing.document import Block, Bullets, Paragraph, Row, Section, Subheading, Table
from bracket.stats.people.concordance import NEEDED as NEEDED_FOR_TAU
from bracket.stats.search.landscape import NEEDED as NEEDED_FOR_MAP
from bracket.stats.search.landscape import NEEDED_VALUES
from bracket.stats.search.scale import is_log

FILE = "mattered.json"
VERSION = 1
KINDS: tuple[Kind, ...] = ("importance", "learning_rate", "map", "concordance")
"""The plots that belong here, in reading order."""
_NEEDED = 6
"""Scored configs that knob importance takes."""


def section(summary: Summary, searched: Searched, plots: Sequence[Plot]) -> Section:
    """The report's section: sentences first, then figures, then the next session's space."""
    if not trials_of(summary):
        return Section("mattered", "What mattered", ())
    blocks: list[Block] = [Bullets(tuple(sentences(searched)))]
    if left := _left_out(searched):
        blocks.append(Paragraph(left, "note"))
    blocks += [plot.figure for kind in KINDS for plot in plots if plot.kind == kind]
    return Section("mattered", "What mattered", (*blocks, *_next_space(summary)))


def as_json(summary: Summary, searched: Searched, plots: Sequence[Plot]) -> dict[str, Any]:
    """All of it as plain data; figures by their paths relative to the report's folder."""
    return {
        "version": VERSION,
        "steps": searched.compared.steps,
        "configs": len(searched.tried),
        "sentences": sentences(searched) if trials_of(summary) else [],
        "note": _left_out(searched),
        "importance": [one.as_dict() for one in searched.importance],
        "knee": searched.knee.as_dict() if searched.knee else None,
        "weights": searched.weights.as_dict() if searched.weights else None,
        "concordance": searched.concordance.as_dict() if searched.concordance else None,
        "suggestion": summary.suggestion,
        "figures": [
            {
                "kind": plot.kind,
                "alt": plot.figure.alt,
                "caption": plot.figure.caption,
                "light": f"figures/{plot.figure.name}{LIGHT.suffix}.png",
                "dark": f"figures/{plot.figure.name}{DARK.suffix}.png",
            }
            for kind in KINDS
            for plot in plots
            if plot.kind == kind
        ],
    }


def sentences(searched: Searched) -> list[str]:
    """What can be said of this search, and what can't for want of trials."""
    parts = (_importance, _curve, lambda found: found.held, _knee, _map, _weights, _concordance)
    return [text for part in parts if (text := part(searched))]


def _importance(searched: Searched) -> str:
    found = searched.importance
    if not found:
        return (
            f"Which knobs mattered can't be told: it takes {_NEEDED} scored configs of one length that differ in knobs "
            f"and scores; this search has {len(searched.tried)}."
        )
    clear = [knob_title(one.knob) for one in found if one.clear]
    hardly = [knob_title(one.knob) for one in found if one.negligible and not one.clear]
    open_ = [knob_title(one.knob) for one in found if not one.clear and not one.negligible]
    told = [f"The score clearly follows the {_listed(clear)}." if clear else "The score clearly follows no knob."]
    if hardly:
        told.append(f"The {_listed(hardly)} hardly {'mattered' if len(hardly) > 1 else 'matters'}.")
    if open_:
        told.append(f"This search can't tell whether the {_listed(open_)} mattered: no more than noise would.")
    return " ".join(told)


def _curve(searched: Searched) -> str:
    knob, curve = searched.rate, searched.curve
    if knob is None or curve is None:
        return ""
    best, low, high = (knob_value(knob, value) for value in (curve.best_x, curve.best_low, curve.best_high))
    return f"The best {knob_title(knob)} is about {best}; it may lie anywhere from {low} to {high}."


def _knee(searched: Searched) -> str:
    knob, knee, ended = searched.rate, searched.knee, searched.ended
    if knob is None or not ended:
        return ""
    title, burnt = knob_title(knob), sum(bad for _, bad in ended)
    rates = [rate for rate, _ in ended]
    if not burnt:
        held = "The config" if len(ended) == 1 else f"All {len(ended)} configs"
        return f"{held} held, up to a {title} of {knob_value(knob, max(rates))}: where melting begins can't be told."
    if burnt == len(ended):
        lowest = knob_value(knob, min(rates))
        return f"Every config melted, down to a {title} of {lowest}: where melting begins can't be told."
    if knee is None:
        return f"{burnt} of {len(ended)} configs melted, but not those with the highest {title}."
    safe, failing = knob_value(knob, knee.safe), knob_value(knob, knee.failing)
    if knee.separated:
        text = (
            f"Melting begins between a {title} of {safe}, up to which {knee.held} of {knee.below} held, and {failing}, "
            f"from which on {knee.melted} of {knee.above} melted"
        )
    else:
        text = f"Above a {title} of about {knob_value(knob, knee.value)} half of the trials melt"
    # Between neighbours that all held and all melted there is nothing to add but how far chance may move them.
    text += (
        f" (95 % interval of where half melt: {_interval(knob, knee.low, knee.high)})" if knee.low or knee.high else ""
    )
    return text + ("." if knee.clear else f". With so few that melted this may be chance ({p_value(knee.p)}).")


def _interval(knob: str, low: float | None, high: float | None) -> str:
    ends = [None if end is None else knob_value(knob, end) for end in (low, high)]
    if ends[1] is None:
        return f"from {ends[0]} up"
    return f"up to {ends[1]}" if ends[0] is None else f"{ends[0]} to {ends[1]}"


def _map(searched: Searched) -> str:
    found = searched.map
    if found is None:
        return (
            f"A map of two knobs takes {NEEDED_FOR_MAP} scored configs of one length with {NEEDED_VALUES} values of "
            f"each of two numeric knobs; this search has {counted(len(searched.tried), 'config')}."
        )
    land = found.landscape
    best = [_best_place(knob, value) for knob, value in zip((found.x, found.y), land.best, strict=True)]
    faint = [knob_title(one.knob) for one in searched.importance if not one.clear]
    faint = [name for name in faint if name in (knob_title(found.x.name), knob_title(found.y.name))]
    but = f", but these trials can't tell the {_listed(faint)} from noise" if faint else ""
    if land.unsure > 0.5:
        pair = f"{knob_title(found.x.name)} and {knob_title(found.y.name)}"
        return f"Over {pair} together the map is mostly a guess: it takes more trials to say where the best lies."
    return f"Over two knobs together the score is expected to be best near {best[0]} and {best[1]}{but}."


def _best_place(knob: Knob, value: float) -> str:
    """A value of the map as a config can have it: the nearest choice, a whole number."""
    if knob.kind == "choice":
        numbers = [c for c in knob.choices if isinstance(c, int | float)]
        value = min(numbers, key=lambda c: abs(math.log(c / value)) if is_log(knob) else abs(c - value))
    elif knob.kind == "int":
        value = round(value)
    return f"{knob_title(knob.name)} {knob_value(knob.name, value)}"


def _weights(searched: Searched) -> str:
    found = searched.weights
    if found is None:
        return ""
    return (
        f"In trials of {searched.compared.steps} steps the loss counts {percent(found.asked)} and the pictures "
        f"{percent(1 - found.asked)}. In effect the loss carries {percent(found.among_all)} of the score's spread "
        f"among all {found.trials} configs, and {percent(found.among_best)} among the best {found.best}."
        f"{_good(searched)}"
    )


def _good(searched: Searched) -> str:
    found = searched.good
    if found is None:
        return ""
    measured = f"tau {fixed(found.tau, 2)}, {fixed(found.low, 2)} to {fixed(found.high, 2)}, {found.trials} configs"
    ranked = "rank against each other" if found.opposes else "do not rank against each other"
    return f" Among the better half by loss, loss and pictures {ranked} ({measured})."


def _concordance(searched: Searched) -> str:
    found = searched.concordance
    if found is None:
        have = len(searched.judged)
        if not have:
            return "" if not searched.tried else "There is no validation loss to hold against the judge."
        return (
            f"Whether validation loss and judge agree can't be told: it takes {NEEDED_FOR_TAU} configs that differ "
            f"in both; this search has {have}."
        )
    measured = f"(tau {fixed(found.tau, 2)}, {fixed(found.low, 2)} to {fixed(found.high, 2)}, {found.trials} configs)"
    chosen = searched.labels[searched.judged[found.by_loss]]
    if found.place == 1:
        picked = f"Picking by loss would have chosen {chosen}, the judge's first too."
    else:
        place = f"{_ordinal(found.place)} of {found.trials}"
        picked = f"Picking by loss would have chosen {chosen}, which is {place} by the judge."
    if found.agrees:
        return f"The validation loss and the judge agree {measured}. {picked}"
    if found.opposes:
        return f"The validation loss and the judge rank the configs against each other {measured}. {picked}"
    return f"The validation loss and the judge do not clearly agree {measured}. {picked}"


def _left_out(searched: Searched) -> str:
    compared = searched.compared
    if not compared.others:
        return ""
    others = _listed([str(steps) for steps in compared.others])
    return (
        f"This rests on the {counted(len(compared.tried), 'config')} of {compared.steps} steps. Those of {others} "
        "steps are not mixed in, as longer trials score better whatever their settings; only melting is counted at "
        "every length."
    )


def _next_space(summary: Summary) -> list[Block]:
    suggestion = summary.suggestion
    if not suggestion:
        return []
    title = Subheading("The next session's space")
    if not suggestion["knobs"]:
        return [title, Paragraph(suggestion["note"])]
    rows = tuple(
        Row((knob_title(a["knob"]), a["change"], space_words(a), a["reason"]), "muted" if a["change"] == "kept" else "")
        for a in suggestion["knobs"]
    )
    return [title, Table(("Knob", "", "Values", "Why"), rows)]


def space_words(advice: Mapping[str, Any]) -> str:
    """A knob's suggested values: "1e-4 to 3e-3", "8, 16", "8"."""
    name, low, high = str(advice["knob"]), advice["low"], advice["high"]
    if advice["choices"]:
        return ", ".join(knob_value(name, choice) for choice in advice["choices"])
    if low == high:
        return knob_value(name, low)
    return f"{knob_value(name, low)} to {knob_value(name, high)}"


def _ordinal(n: int) -> str:
    last = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{'th' if n % 100 in (11, 12, 13) else last}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
