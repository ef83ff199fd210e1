"""The command line's progress bar: trials done, what it does now, and how long still."""

from __future__ import annotations

from tqdm import tqdm

from bracket.report.words import duration
from bracket.session.control import Progress


class Bar:
    """Called with every progress of a session; a context manager."""

    def __init__(self, name: str) -> None:
        self._bar = tqdm(
            desc=name,
            unit="trial",
            dynamic_ncols=True,
            bar_format="{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} trials, {elapsed} gone{postfix}",
        )

    def __call__(self, progress: Progress) -> None:
        if progress.planned:
            self._bar.total = progress.planned
        self._bar.n = progress.done
        left = f"about {duration(progress.eta)} left · " if progress.eta else ""
        self._bar.set_postfix_str(f"{left}{progress.phase}", refresh=False)
        self._bar.refresh()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.close()
