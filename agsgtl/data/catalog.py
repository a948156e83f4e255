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
    DomainOfCatalog,
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
        folders: tried in this order for a relative name of the user's own files.
        catalog_folders: the same for the files of the catalog's scenes.
        checksums: file name -> SHA-256 in hexadecimal, where the catalog knows it.
        bands: the cubes' band counts (source, target), where the catalog knows them.
        obtained_from: file name -> where one gets it, for the catalog's files.
        known_ids: label ids that the catalog names in the pair's scenes.
    """

    spec: PairSpec
    origin: str
    folders: tuple[Path, ...]
    catalog_folders: tuple[Path, ...]
    checksums: Mapping[str, str | None]
    bands: tuple[int | None, int | None] = (None, None)
    obtained_from: Mapping[str, str] = field(default_factory=dict)
    known_ids: frozenset[int] = frozenset()

    def locate(self, file: str, domain: Domain | None = None) -> Path:
        """The path of a file that a domain names; an index file has no domain and is the user's own.

        Raises:
            UserError: it is in none of the folders, or its checksum is not the catalog's.
        """
        path, of_catalog = self._first(file, domain), isinstance(domain, DomainOfCatalog)
        if path is not None:
            return self._verified(path, self.checksums.get(file)) if of_catalog else path
        looked = " and ".join(str(folder.resolve()) for folder in self._folders_of(domain))
        source = f"; it comes from {self.obtained_from[file]}" if of_catalog else ""
        remedy = (
            f"name its folder in {FOLDER_VARIABLE}, or with the --root of `agsgtl data`"
            if of_catalog
            else "give its path from the pair file's folder"
        )
        raise UserError(f"{self.origin}: there is no file '{file}'{source}; it was looked for in {looked}; {remedy}")

    @property
    def has_one_cube(self) -> bool:
        """Whether both sides are cut from one array of one file, in whichever rows, columns and bands."""
        source, target = self.spec.source, self.spec.target
        paths = [path and path.resolve() for path in (self._first(side.cube, side) for side in (source, target))]
        arrays = {source.cube_array, target.cube_array}  # None is the file's only one
        return paths[0] == paths[1] and (len(arrays) == 1 or None in arrays)

    def _folders_of(self, domain: Domain | None) -> tuple[Path, ...]:
        return self.catalog_folders if isinstance(domain, DomainOfCatalog) else self.folders

    def _first(self, file: str, domain: Domain | None) -> Path | None:
        try:
            return next((folder / file for folder in self._folders_of(domain) if (folder / file).is_file()), None)
        except OSError as error:  # a name that no file can have, or a folder that may not be looked into
            raise UserError(
                f"{self.origin}: '{file[:80]}' cannot be looked for: {error.strerror}; correct the file's name or its folder's rights"
            ) from None

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
    spec, known = _expand(name, entry, pair), frozenset(entry.classes)
    own, of_catalog = _own_folders(root, PACKAGE_FOLDER), _catalog_folders(root, [entry_name], PACKAGE_FOLDER)
    return FoundPair(spec, name, own, of_catalog, entry.files, bands, origins, known)


def entries() -> Mapping[str, CatalogEntry]:
    """Every entry of the catalog by name."""
    return _entries()


def scene_names() -> list[str]:
    """The scenes of the catalog, like 'salinas/1998', for a user's pair file."""
    return [f"{name}/{scene}" for name, entry in _entries().items() for scene in entry.scenes]


def _own_folders(root: Path | None, home: Path) -> tuple[Path, ...]:
    """`--root`, then `home`. Not `$AGSGTL_DATA`: a file of the same name there must not replace a user's own."""
    return (home,) if root is None else (root, home)


def _catalog_folders(root: Path | None, entry_names: list[str], home: Path) -> tuple[Path, ...]:
    """`--root`, then `$AGSGTL_DATA`, each with its folders of the entries' names, then `home`."""
    variable = os.environ.get(FOLDER_VARIABLE)
    named = [folder for folder in (root, Path(variable) if variable else None) if folder is not None]
    return (*tuple(place for folder in named for place in (folder, *(folder / name for name in entry_names))), home)


def _read_pair_file(path: Path, root: Path | None) -> FoundPair:
    content = read_yaml(path)
    sides = {side: _catalog_side(content.get(side), f"{path}: {side}") for side in ("source", "target")}
    expanded = {side: domain for side, (domain, _, _) in sides.items() if domain is not None}
    spec = _validate(PairSpec, content | expanded, path)
    if "/" in spec.name:
        raise UserError(f"{path}: name: '/' is kept for the catalog's pairs, got '{spec.name}'; use '-' or '_'")
    used = {name: _entries()[name] for _, name, _ in sides.values() if name}
    return FoundPair(
        spec,
        str(path),
        _own_folders(root, path.parent),
        (*_catalog_folders(root, sorted(used), path.parent), PACKAGE_FOLDER),
        {file: checksum for entry in used.values() for file, checksum in entry.files.items()},
        (sides["source"][2], sides["target"][2]),
        {file: entry.obtained_from for entry in used.values() for file in entry.files},
        frozenset(class_id for entry in used.values() for class_id in entry.classes),
    )


def _catalog_side(content: Any, origin: str) -> tuple[DomainOfCatalog | None, str, int | None]:
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


def _domain(entry: CatalogEntry, side: SceneOfCatalog, scene: str) -> DomainOfCatalog:
    files = entry.scenes[scene].model_dump(include=set(SceneFiles.model_fields))
    return DomainOfCatalog(**files, **side.model_dump(exclude={"scene"}))


def _same_id(entry: CatalogEntry, class_id: int) -> ClassRow:
    known = entry.classes[class_id]
    return ClassRow(name=known.name, source=class_id, target=class_id, colour=known.colour)
