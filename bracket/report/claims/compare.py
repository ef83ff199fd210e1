"""What a certificate says against what its judgements give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


def differences(place: str, stored: Any, again: Any, *, whole: bool = False) -> Iterator[str]:
    """A sentence for every value in which the two differ; `place` names them in the certificate.

    Args:
        whole: nothing may be missing in `stored`, and nothing be there beside; certificates of earlier versions lack
            what came later.
    """
    if isinstance(stored, dict) and isinstance(again, dict):
        for key, value in stored.items():
            if whole and key not in again:
                yield f"The certificate holds {place}.{key}, which does not follow from its judgements."
            else:
                yield from differences(f"{place}.{key}", value, again.get(key), whole=whole)
        yield from (f"The certificate lacks {place}.{key}." for key in again if whole and key not in stored)
    elif isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        for index, (one, other) in enumerate(zip(stored, again, strict=True)):
            yield from differences(f"{place}.{index}", one, other, whole=whole)
    elif isinstance(stored, dict) != isinstance(again, dict):
        held, made = ("nothing", "one") if stored is None else ("one", "none")
        yield f"The certificate gives {place} as {held}, its judgements give {made}."
    elif not same(stored, again):
        yield f"The certificate gives {place} as {stored}, its judgements give {again}."


def same(a: Any, b: Any) -> bool:
    """Equal; numbers up to what another version of the numeric libraries may round differently."""
    if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, int | float) or not isinstance(b, int | float):
        return bool(a == b)
    return math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-9)
