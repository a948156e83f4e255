"""Arrays on disk: the space is taken before it is mapped."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from agsgtl.data.scratch import scratch_array
from agsgtl.durable import NotWritable

MIB = 2**20


def failing(number: int, sizes: list[int]) -> object:
    def posix_fallocate(descriptor: int, first: int, size: int) -> None:
        sizes.append(size)
        raise OSError(number, os.strerror(number))

    return posix_fallocate


def test_a_full_temporary_folder_is_one_line_and_not_the_end_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC, sizes), raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(NotWritable, match=r"needs 6\.0 MiB there, but: No space left on device; .* TMPDIR") as error:
        scratch_array((3, MIB), np.dtype(np.uint16))
    assert str(error.value).startswith(f"{tmp_path}: ")
    assert sizes == [6 * MIB]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_reserves_nothing_is_used_all_the_same(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing(number, []), raising=False)
    assert scratch_array((2, 3), np.dtype(np.uint8)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_a_platform_that_reserves_nothing_is_used_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    assert scratch_array((2,), np.dtype(np.uint8)).tolist() == [0, 0]
