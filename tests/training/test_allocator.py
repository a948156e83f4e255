from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from agsgtl.training import allocator

PROGRAM = """
import resource
import torch
from agsgtl.training.allocator import keep_freed_memory

if {is_kept}:
    assert keep_freed_memory()
torch.set_num_threads(1)
for _ in range(3):
    torch.ones(4_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(16_000_000).add(1)  # past the 32 MiB above which glibc maps every array anew
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to tell another C library")
def test_freed_memory_is_used_again_instead_of_paged_in_anew() -> None:
    def page_faults(is_kept: bool) -> int:
        command = [sys.executable, "-c", PROGRAM.format(is_kept=is_kept)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert page_faults(True) < page_faults(False) / 3


def test_an_older_c_library_is_asked_for_what_it_takes_and_for_the_rest_all_the_same() -> None:
    taken = {}

    def mallopt(name: int, value: int) -> int:
        if name == allocator._MMAP_THRESHOLD and value > 32 * 2**20:
            return 0
        taken[name] = value
        return 1

    assert allocator._keeps(mallopt)
    assert taken == {allocator._MMAP_THRESHOLD: 32 * 2**20, allocator._TRIM_THRESHOLD: 2**31 - 1}


def test_a_refusal_of_large_arrays_leaves_the_other_setting() -> None:
    taken = []
    assert not allocator._keeps(lambda name, value: name == allocator._TRIM_THRESHOLD and not taken.append(name))
    assert taken == [allocator._TRIM_THRESHOLD]
