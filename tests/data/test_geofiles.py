"""ENVI and GeoTIFF: axes, band centres and coordinates, from the extra `geo`."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_scenes import write_envi, write_geotiff
from tiny import write_tiny_pair

from agsgtl.data import geofiles
from agsgtl.data.doctor import examine
from agsgtl.data.geofiles import read_georeference, read_wavelengths_nm
from agsgtl.data.geofiles import write_geotiff as write_map
from agsgtl.data.georeference import Georeference
from agsgtl.data.mapped import map_pair, unpack_pair
from agsgtl.data.pairing import load_pair
from agsgtl.data.readers import read_array
from agsgtl.durable import NotWritable
from agsgtl.errors import UserError

pytest.importorskip("rasterio", reason="the extra `geo` is not installed")
pytest.importorskip("spectral", reason="the extra `geo` is not installed")

CUBE = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
PLACE = (30.0, 0.0, 500000.0, 0.0, -30.0, 3300000.0)


def test_a_geotiff_is_height_width_bands_with_its_coordinates(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", CUBE, PLACE, 32614)
    np.testing.assert_array_equal(read_array(tmp_path / "a.tif", None), CUBE)
    place = read_georeference(tmp_path / "a.tif")
    assert place is not None
    assert place.transform == PLACE
    assert "UTM zone 14N" in place.crs


def test_a_geotiff_of_one_band_is_a_label_image_and_may_lack_coordinates(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", CUBE[:, :, :1])
    np.testing.assert_array_equal(read_array(tmp_path / "a.tif", None), CUBE[:, :, 0])
    assert read_georeference(tmp_path / "a.tif") is None


@pytest.mark.parametrize(
    "packed", [{"compress": "zstd"}, {"compress": "lzma"}, {"compress": "lzw"}, {"SPARSE_OK": True}]
)
def test_a_geotiff_of_one_value_is_read_however_small_its_file(tmp_path: Path, packed: dict[str, Any]) -> None:
    write_zeros(tmp_path / "a.tif", **packed)
    assert (tmp_path / "a.tif").stat().st_size < 2400 * 2400 / 1100
    assert not read_array(tmp_path / "a.tif", None).any()


def test_a_geotiff_that_holds_more_than_deflate_can_pack_is_refused(tmp_path: Path) -> None:
    write_zeros(tmp_path / "a.tif", compress="deflate", SPARSE_OK=True)
    with pytest.raises(UserError, match="says that it holds 5760000 bytes, more than such a file can"):
        read_array(tmp_path / "a.tif", None)


def write_zeros(path: Path, **packed: Any) -> None:
    rasterio = pytest.importorskip("rasterio")
    size = {"height": 2400, "width": 2400, "count": 1, "dtype": "uint8"}
    place = {"crs": "EPSG:32614", "transform": rasterio.Affine(*PLACE)}
    with rasterio.open(path, "w", driver="GTiff", blockysize=2400, **size, **place, **packed) as raster:
        if "SPARSE_OK" not in packed:
            raster.write(np.zeros((1, 2400, 2400), np.uint8))


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_an_envi_image_is_height_width_bands_whatever_its_interleave(tmp_path: Path, interleave: str) -> None:
    write_envi(tmp_path / "a.hdr", CUBE, interleave)
    array = read_array(tmp_path / "a.hdr", None)
    np.testing.assert_array_equal(array, CUBE)
    assert array.dtype == np.uint16


def test_an_envi_header_tells_band_centres_and_coordinates(tmp_path: Path) -> None:
    info = ["UTM", "1", "1", "500000", "3300000", "30", "30", "14", "North", "WGS-84"]
    lines = {"wavelength": [0.5, 0.6, 0.7, 0.8], "wavelength units": "Micrometers", "map info": info}
    write_envi(tmp_path / "a.hdr", CUBE, **lines)
    centres, place = read_wavelengths_nm(tmp_path / "a.hdr"), read_georeference(tmp_path / "a.hdr")
    assert centres is not None
    assert centres.tolist() == pytest.approx([500, 600, 700, 800])
    assert place is not None
    assert place.transform == PLACE
    assert place.crs == "EPSG:32614"


INFO = ["UTM", "1", "1", "500000", "3300000", "30", "30", "14", "North", "WGS-84"]
MALFORMED = [
    (
        {"wavelength": ["400 nm", "410 nm", "420 nm", "430 nm"], "wavelength units": "nm"},
        "wavelength: .*, got '400 nm'",
    ),
    ({"map info": ["UTM", "1", "1", "here", *INFO[4:]]}, "map info: .*, got 'here'"),
    ({"map info": [*INFO, "rotation=left"]}, "map info: .*, got 'left'"),
    ({"map info": [*INFO, "rotation"]}, "map info: .*, got ''"),
]


def errors_of(pair_file: Path) -> list[str]:
    """What the doctor calls errors in a pair with at least one."""
    found = [finding.text for finding in examine(str(pair_file), None, {}, 15).findings if finding.level == "error"]
    assert found
    return found


@pytest.mark.parametrize(("lines", "message"), MALFORMED)
def test_a_malformed_envi_header_is_one_line_to_the_doctor_and_to_a_run(
    tmp_path: Path, lines: dict[str, object], message: str
) -> None:
    file = write_tiny_pair(tmp_path)
    write_envi(tmp_path / "source.hdr", np.load(tmp_path / "source_cube.npy"), **lines)
    file.write_text(file.read_text().replace("source_cube.npy", "source.hdr"))
    with pytest.raises(UserError, match=rf"source\.hdr: {message}; correct the header"):
        load_pair(str(file))
    assert [text for text in errors_of(file) if re.search(message, text)] == errors_of(file)


def test_a_single_wavelength_needs_no_braces(tmp_path: Path) -> None:
    write_envi(tmp_path / "a.hdr", CUBE[:, :, :1], **{"wavelength": "500", "wavelength units": "nm"})
    centres = read_wavelengths_nm(tmp_path / "a.hdr")
    assert centres is not None
    assert centres.tolist() == [500]


@pytest.mark.parametrize("content", [b"", b"\xff\x00garbage", b"ENVI\nsamples = {1"])
def test_what_is_no_envi_header_is_one_line_to_the_doctor(tmp_path: Path, content: bytes) -> None:
    file = write_tiny_pair(tmp_path)
    (tmp_path / "source.hdr").write_bytes(content)
    file.write_text(file.read_text().replace("source_cube.npy", "source.hdr"))
    assert all(re.search(r"damaged or no \.hdr file [^\n]*$", text) for text in errors_of(file))


@pytest.mark.parametrize(
    ("tail", "crs"),
    [
        (["14", "South", "WGS-84"], "EPSG:32714"),
        (["14", "North", "NAD-27"], ""),
        (["61", "North", "WGS-84"], ""),
        (["14", "North"], ""),
    ],
)
def test_an_envi_projection_that_is_not_known_is_noted(tmp_path: Path, tail: list[str], crs: str) -> None:
    file = write_tiny_pair(tmp_path)
    write_envi(tmp_path / "target.hdr", np.load(tmp_path / "target_cube.npy"), **{"map info": [*INFO[:7], *tail]})
    file.write_text(file.read_text().replace("target_cube.npy", "target.hdr"))
    pair = load_pair(str(file))
    assert pair.target_georeference is not None
    assert pair.target_georeference.crs == crs
    assert bool(crs) != any("target: its coordinates are in no system" in note for note in pair.notes)


@pytest.mark.parametrize("angle", [0, 30])
def test_coordinates_that_are_turned_are_left_out_and_noted(tmp_path: Path, angle: int) -> None:
    file = write_tiny_pair(tmp_path)
    write_envi(
        tmp_path / "target.hdr", np.load(tmp_path / "target_cube.npy"), **{"map info": [*INFO, f"rotation={angle}"]}
    )
    file.write_text(file.read_text().replace("target_cube.npy", "target.hdr"))
    pair = load_pair(str(file))
    assert (pair.target_georeference is None) == bool(angle)
    assert [note for note in pair.notes if "its coordinates are turned" in note] == [
        "target: its coordinates are turned (`rotation` in its map info), which is not read here, and its maps have none"
    ] * bool(angle)


def test_a_class_map_that_cannot_be_written_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, class_map = tmp_path / "map.tif", np.ones((2, 3), np.uint8)
    write_map(path, class_map, Georeference("EPSG:32614", PLACE), ("#112233",))
    before = path.read_bytes()
    np.testing.assert_array_equal(read_array(path, None), class_map)

    def full(self: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"map\.tif: the scene's coordinate system must be one .*, got 'nonsense'"):
        write_map(path, class_map, Georeference("nonsense", PLACE), ("#112233",))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(NotWritable, match=r"map\.tif: cannot be written: No space left on device"):
        write_map(path, class_map * 2, Georeference("EPSG:32614", PLACE), ("#112233",))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_geotiff(tmp_path / "a.tif", CUBE)

    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(geofiles.importlib, "import_module", refuse)
    with pytest.raises(
        UserError, match=r"\.tif files need the package rasterio; install it with `pip install agsgtl\[geo\]`"
    ):
        read_array(tmp_path / "a.tif", None)


def test_a_pair_keeps_its_targets_coordinates_cropped_through_unpacking(tmp_path: Path) -> None:
    file = write_tiny_pair(tmp_path / "scenes")
    cube = np.load(file.parent / "target_cube.npy")
    write_geotiff(file.parent / "target.tif", cube, PLACE, 32614)
    text = file.read_text().replace("cube: target_cube.npy", "cube: target.tif, rows: [2, 11], columns: [1, 11]")
    file.write_text(text + "test_pool: {minimum: 5}\n")
    pair = load_pair(str(file))
    np.testing.assert_array_equal(pair.target_cube, cube[2:, 1:])
    assert pair.target_georeference is not None
    assert pair.target_georeference.transform == (30.0, 0.0, 500030.0, 0.0, -30.0, 3299940.0)
    assert pair.source_georeference is None
    unpack_pair(pair, tmp_path / "results")
    assert map_pair(tmp_path / "results", "tiny").target_georeference == pair.target_georeference


def with_rasters(folder: Path, of_labels: tuple[float, ...], text: str = "") -> Path:
    """The tiny pair with its target as GeoTIFFs, the cube's at PLACE."""
    file = write_tiny_pair(folder)
    write_geotiff(folder / "target.tif", np.load(folder / "target_cube.npy"), PLACE, 32614)
    write_geotiff(folder / "labels.tif", np.load(folder / "target_labels.npy")[:, :, None], of_labels, 32614)
    side = f"cube: target.tif, labels: labels.tif{text}"
    file.write_text(file.read_text().replace("cube: target_cube.npy, labels: target_labels.npy", side))
    return file


SHIFTED = (30.0, 0.0, 500300.0, 0.0, -30.0, 3300000.0)
MISPLACED = [
    (SHIFTED, r"10 pixels apart \(upper left corners \(500300, 3300000\) and \(500000, 3300000\)\); cut"),
    ((30.0, 0.0, 500000.0, 0.0, -30.0, 3300015.0), "up to 0.5 pixels apart"),
    ((31.0, 0.0, 500000.0, 0.0, -30.0, 3300000.0), "up to 0.4 pixels apart"),  # 12 columns, each 1/30 too wide
    ((30.0, 0.0, 500000.0, 0.0, 30.0, 3300000.0 - 12 * 30), "up to 12 pixels apart"),  # upside down
]


@pytest.mark.parametrize(("of_labels", "message"), MISPLACED)
def test_labels_that_lie_beside_their_cube_are_an_error_to_the_doctor_and_to_a_run(
    tmp_path: Path, of_labels: tuple[float, ...], message: str
) -> None:
    file = with_rasters(tmp_path, of_labels)
    with pytest.raises(UserError, match=message):
        load_pair(str(file))
    assert len(errors_of(file)) == 1


@pytest.mark.parametrize(
    "of_labels", [PLACE, (30.0000001, 0.0, 500001.0, 0.0, -30.0, 3300000.0)], ids=["same", "rounded"]
)
def test_labels_that_lie_on_their_cube_are_read(tmp_path: Path, of_labels: tuple[float, ...]) -> None:
    assert load_pair(str(with_rasters(tmp_path, of_labels, ", rows: [0, 11]")))


@pytest.mark.parametrize(
    ("info", "fits"), [(["Arbitrary", "1", "1", "0", "0", "1", "1"], True), (["UTM", "2", *INFO[2:]], False)]
)
def test_an_envi_image_that_only_counts_its_pixels_lies_nowhere(tmp_path: Path, info: list[str], fits: bool) -> None:
    file = with_rasters(tmp_path, PLACE)
    write_envi(tmp_path / "labels.hdr", np.load(tmp_path / "target_labels.npy")[:, :, None], **{"map info": info})
    file.write_text(file.read_text().replace("labels.tif", "labels.hdr"))
    if fits:
        assert load_pair(str(file))
        return
    with pytest.raises(UserError, match="up to 1 pixels apart"):
        load_pair(str(file))


def test_a_second_label_image_of_one_cube_is_held_to_its_place_too(tmp_path: Path) -> None:
    file = with_rasters(tmp_path, PLACE, ", rows: [6, 11]")
    write_geotiff(tmp_path / "shifted.tif", read_array(tmp_path / "labels.tif", None)[:, :, None], SHIFTED, 32614)
    text = file.read_text().replace("cube: target.tif, labels: labels.tif", "cube: target.tif, labels: shifted.tif")
    source = "cube: source_cube.npy, labels: source_labels.npy"
    file.write_text(text.replace(source, "cube: target.tif, labels: labels.tif, rows: [0, 5]"))
    with pytest.raises(UserError, match=r"target: shifted\.tif must lie where target\.tif does"):
        load_pair(str(file))


def test_a_picture_in_colours_is_no_second_label_image_of_one_cube(tmp_path: Path) -> None:
    file = with_rasters(tmp_path, PLACE, ", rows: [6, 11]")
    write_geotiff(
        tmp_path / "rgb.tif", np.repeat(read_array(tmp_path / "labels.tif", None)[:, :, None], 3, 2), PLACE, 32614
    )
    text = file.read_text().replace("cube: target.tif, labels: labels.tif", "cube: target.tif, labels: rgb.tif")
    source = "cube: source_cube.npy, labels: source_labels.npy"
    file.write_text(text.replace(source, "cube: target.tif, labels: labels.tif, rows: [0, 5]"))
    with pytest.raises(
        UserError, match=r"target: a label image must be \(height, width\), but its shape is \(12, 12, 3\)"
    ):
        load_pair(str(file))


def test_a_cube_with_coordinates_is_never_turned(tmp_path: Path) -> None:
    file = with_rasters(tmp_path, PLACE, ", axes: [width, height, bands]")
    with pytest.raises(
        UserError, match=r"target: axes: target\.tif has coordinates, so its axes are .* leave `axes` out"
    ):
        load_pair(str(file))
    assert len(errors_of(file)) == 1
    file.write_text(file.read_text().replace("[width, height, bands]", "[height, width, bands]"))
    assert load_pair(str(file)).target_georeference is not None
