from __future__ import annotations

from multiprocessing import Pipe

import pytest
import torch

from benchmarks.epoch import AS_IT_COMES, TRAINERS, serve


@pytest.mark.parametrize("trainer", TRAINERS)
def test_each_trainer_is_timed_in_the_arithmetic_that_users_get(trainer: str) -> None:
    torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = "tf32", "tf32"
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    orders, theirs = Pipe()
    orders.send(None)
    serve(trainer, (50, 50, 3), "cpu", 1, theirs)
    is_users = trainer != AS_IT_COMES
    precisions = {torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision}
    assert precisions == {"ieee" if is_users else "tf32"}
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (is_users, not is_users)
