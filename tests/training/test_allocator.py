from __future__ import annotations

import platform
import subprocess
import sys

import pytest

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
