from __future__ import annotations

import errno
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from fake_scenes import write_envi, write_geotiff, write_mat73
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agsgtl.data import readers
from agsgtl.data.axes import arrange
from agsgtl.data.readers import as_label_image, read_array
from agsgtl.errors import UserError

CUBE = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)


def write(path: Path, **arrays: Any) -> Path:
    if path.name.endswith("7.3.mat"):
        write_mat73(path, arrays)
    elif path.suffix == ".tif":
        write_geotiff(path, next(iter(arrays.values())))
    elif path.suffix == ".hdr":
        write_envi(path, next(iter(arrays.values())))
    elif path.suffix == ".mat":
        scipy.io.savemat(path, arrays)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        np.save(path, next(iter(arrays.values())))
    return path


@pytest.mark.parametrize(
    ("file", "name"), [("a.mat", "HSI"), ("a7.3.mat", "HSI"), ("a.npz", "HSI"), ("a.npy", None), ("a.MAT", "HSI")]
)
def test_every_format_keeps_axes_dtype_and_values(tmp_path: Path, file: str, name: str | None) -> None:
    if file == "a.MAT":
        write(tmp_path / "b.mat", HSI=CUBE).rename(tmp_path / file)
    else:
        write(tmp_path / file, HSI=CUBE)
    array = read_array(tmp_path / file, name)
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, CUBE)


def test_a_npy_is_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    array = read_array(write(tmp_path / "a.npy", x=CUBE), None)
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0] = 1


@pytest.mark.parametrize("suffix", [".mat", ".npz"])
def test_an_only_array_needs_no_name(tmp_path: Path, suffix: str) -> None:
    np.testing.assert_array_equal(read_array(write(tmp_path / f"a{suffix}", HSI=CUBE), None), CUBE)


@pytest.mark.parametrize("suffix", [".mat", ".npz"])
@pytest.mark.parametrize(
    ("name", "message"),
    [("HSi", "no array 'HSi' but HSI, gt; did you mean 'HSI'?"), (None, "holds HSI, gt; say which array is meant")],
)
def test_a_wrong_or_missing_name_lists_what_is_there(
    tmp_path: Path, suffix: str, name: str | None, message: str
) -> None:
    path = write(tmp_path / f"a{suffix}", HSI=CUBE, gt=CUBE[:, :, 0])
    with pytest.raises(UserError, match=message):
        read_array(path, name)


def test_a_npy_has_no_array_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one array without a name, but 'HSI' is asked for; leave the name out"):
        read_array(write(tmp_path / "a.npy", x=CUBE), "HSI")


def test_files_that_are_not_there_or_of_other_formats(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.mat: there is no such file"):
        read_array(tmp_path / "gone.mat", "HSI")
    with pytest.raises(
        UserError, match=r"a\.zip: \.mat, \.npy, \.npz, .* files are read; save the array as one of these"
    ):
        read_array(tmp_path / "a.zip", None)
    with pytest.raises(UserError, match=r"of an ENVI image, name the header \(\.hdr\)"):
        read_array(tmp_path / "a.img", None)


@pytest.mark.parametrize("content", [b"MATLAB 7.3 MAT-file, Platform" + bytes(1000), b" " * 512 + b"\x89HDF\r\n\x1a\n"])
def test_a_damaged_version_73_mat_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(UserError, match=r"damaged or no \.mat file"):
        read_array(tmp_path / "a.mat", "HSI")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_objects_are_never_loaded(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="pickled objects, which are never loaded"):
        read_array(path, None)


def test_a_pickle_called_npy_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(UserError, match=r"damaged or no \.npy file"):
        read_array(tmp_path / "a.npy", None)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("text", "text"),
        ({"a": 1}, "a struct"),
        (np.array([{}, 1], dtype=object), "a cell"),
        (scipy.sparse.eye(3).tocsc(), "a sparse"),
        (np.array([1j]), "complex numbers"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(tmp_path: Path, content: Any, kind: str) -> None:
    path = write(tmp_path / "a.mat", thing=content)
    with pytest.raises(UserError, match=f"'thing' must be a plain array of real numbers, but holds {kind}"):
        read_array(path, "thing")


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".npy"])
def test_a_truncated_file_is_one_line(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", HSI=np.random.default_rng(0).random((12, 12, 8)))
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(UserError, match=r"is damaged or no|holds nothing") as error:
        read_array(path, None)
    assert "\n" not in str(error.value)


def failing_with(error: BaseException) -> Callable[[Path, str | None], np.ndarray]:
    def read(path: Path, name: str | None) -> np.ndarray:
        raise error

    return read


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ESTALE])
def test_a_failing_disk_is_no_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = write(tmp_path / "a.npy", x=CUBE)
    monkeypatch.setitem(readers._READERS, ".npy", failing_with(OSError(number, os.strerror(number))))
    with pytest.raises(OSError, match=f"{path}: cannot be read: {os.strerror(number)}") as error:
        read_array(path, None)
    assert error.value.errno == number


def test_too_little_memory_is_no_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(readers._READERS, ".npy", failing_with(MemoryError()))
    with pytest.raises(MemoryError):
        read_array(write(tmp_path / "a.npy", x=CUBE), None)


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied"), FileNotFoundError(2, "gone")])
def test_a_file_that_may_not_be_read_or_just_went_is_the_users_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    monkeypatch.setitem(readers._READERS, ".npy", failing_with(error))
    with pytest.raises(UserError, match=rf"a\.npy: cannot be read: {error.strerror}"):
        read_array(write(tmp_path / "a.npy", x=CUBE), None)


def test_an_archive_that_announces_more_than_it_holds_asks_for_no_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("HSI.npy", header.getvalue() + bytes(80))
    with pytest.raises(UserError, match=r"damaged or no \.npz file \(its array .* is larger than it has bytes\)"):
        read_array(tmp_path / "a.npz", None)


def link(file: h5py.File, other: Path) -> None:
    with h5py.File(other, "w") as written:
        written["secret"] = np.arange(5)
    file["x"] = h5py.ExternalLink(str(other), "secret")


def link_by_a_detour(file: h5py.File, other: Path) -> None:
    link(file, other)
    file.move("x", "#way")
    file["x"] = h5py.SoftLink("/#way")


def store_outside(file: h5py.File, other: Path) -> None:
    other.write_bytes(b"secret")
    file.create_dataset("x", shape=(6,), dtype="u1", external=[(str(other), 0, 6)])


def store_virtually(file: h5py.File, other: Path) -> None:
    with h5py.File(other, "w") as written:
        written["secret"] = np.arange(5)
    layout = h5py.VirtualLayout((5,), "i8")
    layout[:] = h5py.VirtualSource(str(other), "secret", (5,))
    file.create_virtual_dataset("x", layout)


@pytest.mark.parametrize("lead_out", [link, link_by_a_detour, store_outside, store_virtually])
def test_a_version_73_mat_gives_no_other_files_content(
    tmp_path: Path, lead_out: Callable[[h5py.File, Path], None]
) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        lead_out(file, tmp_path / "other")
        file["own"] = CUBE
    with pytest.raises(UserError, match=r"'x' must be a plain array of real numbers, but holds what lies elsewhere"):
        read_array(tmp_path / "a.mat", "x")
    np.testing.assert_array_equal(read_array(tmp_path / "a.mat", "own"), CUBE)


@pytest.mark.parametrize("sizes", [(0, 3, 2), (10**6, 10**6, 10)])
def test_an_array_that_is_called_empty_asks_for_no_memory(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        stored = file.create_dataset("x", data=np.array(sizes, np.uint64))
        stored.attrs["MATLAB_class"], stored.attrs["MATLAB_empty"] = np.bytes_("double"), np.uint8(1)
    if 0 in sizes:
        assert read_array(tmp_path / "a.mat", "x").size == 0
        return
    with pytest.raises(UserError, match=r"damaged or no \.mat file \(it says that its array \(1000000, .* is empty\)"):
        read_array(tmp_path / "a.mat", "x")


GEO = {".tif": "rasterio", ".hdr": "spectral"}


@pytest.mark.parametrize("suffix", [".mat", "7.3.mat", ".npz", ".npy", ".tif", ".hdr"])
@settings(max_examples=84, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_give_the_right_axes_or_a_clear_error(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    """500 files over the six formats: never a crash, never a cube that is silently turned against its labels."""
    if suffix in GEO:
        pytest.importorskip(GEO[suffix], reason="the extra `geo` is not installed")
    good = tmp_path / f"good{suffix}"
    content = bytearray((good if good.exists() else write(good, HSI=CUBE)).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    bad = tmp_path / f"bad{suffix}"
    bad.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    if suffix == ".hdr":
        (tmp_path / "bad.img").write_bytes((tmp_path / "good.img").read_bytes())
    try:
        array = arrange(read_array(bad, None), np.ones((2, 3), np.uint8), None, "bad")
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert array.dtype.kind in "biuf"
        if array.ndim == 3 and sorted(array.shape) == [2, 3, 4]:
            assert array.shape == (2, 3, 4)


def test_class_ids_stored_as_doubles_become_integers() -> None:
    image = as_label_image(np.array([[0.0, 300.0]]), "gt.mat")
    assert image.dtype.kind == "i"
    assert image.tolist() == [[0, 300]]


@pytest.mark.parametrize("value", [1.5, np.nan])
def test_class_ids_must_be_whole(value: float) -> None:
    with pytest.raises(UserError, match=f"gt.mat: class ids must be whole numbers, but {value:g} is among them"):
        as_label_image(np.array([[0.0, value]]), "gt.mat")
