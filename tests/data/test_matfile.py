from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agsgtl.data.matfile import mat_variables

DTYPES = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=hnp.arrays(DTYPES, hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=5)),
    compressed=st.booleans(),
    name=st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,30}", fullmatch=True),
)
def test_what_scipy_writes_is_read_back(tmp_path: Path, array: np.ndarray, compressed: bool, name: str) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"first": np.eye(2), name: array, "z_last": "text"}, do_compression=compressed)
    variable = mat_variables(tmp_path / "a.mat")[name]
    assert (variable.name, variable.holds) == (name, "numbers")
    read = variable.read()
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read, array)


def test_columns_are_first_in_the_file(tmp_path: Path) -> None:
    cube = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    scipy.io.savemat(tmp_path / "a.mat", {"cube": cube})
    content = (tmp_path / "a.mat").read_bytes()
    assert cube.tobytes(order="F") in content
    assert mat_variables(tmp_path / "a.mat")["cube"].read()[1, 2, 3] == 23


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    matrix, flags, shape, name = [14, 72], [6, 8, 6, 0], [5, 8, 1, 2], [1, 1]
    head = np.array(matrix + flags + shape + name, ">u4").tobytes() + b"x".ljust(8, b"\0")
    numbers = np.array([9, 16], ">u4").tobytes() + np.array([1.5, -2.0], ">f8").tobytes()
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + head + numbers)
    assert mat_variables(tmp_path / "a.mat")["x"].read().tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize("compressed", [True, False])
def test_every_cut_is_noticed(tmp_path: Path, compressed: bool) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.arange(12.0).reshape(3, 4)}, do_compression=compressed)
    content = (tmp_path / "a.mat").read_bytes()
    for length in range(129, len(content), 7):
        (tmp_path / "cut.mat").write_bytes(content[:length])
        with pytest.raises(Exception, match=r"ends in the middle|requires a buffer|unpack"):
            mat_variables(tmp_path / "cut.mat")["x"].read()


def test_a_wrong_number_of_values_is_noticed(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.arange(6, dtype=np.int32).reshape(2, 3)})
    content = (tmp_path / "a.mat").read_bytes()
    old, new = (np.array(shape, "<i4").tobytes() for shape in ([2, 3], [2, 4]))
    (tmp_path / "a.mat").write_bytes(content.replace(old, new, 1))
    with pytest.raises(ValueError, match=r"x has 6 numbers for the shape \(2, 4\)"):
        mat_variables(tmp_path / "a.mat")["x"].read()
