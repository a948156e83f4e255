"""Finds what a pair's name stands for: an entry of `catalog/*.yaml`, or a user's own pair file, and where its files lie."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agsgtl.config import describe_errors
from agsgtl.data.schema import (
    CatalogEntry,
    CatalogPair,
    ClassRow,
    Domain,
    PairRules,
    PairSpec,
    SceneFiles,
    SceneOfCatalog,
)
from agsgtl.errors import UserError, did_you_mean
from agsgtl.yamlfile import read_yaml

PACKAGE_FOLDER = Path(__file__).parent
CATALOG_FOLDER = PACKAGE_FOLDER / "catalog"
FOLDER_VARIABLE = "AGSGTL_DATA"
"""The environment variable that names the folder of the catalog's files, where `--root` does not."""

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
        obtained_from: file name -> where one gets it, for the catalog's files.
        known_ids: label ids that the catalog names in the pair's scenes.
    """

    spec: PairSpec
    origin: str
    folders: tuple[Path, ...]
    checksums: Mapping[str, str | None]
    bands: tuple[int | None, int | None] = (None, None)
    obtained_from: Mapping[str, str] = field(default_factory=dict)
    known_ids: frozenset[int] = frozenset()

    def locate(self, file: str) -> Path:
        """The path of a file that the specification names.

        Raises:
            UserError: it is in none of the folders, or its checksum is not the catalog's.
        """
        path = self._first(file)
        if path is not None:
            return self._verified(path, self.checksums.get(file))
        looked = " and ".join(str(folder.resolve()) for folder in self.folders)
        source = f"; it comes from {self.obtained_from[file]}" if file in self.obtained_from else ""
        remedy = f"; name its folder in {FOLDER_VARIABLE}, or with the --root of `agsgtl data`" if source else ""
        raise UserError(f"{self.origin}: there is no file '{file}'{source}; it was looked for in {looked}{remedy}")

    @property
    def has_one_cube(self) -> bool:
        """Whether both sides are cut from one array of one file, in whichever rows, columns and bands."""
        source, target = self.spec.source, self.spec.target
        paths = [path and path.resolve() for path in (self._first(source.cube), self._first(target.cube))]
        arrays = {source.cube_array, target.cube_array}  # None is the file's only one
        return paths[0] == paths[1] and (len(arrays) == 1 or None in arrays)

    def _first(self, file: str) -> Path | None:
        return next((folder / file for folder in self.folders if (folder / file).is_file()), None)

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
    origins = dict.fromkeys(entry.files, entry.obtained_from)
    folders = _folders(root, [entry_name], PACKAGE_FOLDER)
    return FoundPair(_expand(name, entry, pair), name, folders, entry.files, bands, origins, frozenset(entry.classes))


def entries() -> Mapping[str, CatalogEntry]:
    """Every entry of the catalog by name."""
    return _entries()


def scene_names() -> list[str]:
    """The scenes of the catalog, like 'salinas/1998', for a user's pair file."""
    return [f"{name}/{scene}" for name, entry in _entries().items() for scene in entry.scenes]


def _folders(root: Path | None, entry_names: list[str], home: Path) -> tuple[Path, ...]:
    """`--root`, then `$AGSGTL_DATA`, each with its folders of the entries' names, then `home`."""
    variable = os.environ.get(FOLDER_VARIABLE)
    named = [folder for folder in (root, Path(variable) if variable else None) if folder is not None]
    return (*tuple(place for folder in named for place in (folder, *(folder / name for name in entry_names))), home)


def _read_pair_file(path: Path, root: Path | None) -> FoundPair:
    content = read_yaml(path)
    sides = {side: _catalog_side(content.get(side), f"{path}: {side}") for side in ("source", "target")}
    expanded = {
        side: domain.model_dump(exclude_none=True) for side, (domain, _, _) in sides.items() if domain is not None
    }
    spec = _validate(PairSpec, content | expanded, path)
    if "/" in spec.name:
        raise UserError(f"{path}: name: '/' is kept for the catalog's pairs, got '{spec.name}'; use '-' or '_'")
    used = {name: _entries()[name] for _, name, _ in sides.values() if name}
    return FoundPair(
        spec,
        str(path),
        (*_folders(root, sorted(used), path.parent), *([PACKAGE_FOLDER] if used else [])),
        {file: checksum for entry in used.values() for file, checksum in entry.files.items()},
        (sides["source"][2], sides["target"][2]),
        {file: entry.obtained_from for entry in used.values() for file in entry.files},
        frozenset(class_id for entry in used.values() for class_id in entry.classes),
    )


def _catalog_side(content: Any, origin: str) -> tuple[Domain | None, str, int | None]:
    """A user's `{scene: salinas/1998, ...}` as a domain, its entry's name and band count; else nothing."""
    if not isinstance(content, dict) or "scene" not in content:
        return None, "", None
    try:
        side = SceneOfCatalog.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{origin}: {'; '.join(describe_errors(error))}") from None
    if side.scene not in scene_names():
        raise UserError(
            f"{origin}: '{side.scene}' is no scene of the catalog; {did_you_mean(side.scene, scene_names())}"
        )
    entry_name, scene = side.scene.split("/")
    entry = _entries()[entry_name]
    return _domain(entry, side, scene), entry_name, entry.scenes[scene].bands


def _validate(model: type[_Model], content: Mapping[str, Any], path: Path) -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {'; '.join(describe_errors(error))}") from None


@functools.cache
def _entries() -> Mapping[str, CatalogEntry]:
    return {path.stem: _validate(CatalogEntry, read_yaml(path), path) for path in sorted(CATALOG_FOLDER.glob("*.yaml"))}


def _expand(name: str, entry: CatalogEntry, pair: CatalogPair) -> PairSpec:
    return PairSpec(
        name=name,
        source=_domain(entry, pair.source, pair.source.scene),
        target=_domain(entry, pair.target, pair.target.scene),
        classes=[row if isinstance(row, ClassRow) else _same_id(entry, row) for row in pair.classes],
        **{rule: getattr(pair, rule) for rule in PairRules.model_fields},
    )


def _domain(entry: CatalogEntry, side: SceneOfCatalog, scene: str) -> Domain:
    files = entry.scenes[scene].model_dump(include=set(SceneFiles.model_fields))
    return Domain(**files, **side.model_dump(exclude={"scene"}))


def _same_id(entry: CatalogEntry, class_id: int) -> ClassRow:
    known = entry.classes[class_id]
    return ClassRow(name=known.name, source=class_id, target=class_id, colour=known.colour)
