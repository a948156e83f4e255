"""`agsgtl data`: which scenes are known here, what is wrong with a pair's files, and the authors' test indices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agsgtl.config import Config

if TYPE_CHECKING:
    from agsgtl.data.doctor import Checkup, Leak

data_app = typer.Typer(name="data", help="Scenes: what is known, what is wrong with files.", no_args_is_help=True)

Root = Annotated[Path | None, typer.Option("--root", help="Folder that is searched for the pair's files first.")]
DEFAULTS = Config().labels


@data_app.command("list")
def list_scenes() -> None:
    """List the pairs and scenes that are known by name."""
    from agsgtl.data.catalog import entries

    for name, entry in entries().items():
        typer.echo(f"{name}: {entry.title} ({entry.licence}; doi {entry.doi})")
        for scene_name, scene in entry.scenes.items():
            size = " x ".join(str(number) for number in (*scene.size, scene.bands))
            typer.echo(
                f"  scene {name}/{scene_name}: {scene.sensor}, {scene.date}, {size}; {scene.cube}, {scene.labels}"
            )
        for pair_name, pair in entry.pairs.items():
            typer.echo(f"  pair  {name}/{pair_name}: {len(pair.classes)} classes, test pool {pair.test_pool.split}")
        if not entry.pairs:
            typer.echo(
                f"  cut it into pairs of your own: `source: {{scene: {name}/{next(iter(entry.scenes))}, rows: [0, 99]}}`"
            )


@data_app.command("check")
def check(
    pair: Annotated[str, typer.Argument(help="A pair of `agsgtl data list`, or the path of a pair's YAML file.")],
    root: Root = None,
    per_class: Annotated[
        int, typer.Option("--per-class", min=1, help="k, target training pixels a class.")
    ] = DEFAULTS.per_class,
    validation: Annotated[
        int, typer.Option("--validation-per-class", min=0, help="v, target validation pixels a class.")
    ] = DEFAULTS.validation_per_class,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="PNG to write: false colour, labels, splits.")
    ] = None,
) -> int:
    """Find what is wrong with a pair's files, count its splits, and tell how much its test pool leaks."""
    from agsgtl.data.doctor import examine
    from agsgtl.models.reach import STRIDES, reach_of

    reaches = {family: (reach_of(family).segmenter, reach_of(family).both) for family in STRIDES}
    checkup = examine(pair, root, reaches, per_class + validation)
    for line in describe(checkup):
        typer.echo(line)
    if not checkup.is_usable:
        return 1
    if checkup.pair is not None and checkup.test is not None:
        from agsgtl.data.picture import draw_pair

        path = picture or Path(f"{checkup.pair.name.replace('/', '__')}.check.png")
        draw_pair(path, checkup.pair, checkup.test)
        typer.echo(f"picture: {path}")
    return 0


@data_app.command("import-indices")
def import_test_indices(
    file: Annotated[Path, typer.Argument(help="The authors' pickled test indices, or a .npy or .npz.")],
    pair: Annotated[str, typer.Option("--pair", help="The pair whose target they are pixels of.")],
    out: Annotated[
        Path, typer.Option("--out", help="Index file to write, for `test_pool: {split: fixed, indices: FILE}`.")
    ],
    root: Root = None,
) -> None:
    """Convert pickled test pixels once into an index file of plain integers with a checksum."""
    from agsgtl.data.catalog import find_pair
    from agsgtl.data.indices import import_indices, write_index_file
    from agsgtl.data.loading import read_labels
    from agsgtl.data.scene import require_image

    found = find_pair(pair, root)
    domain, name = found.spec.target, f"{found.origin}: target"
    labels = read_labels(found, domain, name)
    require_image(name, labels)
    rows, columns = (
        slice(*(first, last + 1)) if limits else slice(None)
        for limits, first, last in _limits(domain.rows, domain.columns)
    )
    part = labels[rows, columns]
    pixels = import_indices(file, part != 0)
    write_index_file(out, pixels, (part.shape[0], part.shape[1]))
    typer.echo(f"{out}: {len(pixels)} test pixels of {found.origin}")


def describe(checkup: Checkup) -> list[str]:
    """A checkup in lines: findings, counts of each split, distances."""
    lines = [str(finding) for finding in checkup.findings]
    if checkup.rows:
        width = max(len(row.name) for row in checkup.rows)
        lines.append(f"{'pixels':<{width}}  {'source':>8}  {'development':>11}  {'test':>8}")
        lines += [f"{r.name:<{width}}  {r.source:>8}  {r.development:>11}  {r.test:>8}" for r in checkup.rows]
    if checkup.pair is not None:
        lines += checkup.pair.notes
    if checkup.leak is not None:
        lines += _describe_leak(checkup.leak)
    usable = "usable" if checkup.is_usable else "not usable"
    return [*lines, f"{checkup.name}: {usable}, {len(checkup.findings)} findings"]


def _describe_leak(leak: Leak) -> list[str]:
    training = "training pixel (source or target)" if leak.counts_source else "target training pixel"
    return [
        f"from a test pixel to the nearest {training}: {leak.nearest} pixels at least, median {leak.median:g}; the segmenter looks "
        f"{leak.segmenter} pixels far, segmenter and discriminator {leak.both}",
        f"test pixels that training has seen: {leak.seen:.1%}; with a training pixel in view: {leak.in_view:.1%}; sharing any input "
        f"pixel with training: {leak.overlapping:.1%}",
    ]


def _limits(*ranges: list[int] | None) -> list[tuple[bool, int, int]]:
    return [(limits is not None, *(limits or (0, 0))) for limits in ranges]
