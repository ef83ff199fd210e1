"""`prove`: more fresh pairs for a finished session."""

from __future__ import annotations

from typing import Annotated

import typer

from bracket.cli.run import SessionName, start


def prove(
    session: SessionName,
    pairs: Annotated[
        int | None,
        typer.Option(help="Fresh paired trainings; default: as many as the preset plans, and enough for a claim."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it takes; start nothing.")] = False,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
) -> None:
    """Train a finished session's winner and baseline again with fresh seeds, for a claim about its settings."""
    from bracket.session.after import proof
    from bracket.session.running import launch

    folder = launch.named(session)
    offer = proof.offer(folder)
    wanted = offer.suggested if pairs is None else pairs
    offer.heed(folder, wanted)
    typer.echo(proof.cost(folder, wanted).words)
    typer.echo(f"{offer.wants(wanted)} Fewer than {offer.fewest} pairs can't end in one.")
    if not dry_run:
        proof.begin(folder, wanted)
        start(folder, quiet=quiet)
