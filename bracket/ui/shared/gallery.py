"""Pictures in rows and columns: the same prompt always stands in the same column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bracket.domain import Sample
from bracket.ui.shared.format import esc, picture


def prompts_of(samples: Iterable[Sample]) -> list[tuple[str, int]]:
    """The (prompt, seed) pairs in the order they were first drawn."""
    return list(dict.fromkeys((s.prompt, s.seed) for s in samples))


def by_step(samples: Sequence[Sample]) -> list[tuple[str, Mapping[tuple[str, int], Sample]]]:
    """One row a step, the newest first."""
    steps: dict[int, dict[tuple[str, int], Sample]] = {}
    for sample in samples:
        steps.setdefault(sample.step, {})[sample.prompt, sample.seed] = sample
    return [(f"step {step}", steps[step]) for step in sorted(steps, reverse=True)]


def newest(samples: Sequence[Sample]) -> dict[tuple[str, int], Sample]:
    """The latest picture of every prompt."""
    found: dict[tuple[str, int], Sample] = {}
    for sample in sorted(samples, key=lambda s: s.step):
        found[sample.prompt, sample.seed] = sample
    return found


def grid(
    rows: Sequence[tuple[str, Mapping[tuple[str, int], Sample]]], columns: Sequence[tuple[str, int]], *, limit: int = 60
) -> str:
    """Rows × prompts as HTML; a place without a picture stays empty.

    Args:
        rows: a label and its pictures by (prompt, seed).
        columns: the (prompt, seed) of each column; those after `limit` are left out, and a line says so.
    """
    shown = columns[:limit]
    heads = "".join(f'<th title="{esc(p)}"><span>{esc(p)}</span></th>' for p, _ in shown)
    body = "".join(
        f'<tr><th scope="row">{esc(label)}</th>'
        + "".join(f"<td>{picture(found.get(column), label)}</td>" for column in shown)
        + "</tr>"
        for label, found in rows
    )
    rest = len(columns) - len(shown)
    more = f'<p class="quiet">{rest} more pictures a row are in the folder.</p>' if rest > 0 else ""
    return f'<div class="grid"><table><thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table></div>{more}'
