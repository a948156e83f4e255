from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from quick import quick_config, setup_of

import agsgtl.laststate
from agsgtl.config import configure, flatten
from agsgtl.data.pairing import DomainPair
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import TrialFolder
from agsgtl.reporting.record import Record
from agsgtl.seeds import Seeds
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.training.methods import METHODS
from agsgtl.trial import Place, run_trial, source_inputs


@pytest.mark.parametrize("method", METHODS)
def test_every_method_ends_complete(tiny_pair: DomainPair, tmp_path: Path, method: str) -> None:
    folder = TrialFolder(tmp_path)
    record = run_trial(quick_config(), tiny_pair, setup_of(tiny_pair, method), Place(folder, tmp_path / "pretrained"))
    assert (record.status, record.message) == ("complete", None)
    assert folder.record() == record
    assert folder.class_map().shape == (1, *tiny_pair.development_labels.shape)
    assert set(np.unique(folder.class_map())) <= {1, 2, 3}
    assert record.score == record.outcomes[0].validation["macro_f1"]


def test_a_gpu_would_compute_float32_as_such_and_by_the_same_kernels(tiny_pair: DomainPair) -> None:
    torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = "tf32", "tf32"
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    run_trial(quick_config(), tiny_pair, setup_of(tiny_pair, "lda"))
    assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (True, False)


def test_it_works_with_nothing_but_config_and_pair(tiny_pair: DomainPair) -> None:
    assert run_trial(quick_config(), tiny_pair).status == "complete"


def test_the_score_is_the_mean_over_the_seeds(tiny_pair: DomainPair) -> None:
    alone = [
        run_trial(quick_config(), tiny_pair, setup_of(tiny_pair, seeds=(Seeds(labels=s, init=s),))) for s in (0, 1)
    ]
    both = run_trial(
        quick_config(), tiny_pair, setup_of(tiny_pair, seeds=(Seeds(labels=0, init=0), Seeds(labels=1, init=1)))
    )
    assert both.score == pytest.approx((alone[0].score + alone[1].score) / 2)
    assert both.outcomes == (alone[0].outcomes[0], alone[1].outcomes[0])


def test_the_same_trial_gives_the_same_outcome(tiny_pair: DomainPair) -> None:
    one, two = (run_trial(quick_config(loss__entropy=0.1), tiny_pair) for _ in range(2))
    assert one.outcome() == two.outcome()


def test_reports_are_one_an_epoch_and_best_score_never_falls(tiny_pair: DomainPair, tmp_path: Path) -> None:
    reports: list[dict] = []
    folder = TrialFolder(tmp_path)
    run_trial(quick_config(adapt__epochs=6), tiny_pair, setup_of(tiny_pair), Place(folder, on_report=reports.append))
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4, 5, 6]
    assert folder.progress() == json.loads(json.dumps(reports))
    best = [report["best_score"] for report in reports]
    assert best == sorted(best)
    assert set(reports[0]["losses"]) == {"discriminator", "target"}


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("keep", ["last", "best_validation", "lowest_target_ce"])
@pytest.mark.parametrize("method", ["agsgtl", "fine_tune"])
def test_going_on_from_a_checkpoint_gives_the_same_bits(
    tiny_pair: DomainPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, method: str
) -> None:
    config = quick_config(adapt__epochs=6, adapt__keep=keep, loss__unlabelled_adversarial=0.1, attention__target=True)
    setup = setup_of(tiny_pair, method, seeds=(Seeds(labels=0, init=0), Seeds(labels=1, init=1)))
    straight, stopped = TrialFolder(tmp_path / "straight"), TrialFolder(tmp_path / "stopped")
    record = run_trial(config, tiny_pair, setup, Place(straight))
    monkeypatch.setattr(agsgtl.laststate, "CHECKPOINT_EVERY_S", 0.0)

    def kill_in_epoch_four(report: dict) -> None:
        if report["epoch"] == 4:
            raise Stopped

    with pytest.raises(Stopped):
        run_trial(config, tiny_pair, setup, Place(stopped, on_report=kill_in_epoch_four, raises=True))
    epochs: list[int] = []
    resumed = run_trial(
        config, tiny_pair, setup, Place(stopped, on_report=lambda report: epochs.append(report["epoch"]))
    )
    assert epochs == [4, 5, 6]
    assert resumed.outcome() == record.outcome()
    assert (resumed.cost.attempt, record.cost.attempt) == (2, 1)
    np.testing.assert_array_equal(stopped.class_map(), straight.class_map())
    for name in ("last", "best"):
        files = [(folder.checkpoint / f"{name}.safetensors").read_bytes() for folder in (stopped, straight)]
        assert files[0] == files[1]


def test_a_checkpoint_of_another_trial_is_refused(tiny_pair: DomainPair, tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder))
    (tmp_path / "record.json").unlink()
    record = run_trial(quick_config(loss__entropy=0.5), tiny_pair, setup_of(tiny_pair), Place(folder))
    assert record.reason == "bad_input"
    assert "is the checkpoint of another trial" in record.message


@pytest.mark.parametrize("rule", ["target_validation", "target_probability"])
def test_a_rule_that_reads_target_labels_needs_some(tiny_pair: DomainPair, rule: str) -> None:
    record = run_trial(quick_config(labels__validation_per_class=0), tiny_pair, setup_of(tiny_pair, select=rule))
    assert (record.reason, record.message) == (
        "bad_input",
        f"select {rule} needs labels.validation_per_class of at least 1, got 0",
    )


def test_a_score_below_the_cutoff_prunes_at_that_epoch(tiny_pair: DomainPair, tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    record = run_trial(quick_config(), tiny_pair, setup_of(tiny_pair, cutoffs={2: 1.1}), Place(folder))
    assert (record.status, record.outcomes[0].epochs) == ("pruned", 2)
    assert not (tmp_path / "class_map.npy").exists()


def test_a_trial_that_stops_early_at_a_rung_is_complete_however_it_scored(tiny_pair: DomainPair) -> None:
    early = quick_config(
        adapt__early_stop="losses",
        adapt__early_stop_patience=2,
        adapt__early_stop_discriminator_loss=100.0,
        adapt__early_stop_target_loss=100.0,
    )
    record = run_trial(early, tiny_pair, setup_of(tiny_pair, cutoffs={2: 1.1}), Place())
    assert (record.status, record.outcomes[0].epochs) == ("complete", 2)


def test_a_score_at_the_cutoff_goes_on(tiny_pair: DomainPair) -> None:
    scores: list[float] = []
    run_trial(
        quick_config(), tiny_pair, setup_of(tiny_pair), Place(on_report=lambda report: scores.append(report["score"]))
    )
    assert run_trial(quick_config(), tiny_pair, setup_of(tiny_pair, cutoffs={2: scores[1]})).status == "complete"


def test_logits_that_are_not_finite_are_no_class(tiny_pair: DomainPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last step of an epoch the weights may be NaN while every loss of it was finite."""
    logits = AdversarialTraining.target_logits

    def broken(self: AdversarialTraining) -> torch.Tensor:
        return logits(self) * math.nan

    monkeypatch.setattr(AdversarialTraining, "target_logits", broken)
    record = run_trial(quick_config(), tiny_pair, setup_of(tiny_pair))
    assert (record.status, record.reason) == ("failed", "diverged")
    assert "epoch 1: the logits that are judged are not finite" in record.message


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_epoch(self: AdversarialTraining, epoch: int) -> dict[str, float]:
        raise error

    monkeypatch.setattr(AdversarialTraining, "train_epoch", train_epoch)


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (RuntimeError("a bug of ours"), "error", "Traceback"),
        (MemoryError(), "out_of_memory", "MemoryError"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory", "allocate"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory", "CUDA"),
        (
            torch.AcceleratorError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"),
            "out_of_memory",
            "CUDA",
        ),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), "error", "illegal"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "out_of_memory",
            "CU",
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out_of_memory", "cuDNN"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), "out_of_memory", "cuDNN"),
        (KeyboardInterrupt(), "interrupted", ""),
    ],
)
def test_every_failure_is_a_record_with_its_reason(
    tiny_pair: DomainPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, reason: str, text: str
) -> None:
    fail_with(error, monkeypatch)
    folder = TrialFolder(tmp_path)
    record = run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder))
    assert (record.status, record.reason) == ("failed", reason)
    assert text in record.message
    assert folder.has_record() is (reason != "interrupted")  # an interrupted trial is not over


def test_a_failure_with_a_retry_left_is_noted_and_the_trial_stays_open(
    tiny_pair: DomainPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(MemoryError(), monkeypatch)
    folder = TrialFolder(tmp_path)
    place = Place(folder, retries={"out_of_memory": 1})
    run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), place)
    assert not folder.has_record()
    assert [failure["reason"] for failure in folder.failures()] == ["out_of_memory"]
    run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), place)
    assert folder.record().reason == "out_of_memory"


def test_a_trial_that_takes_too_long_times_out(tiny_pair: DomainPair, tmp_path: Path) -> None:
    record = run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(TrialFolder(tmp_path), timeout_s=1e-9))
    assert (record.status, record.reason) == ("failed", "timeout")
    assert "epoch 1 of 4 ended after the 1e-09 s that a trial may take" in record.message


def test_a_trial_that_is_over_when_its_time_is_up_is_complete(tiny_pair: DomainPair) -> None:
    config = quick_config(adapt__epochs=1)
    assert run_trial(config, tiny_pair, setup_of(tiny_pair), Place(timeout_s=1e-9)).status == "complete"


def test_a_trial_that_is_told_to_stop_saves_and_goes_on_later(tiny_pair: DomainPair, tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    stopped = run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder, should_stop=lambda: True))
    assert (stopped.reason, folder.has_record(), len(folder.progress())) == ("interrupted", False, 1)
    resumed = run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder))
    assert resumed.outcome() == run_trial(quick_config(), tiny_pair, setup_of(tiny_pair)).outcome()


def test_what_nobody_will_report_again_is_on_disk_first(
    tiny_pair: DomainPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    fsync, link, replace = os.fsync, os.link, os.replace

    def note_fsync(descriptor: int) -> None:
        file = Path(f"/proc/self/fd/{descriptor}").readlink()
        if file.name == "progress.jsonl":
            happened.append(f"{len(file.read_text().splitlines())} reports synced")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", lambda old, new: (happened.append(new.name), replace(old, new)))
    monkeypatch.setattr(os, "link", lambda old, new: (happened.append(new.name), link(old, new)))
    folder = TrialFolder(tmp_path)
    run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder, should_stop=lambda: True))
    assert happened[:2] == ["1 reports synced", "last.safetensors"]
    run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder))
    assert happened[happened.index("record.json") - 1] == "4 reports synced"


def test_a_damaged_checkpoint_is_set_aside_and_the_trial_starts_anew(tiny_pair: DomainPair, tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder, should_stop=lambda: True))
    last = folder.checkpoint / "last.safetensors"
    last.write_bytes(last.read_bytes()[:100])
    assert run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder)).status == "complete"
    assert (folder.checkpoint / "last.safetensors.damaged").exists()


def test_a_worker_that_outlives_its_driver_writes_nothing(tiny_pair: DomainPair, tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)

    def successor_starts(report: dict) -> None:
        if report["epoch"] == 2:
            folder.start_attempt()

    zombie = run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder, on_report=successor_starts))
    assert zombie.reason == "interrupted"
    assert not folder.has_record()
    assert not folder.checkpoint.exists()
    assert len(folder.progress()) == 2


def test_what_fails_in_a_worker_that_was_taken_over_is_no_failure_of_the_trial(
    tiny_pair: DomainPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = TrialFolder(tmp_path)

    def fail(*arguments: object) -> None:
        folder.start_attempt()
        raise RuntimeError("of the old attempt")

    monkeypatch.setattr("agsgtl.trial._train", fail)
    run_trial(quick_config(), tiny_pair, setup_of(tiny_pair), Place(folder, retries={"error": 1}))
    assert (folder.failures(), folder.has_record()) == ([], False)


def test_a_diverging_trial_says_so(tiny_pair: DomainPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdversarialTraining, "train_epoch", lambda self, epoch: {"target": math.nan})
    record = run_trial(quick_config(), tiny_pair)
    assert (record.reason, record.score) == ("diverged", None)
    assert "epoch 1: a loss is not finite" in record.message


def test_too_few_pixels_is_bad_input_that_names_the_class(tiny_pair: DomainPair) -> None:
    record = run_trial(quick_config(labels__per_class=500), tiny_pair)
    assert record.reason == "bad_input"
    assert "class 'class 1'" in record.message


def test_a_missing_gpu_is_no_silent_cpu(tiny_pair: DomainPair) -> None:
    if torch.cuda.is_available():
        return
    record = run_trial(quick_config(runtime__device="cuda"), tiny_pair)
    assert (record.reason, "PyTorch sees no GPU" in record.message) == ("bad_input", True)


def test_a_network_that_looks_farther_than_the_test_pools_blocks_keep_is_refused(tiny_pair: DomainPair) -> None:
    config = configure({"model.family": "depthwise", "model.width": 21, "model.discriminator_width": 21}, origin="test")
    pair = dataclasses.replace(tiny_pair, buffer_family="shallow")
    with pytest.raises(UserError, match=r"more than 138 pixels .* depthwise, but `split: blocks` kept 21, for shallow"):
        source_inputs(config, pair, Seeds(labels=0, init=0))
    for kept, settings in (("shallow", quick_config()), ("depthwise", quick_config()), ("depthwise", config)):
        source_inputs(settings, dataclasses.replace(tiny_pair, buffer_family=kept), Seeds(labels=0, init=0))


def test_the_record_holds_every_hyperparameter(tiny_pair: DomainPair) -> None:
    config = quick_config(loss__entropy=0.25)
    record = run_trial(config, tiny_pair)
    assert record.config == flatten(config)
    assert configure(record.config, origin="record") == config
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_a_trial_imports_neither_ray_nor_optuna() -> None:
    code = "import sys, agsgtl.trial, agsgtl.cli; assert not {'ray', 'optuna'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
