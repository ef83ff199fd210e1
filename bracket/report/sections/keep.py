"""What is kept of what the base could, as the report tells it: by whom and how surely, and the pictures beside each
other."""

from __future__ import annotations

from bracket.report.material import pictures
from bracket.report.summary import Summary
from bracket.report.words import NOTHING, judged, percent
from bracket.report.writing.document import Block, Paragraph, Row, Section, Table
from bracket.stats.duel.keep import Keep
from bracket.stats.duel.wording import keep_interval, kept

_WHY = (
    "A prompt without the trigger word asks for nothing that was learnt, so what the base draws of it should stay as "
    "good. Here each file's mean judged score is held against the bare base's on the same prompts and sample seeds; "
    "all pictures of a prompt were judged together and blind. The unit is the prompt."
)


def section(summary: Summary) -> Section:
    """Empty where the plan asked for nothing of it."""
    found, blocks = summary.verdict.kept, list[Block]()
    if found and (said := kept(summary.verdict)):
        blocks.append(Paragraph(" ".join(said), "plain" if found.enough else "warning"))
    if found and found.winner and found.baseline:
        base = Row(("Base, without any LoRA", judged(found.winner.base), NOTHING, NOTHING), "muted")
        rows = (base, _row("Baseline", found.baseline), _row("Winner", found.winner))
        blocks += [Paragraph(_WHY), Table(("Whose pictures", "Judged", "Keeps", "How surely"), rows, frozenset({1, 2}))]
    if shown := pictures.kept_pictures(summary):
        blocks.append(shown)
    return Section("kept", "What is kept of what the base could", tuple(blocks))


def _row(name: str, keep: Keep) -> Row:
    share = NOTHING if keep.share is None else percent(keep.share)
    return Row((name, judged(keep.file), share, keep_interval(keep)), "winner" if name == "Winner" else "baseline")
