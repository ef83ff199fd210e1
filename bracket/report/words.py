"""Settings and numbers as a person reads them. The session, the command line, the app and the report all use these."""

from __future__ import annotations

import math
from collections.abc import Collection

from bracket.domain import Config, Value

_SHORT = {"learning_rate": "lr", "batch_size": "batch", "train_batch_size": "batch"}
ADAPTIVE = "adaptive"
NOTHING = "–"
"""Stands where there is no value."""
_MINUS = "\N{MINUS SIGN}"
"""As wide as a plus, so that columns of differences line up."""


def knob_name(name: str) -> str:
    """A knob's name in words: `learning_rate` is "lr", `weight_decay` "weight decay"."""
    short = _SHORT.get(name)
    if short is None and name.endswith(("_learning_rate", "_lr")):
        short = name.replace("learning_rate", "lr").replace("_", " ")
    return short or name.replace("_", " ")


def knob_title(name: str) -> str:
    """A knob's name in full, for tables and axes: "learning rate"."""
    return name.replace("_", " ")


def knob_value(name: str, value: Value) -> str:
    """A knob's value in words: learning rates as 3e-4, switches as on and off, the rest as `number` or as they are."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value.replace("_", " ")
    if knob_name(name).split()[-1] == "lr" and value and math.isfinite(value):
        # 1 is no rate but the factor of an optimiser that finds its own (Prodigy).
        return ADAPTIVE if value == 1 else _scientific(value, 2)
    return number(value)


def config_label(config: Config, varying: Collection[str]) -> str:
    """A config in the words that tell it from the others, such as "lr 1e-3, rank 8".

    Knobs come in the config's own order. With no knob that varies, every knob is named.
    """
    names = [name for name in config if name in varying] or list(config)
    return ", ".join(f"{knob_name(name)} {knob_value(name, config[name])}" for name in names)


def duration(seconds: float) -> str:
    """Seconds as the two largest units that say something: "4.2 s", "4 min 10 s", "2 h 5 min", "3 d 4 h"."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 0:
        return _MINUS + duration(-seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, minor, minor_size in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // minor_size
            return f"{whole // size} {unit}" + (f" {rest} {minor}" if rest else "")
    return f"{whole} s"


def percent(x: float) -> str:
    """A share as a whole percentage: 0.81 is "81 %". Never 0 or 100 % unless it is exactly that."""
    if not math.isfinite(x):
        return NOTHING
    if 0 < x < 0.005:
        return "< 1 %"
    if 0.995 <= x < 1:
        return "> 99 %"
    return f"{x * 100:.0f} %".replace("-", _MINUS)


def number(x: float, digits: int = 3) -> str:
    """A number in so many significant digits; below a thousandth and from a million on as 1e-3, 2.5e6."""
    if not math.isfinite(x):
        return NOTHING
    if isinstance(x, int):
        return _minus(str(x)) if abs(x) < 1_000_000 else _minus(f"{x:,}".replace(",", " "))
    if x and not 0.001 <= abs(x) < 999_999.5:
        return _scientific(x, digits)
    places = max(0, digits - 1 - math.floor(math.log10(abs(x)))) if x else 0
    text = f"{x:.{places}f}"
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def fixed(x: float | None, places: int = 3) -> str:
    """A number with so many decimals, so that a column of them lines up; a dash for none."""
    return NOTHING if x is None or not math.isfinite(x) else _minus(f"{x:.{places}f}")


def score(total: float | None) -> str:
    """A score's total, or a part of it (0..1, lower is better), as people read it: 0 to 100, higher is better."""
    return judged(None if total is None else 1 - total)


def judged(x: float | None) -> str:
    """What a judge says, or one of its axes (0..1, higher is better), as people read it: 0 to 100."""
    return fixed(None if x is None else 100 * x, 1)


def points(difference: float | None) -> str:
    """How much higher something is judged (in 0..1), with its sign, in points of 100: "+3.2", or minus 1.0."""
    return NOTHING if difference is None or not math.isfinite(difference) else _minus(f"{100 * difference:+.1f}")


def p_value(p: float) -> str:
    """A p-value: "p = 0.031", "p < 0.001"; two significant digits, at least two decimals."""
    if p < 0.001:
        return "p < 0.001"
    if p > 0.99:
        return "p = 1.00" if p == 1 else "p > 0.99"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def counted(n: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 pair", "5 pairs"."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def _scientific(x: float, digits: int) -> str:
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _minus(text: str) -> str:
    return text.replace("-", _MINUS) if text.strip("-+0.") else text.lstrip("-+")
