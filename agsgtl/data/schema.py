"""What a pair's YAML says: two cubes with label images, their crops, and which source class is which target class.

A user's file is one `PairSpec`. A catalog entry describes scenes and classes once, and each of its pairs expands to a
`PairSpec` too (`catalog.py`), so everything below this file knows one form only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from agsgtl.config import AUTHORS_SETTINGS
from agsgtl.data.pools import TestPoolRule
from agsgtl.errors import did_you_mean

MOST_CLASSES = 254
"""Label images are uint8, 0 is unlabelled, and the discriminator has one class more."""

WORDS_OF_TABLES = frozenset({"average", "method", "settings", "tuned"})
"""The headers that stand beside the pairs' names in a table: no pair may bear one."""

_Id = Annotated[int, Field(ge=1)]
_Colour = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]
_Text = Annotated[str, Field(min_length=1)]


def _first_to_last(value: list[int]) -> list[int]:
    if value[0] > value[1]:
        raise ValueError(f"must be [first, last] with first <= last, got {value}")
    return value


_Range = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2), AfterValidator(_first_to_last)]
"""First and last, 0-based, both included."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


Axis = Literal["height", "width", "bands"]


class SceneFiles(_Strict):
    """Where one scene's arrays lie; array names may be left out where a file holds only one.

    `axes` is the order of the cube's axes in its file, needed only where the label image's shape cannot tell it; a cube with
    coordinates lies as its format says.
    `wavelengths` names a file, `wavelengths_nm` lists the band centres; an ENVI header's own are used without either.
    """

    cube: _Text
    cube_array: _Text | None = None
    axes: list[Axis] | None = None
    labels: _Text
    labels_array: _Text | None = None
    wavelengths: _Text | None = None
    wavelengths_array: _Text | None = None
    wavelengths_nm: list[Annotated[float, Field(gt=0.0)]] | None = None

    @field_validator("axes")
    @classmethod
    def _every_axis_once(cls, value: list[Axis] | None) -> list[Axis] | None:
        if value is not None and sorted(value) != ["bands", "height", "width"]:
            raise ValueError(f"must be height, width and bands in the file's order, got {value}")
        return value

    @model_validator(mode="after")
    def _one_source_of_wavelengths(self) -> Self:
        if self.wavelengths is not None and self.wavelengths_nm is not None:
            raise ValueError("wavelengths: a file or `wavelengths_nm`, not both")
        return self


class Crop(_Strict):
    """A part of a scene: first and last row and column, 0-based, both included; None is all of them."""

    rows: _Range | None = None
    columns: _Range | None = None


class Bands(_Strict):
    """Which bands of a cube are used: ranges of first and last band, 0-based, both included; None is all of them."""

    bands: Annotated[list[_Range], Field(min_length=1)] | None = None


class Domain(SceneFiles, Crop, Bands):
    """The source or the target of a pair."""


class DomainOfCatalog(Domain):
    """A part of one of the catalog's scenes: its files are the catalog's, with their folders and checksums."""


class SceneOfCatalog(Crop, Bands):
    """A scene of the catalog, like `salinas/1998`, as the source or the target of a user's pair."""

    scene: _Text


class ClassRow(_Strict):
    """One shared class: its id in the source's and in the target's label image."""

    name: _Text
    source: _Id
    target: _Id
    colour: _Colour | None = None


class PairRules(_Strict):
    """What every pair may set, in a user's file and in the catalog.

    `drop_source_under_target`: both label images lie on one grid, and source labels where the target has any are dropped.
    `match_bands`: how two sensors' bands meet, by wavelength. `multiple_of_21`: how the depthwise network gets its count.
    """

    test_pool: TestPoolRule = TestPoolRule()
    drop_source_under_target: bool = False
    match_bands: Literal["nearest", "interpolate"] | None = None
    multiple_of_21: Literal["pad", "trim"] | None = None
    authors_settings: str = "houston"
    authors_scale: Annotated[list[Annotated[float, Field(gt=0.0)]], Field(min_length=2, max_length=2)] = [1.0, 1.0]

    @field_validator("authors_settings")
    @classmethod
    def _known_settings(cls, value: str) -> str:
        if value not in AUTHORS_SETTINGS:
            raise ValueError(f"'{value}' is none of the authors' settings; {did_you_mean(value, AUTHORS_SETTINGS)}")
        return value


class PairSpec(PairRules):
    """A pair in full: a user's pair file, or a catalog's pair expanded."""

    name: _Text
    source: Domain
    target: Domain
    classes: list[ClassRow]

    @field_validator("name")
    @classmethod
    def _can_be_a_file_name(cls, value: str) -> str:
        # '__' stands for the '/' of the catalog's names where a pair's name is a file name.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?", value) or "__" in value:
            raise ValueError(
                f"must be letters, digits, '.', '-' and single '_', starting with a letter or digit, got '{value}'"
            )
        if value.lower() in WORDS_OF_TABLES:
            raise ValueError(f"'{value}' is the header of a column in tables; give the pair another name")
        return value

    @model_validator(mode="after")
    def _classes_are_distinct(self) -> Self:
        if not 2 <= len(self.classes) <= MOST_CLASSES:
            raise ValueError(
                f"classes: must be 2 to {MOST_CLASSES}, got {len(self.classes)}; list each shared class once"
            )
        _require_unique("name", [row.name for row in self.classes])
        _require_unique("source id", [row.source for row in self.classes])
        _require_unique("target id", [row.target for row in self.classes])
        return self


def _require_unique(what: str, values: Sequence[object]) -> None:
    twice = sorted({str(value) for value in values if list(values).count(value) > 1})
    if twice:
        raise ValueError(f"classes: {what} {', '.join(twice)} stands twice; give every class its own")


class CatalogScene(SceneFiles):
    """One acquisition, as the catalog describes it; `size`, types and version tell how its usual files are made."""

    sensor: _Text
    date: _Text
    bands: Annotated[int, Field(ge=1)]
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    cube_dtype: Literal["uint8", "uint16", "int16", "float32", "float64"]
    labels_dtype: Literal["uint8", "uint16", "int16", "float32", "float64"] = "uint8"
    mat_version: Literal["5", "7.3"] = "5"


class CatalogClass(_Strict):
    """A class of a catalog entry's label images."""

    name: _Text
    colour: _Colour


CatalogDomain = SceneOfCatalog
"""A scene of the entry, or a part of it."""


class CatalogPair(PairRules):
    """Two domains of an entry; a class is an id of the entry's list where both sides agree, else spelled out."""

    source: CatalogDomain
    target: CatalogDomain
    classes: list[_Id | ClassRow]


class CatalogEntry(_Strict):
    """Everything known of one data set: `catalog/<name>.yaml`. Its files lie in the package or in `--root`."""

    title: _Text
    citation: _Text
    doi: _Text
    licence: _Text
    obtained_from: _Text
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None]
    scenes: dict[str, CatalogScene]
    classes: dict[_Id, CatalogClass]
    pairs: dict[str, CatalogPair] = {}

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        named = {
            file for scene in self.scenes.values() for file in (scene.cube, scene.labels, scene.wavelengths) if file
        }
        if named != set(self.files):
            raise ValueError(f"files: must list what the scenes name, {sorted(named)}, got {sorted(self.files)}")
        for name, pair in self.pairs.items():
            for side in (pair.source, pair.target):
                if side.scene not in self.scenes:
                    raise ValueError(
                        f"pairs.{name}: '{side.scene}' is no scene; {did_you_mean(side.scene, self.scenes)}"
                    )
            unknown = [row for row in pair.classes if isinstance(row, int) and row not in self.classes]
            if unknown:
                raise ValueError(f"pairs.{name}: {unknown} are no classes of this entry")
        return self
