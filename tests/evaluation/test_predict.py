"""Tiles change no number: seams equal the untiled result exactly."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from authors_files import FAMILIES, spread_norms
from numpy.typing import NDArray

from agsgtl.data.georeference import Georeference
from agsgtl.data.normalisation import BandScaling
from agsgtl.errors import UserError
from agsgtl.evaluation.mapfiles import write_maps
from agsgtl.evaluation.predict import Prediction, Predictor, linear_predictor, network_predictor, predict_scene
from agsgtl.models.networks import build_discriminator, build_segmenter

BANDS, CLASSES = 21, 4


def predictor_of(family: str, with_discriminator: bool) -> Predictor:
    config = FAMILIES[family]
    segmenter, discriminator = build_segmenter(config, BANDS, CLASSES, 0), build_discriminator(config, CLASSES, 1)
    for network in (segmenter, discriminator):
        spread_norms(network)
    return network_predictor(
        config, BANDS, CLASSES, segmenter.state_dict(), discriminator.state_dict() if with_discriminator else {}
    )


def scene(height: int, width: int) -> tuple[NDArray[np.uint16], BandScaling]:
    cube = np.random.default_rng(0).integers(0, 4000, (height, width, BANDS), dtype=np.uint16)
    return cube, BandScaling(np.full(BANDS, 2000.0), np.full(BANDS, 1000.0))


def assert_equal(first: Prediction, second: Prediction) -> None:
    np.testing.assert_array_equal(first.class_map, second.class_map)
    np.testing.assert_array_equal(first.confidence, second.confidence)
    assert (first.attention is None) == (second.attention is None)
    if first.attention is not None:
        np.testing.assert_array_equal(first.attention, second.attention)


@pytest.mark.parametrize(
    ("family", "height", "width", "tile"),
    [("shallow", 75, 62, 20), ("shallow", 64, 33, 7), ("depthwise", 131, 150, 48)],
)
@pytest.mark.parametrize("with_discriminator", [True, False])
def test_seams_equal_the_untiled_result_exactly(
    family: str, height: int, width: int, tile: int, with_discriminator: bool
) -> None:
    predictor, (cube, scaling) = predictor_of(family, with_discriminator), scene(height, width)
    whole = predict_scene(predictor, cube, scaling, tile=None)
    assert_equal(predict_scene(predictor, cube, scaling, tile), whole)
    assert (whole.attention is not None) == with_discriminator
    assert len(np.unique(whole.class_map)) > 1


def test_less_around_the_tiles_would_show() -> None:
    predictor, (cube, scaling) = predictor_of("shallow", True), scene(64, 64)
    short = dataclasses.replace(predictor, segmenter=dataclasses.replace(predictor.segmenter, reach=0))
    with pytest.raises(AssertionError):
        assert_equal(predict_scene(short, cube, scaling, 16), predict_scene(predictor, cube, scaling, None))


def test_the_prediction_is_the_segmenters_and_the_gate_lies_between_one_and_two() -> None:
    config = FAMILIES["shallow"]
    segmenter = build_segmenter(config, BANDS, CLASSES, 0)
    spread_norms(segmenter)
    cube, scaling = scene(20, 24)
    prediction = predict_scene(network_predictor(config, BANDS, CLASSES, segmenter.state_dict(), {}), cube, scaling)
    with torch.no_grad():
        logits = segmenter.eval()(torch.from_numpy(scaling.apply(cube)))
    np.testing.assert_array_equal(prediction.class_map, logits[0].argmax(0).numpy() + 1)
    np.testing.assert_allclose(prediction.confidence, logits.softmax(1).amax(1)[0].numpy(), rtol=1e-5)
    gate = predict_scene(predictor_of("shallow", True), cube, scaling).attention
    assert gate is not None
    assert gate.min() > 1.0
    assert gate.max() < 2.0


def test_pixelwise_discriminants_need_nothing_around() -> None:
    weights = {
        "coefficients": torch.randn(3, BANDS, dtype=torch.float64),
        "intercepts": torch.zeros(3, dtype=torch.float64),
    }
    cube, scaling = scene(10, 9)
    prediction = predict_scene(linear_predictor(weights), cube, scaling, 4)
    expected = (scaling.apply(cube)[0].transpose(1, 2, 0).astype(float) @ weights["coefficients"].numpy().T).argmax(
        2
    ) + 1
    np.testing.assert_array_equal(prediction.class_map, expected)


def test_maps_are_pictures_arrays_and_a_raster_with_coordinates(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the extra `geo` is not installed")
    class_map = np.array([[1, 2, 1], [2, 2, 1]], np.uint8)
    prediction = Prediction(class_map, np.full((2, 3), 0.5, np.float32), None)
    place = Georeference("EPSG:32614", (30.0, 0.0, 500000.0, 0.0, -30.0, 3300000.0))
    written = write_maps(tmp_path, prediction, ("a", "b"), ("#ff0000", "#00ff00"), place)
    assert {path.name for path in written} == {
        "class_map.npy",
        "class_map.png",
        "class_map.tif",
        "confidence.npy",
        "confidence.png",
    }
    np.testing.assert_array_equal(np.load(tmp_path / "class_map.npy"), class_map)
    with rasterio.open(tmp_path / "class_map.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), class_map)
        assert tuple(raster.transform)[:6] == place.transform
        assert raster.crs.to_epsg() == 32614
        assert raster.colormap(1)[2] == (0, 255, 0, 255)


@pytest.mark.parametrize("is_installed", [True, False])
def test_a_raster_that_cannot_be_made_costs_no_other_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_installed: bool
) -> None:
    if is_installed:
        pytest.importorskip("rasterio", reason="the extra `geo` is not installed")
    else:
        monkeypatch.setitem(sys.modules, "rasterio", None)
    prediction = Prediction(np.ones((2, 3), np.uint8), np.full((2, 3), 0.5, np.float32), np.ones((2, 3), np.float32))
    place = Georeference("PROJCS[nonsense]", (30.0, 0.0, 500000.0, 0.0, -30.0, 3300000.0))
    message = "one that rasterio reads, got 'PROJCS" if is_installed else "need the package rasterio"
    with pytest.raises(UserError, match=rf"class_map\.tif.*{message}.*; the other maps are in {tmp_path}$"):
        write_maps(tmp_path, prediction, ("a",), ("#ff0000",), place)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{form}" for name in ("class_map", "confidence", "attention") for form in ("npy", "png")
    }


def test_a_scene_without_coordinates_gives_no_raster(tmp_path: Path) -> None:
    prediction = Prediction(np.ones((2, 3), np.uint8), np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))
    names = {path.name for path in write_maps(tmp_path, prediction, ("a",), ("#ff0000",), None)}
    assert names == {f"{name}.{form}" for name in ("class_map", "confidence", "attention") for form in ("npy", "png")}
