"""The command of the side-by-side works, which are imported only when they are asked for."""

from __future__ import annotations

from typing import Annotated

import typer


def bench(
    name: Annotated[str, typer.Argument(help="A work, e.g. mlp or tabular, several joined by commas, or all.")] = "all",
    repeats: Annotated[int, typer.Option(help="Rounds; each side once a round.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Little data and two rounds: to see that it works, not how fast.")] = False,
    only: Annotated[str, typer.Option(help="Peers to race, joined by commas, e.g. 'torch eager'.")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Keep the table in docs/results.md of a checkout.")] = False,
) -> None:
    """Race each work against whichever peers are installed. Example: chainrule bench tabular --only scikit-learn"""
    from chainrule.bench.side_by_side import race_all

    race_all(name, repeats=repeats, quick=quick, only=only, as_json=as_json, record=record)
