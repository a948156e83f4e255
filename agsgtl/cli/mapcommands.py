"""`agsgtl predict` and `agsgtl import-weights`: their arguments alone; what they do needs PyTorch, which takes seconds to load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[Path | None, typer.Option("--root", help="Folder that is searched for the pair's files first.")]


def predict(
    record: Annotated[Path, typer.Argument(help="A trial's record.json, or its folder.")],
    scene: Annotated[str, typer.Option("--scene", help="target or source.")] = "target",
    seed: Annotated[int, typer.Option("--seed", help="Which of the record's seeds, counted from 0.")] = 0,
    pair: Annotated[
        str | None, typer.Option("--pair", help="The pair's YAML file, where no sweep unpacked it.")
    ] = None,
    root: Root = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to; left out: `maps` beside the record.")
    ] = None,
    tile: Annotated[
        int, typer.Option("--tile", min=1, help="Rows and columns predicted at once; changes no number.")
    ] = 384,
) -> None:
    """Write a record's class map, confidence and attention map of a scene."""
    from agsgtl.cli import maps

    maps.predict(record, scene, seed, pair, root, out, tile)


def import_weights(
    file: Annotated[Path, typer.Argument(help="The authors' pickled list of target segmenters' state dicts.")],
    pair: Annotated[str, typer.Option("--pair", help="The pair that they were trained on.")],
    discriminators: Annotated[
        Path | None,
        typer.Option("--discriminators", help="The list of the same runs' discriminators, for attention maps."),
    ] = None,
    results: Annotated[Path, typer.Option("--results", help="Folder of results to write to.")] = Path(
        "results/authors"
    ),
    root: Root = None,
) -> None:
    """Turn the authors' weights into records that `predict` and `table` treat as any other method's."""
    from agsgtl.cli import maps

    maps.import_weights(file, pair, discriminators, results, root)
