"""The report: Markdown, HTML, figures and the certificate, all from one `Summary`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bracket.report.summary import Summary


def write_report(summary: Summary, folder: Path, shown: Callable[[Path], Path] = lambda path: path) -> Path:
    """Writes report.md, report.html, figures/ and certificate.json into `folder`; see `sections.write`."""
    from bracket.report.sections.write import write

    return write(summary, folder, shown)
