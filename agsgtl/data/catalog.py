"""Finds what a pair's name stands for: an entry of `catalog/*.yaml`, or a user's own pair file."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agsgtl.config import describe_errors
from agsgtl.data.schema import CatalogDomain, CatalogEntry, CatalogPair, ClassRow, Domain, PairSpec
from agsgtl.errors import UserError, did_you_mean
from agsgtl.yamlfile import read_yaml

PACKAGE_FOLDER = Path(__file__).parent
CATALOG_FOLDER = PACKAGE_FOLDER / "catalog"

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class FoundPair:
    """A pair's specification and where its files are looked for.

    Attributes:
        spec: the pair, in full.
        origin: what errors call it: the catalog name, or the user's file.
        folders: tried in this order for every relative file name.
        checksums: file name -> SHA-256 in hexadecimal, where the catalog knows it.
        bands: the cubes' band counts (source, target), where the catalog knows them.
    """

    spec: PairSpec
    origin: str
    folders: tuple[Path, ...]
    checksums: Mapping[str, str | None]
    bands: tuple[int | None, int | None] = (None, None)

    def locate(self, file: str) -> Path:
        """The path of a file that the specification names.

        Raises:
            UserError: it is in none of the folders, or its checksum is not the catalog's.
        """
        for folder in self.folders:
            path = folder / file
            if path.is_file():
                return self._verified(path, self.checksums.get(file))
        looked = " and ".join(str(folder.resolve()) for folder in self.folders)
        raise UserError(f"{self.origin}: there is no file '{file}'; it was looked for in {looked}")

    def _verified(self, path: Path, checksum: str | None) -> Path:
        if checksum is not None:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != checksum:
                raise UserError(
                    f"{self.origin}: {path} must have SHA-256 {checksum}, but has {found}: it is another or a damaged file; "
                    "fetch it again"
                )
        return path


def pair_names() -> list[str]:
    """The names of all pairs of the catalog, like 'indian_pines/west_to_east'."""
    return [f"{entry}/{pair}" for entry, content in _entries().items() for pair in content.pairs]


def find_pair(name: str, root: Path | None) -> FoundPair:
    """What a catalog name or the path of a pair's YAML file stands for; `root` is searched for its files first.

    Raises:
        UserError: no such pair, or the user's file breaks a rule of `schema.PairSpec`.
    """
    if name.endswith((".yaml", ".yml")):
        return _read_pair_file(Path(name), root)
    if name not in pair_names():
        raise UserError(
            f"'{name}' is no pair of the catalog; {did_you_mean(name, pair_names())}; a pair of your own is named by the "
            "path of its .yaml file"
        )
    entry_name, pair_name = name.split("/")
    entry = _entries()[entry_name]
    pair = entry.pairs[pair_name]
    bands = entry.scenes[pair.source.scene].bands, entry.scenes[pair.target.scene].bands
    return FoundPair(_expand(name, entry, pair), name, _folders(root, PACKAGE_FOLDER), entry.files, bands)


def _folders(root: Path | None, home: Path) -> tuple[Path, ...]:
    return (home,) if root is None else (root, home)


def _read_pair_file(path: Path, root: Path | None) -> FoundPair:
    spec = _validate(PairSpec, path)
    if "/" in spec.name:
        raise UserError(f"{path}: name: '/' is kept for the catalog's pairs, got '{spec.name}'; use '-' or '_'")
    return FoundPair(spec, str(path), _folders(root, path.parent), {})


def _validate(model: type[_Model], path: Path) -> _Model:
    try:
        return model.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path}: {'; '.join(describe_errors(error))}") from None


@functools.cache
def _entries() -> Mapping[str, CatalogEntry]:
    return {path.stem: _validate(CatalogEntry, path) for path in sorted(CATALOG_FOLDER.glob("*.yaml"))}


def _expand(name: str, entry: CatalogEntry, pair: CatalogPair) -> PairSpec:
    return PairSpec(
        name=name,
        source=_domain(entry, pair.source),
        target=_domain(entry, pair.target),
        classes=[row if isinstance(row, ClassRow) else _same_id(entry, row) for row in pair.classes],
        test_pool=pair.test_pool,
        authors_settings=pair.authors_settings,
        authors_scale=pair.authors_scale,
    )


def _domain(entry: CatalogEntry, domain: CatalogDomain) -> Domain:
    files = entry.scenes[domain.scene].model_dump(exclude={"sensor", "date", "bands"})
    return Domain(**files, rows=domain.rows, columns=domain.columns)


def _same_id(entry: CatalogEntry, class_id: int) -> ClassRow:
    known = entry.classes[class_id]
    return ClassRow(name=known.name, source=class_id, target=class_id, colour=known.colour)
