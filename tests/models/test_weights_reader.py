"""The authors' files give tensors, and a malicious one gives nothing but an error."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from authors_files import FAMILIES, authors_lists, write_pickle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agsgtl.errors import UserError
from agsgtl.models.authors_weights import from_authors, read_sizes
from agsgtl.models.networks import build_discriminator, build_segmenter
from agsgtl.models.weights_reader import read_state_dicts

DICTS = [OrderedDict(a=torch.arange(6.0).reshape(2, 3).T, b=torch.tensor(7)) for _ in range(3)]


class Runs:
    """Unpickled as any pickle is, it runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


class Hidden:
    """A call that PyTorch's pickles make, with a second pickle inside."""

    def __init__(self, inner: object) -> None:
        file = io.BytesIO()
        torch.save(inner, file)
        self.content = file.getvalue()

    def __reduce__(self) -> Any:
        return torch.storage._load_from_bytes, (self.content,)


@pytest.mark.parametrize("form", ["pickle 2", "pickle 4", "pickle 5", "torch", "torch old"])
def test_every_form_gives_the_same_tensors(tmp_path: Path, form: str) -> None:
    path = tmp_path / "weights.pkl"
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(DICTS, int(form[-1])))
    else:
        torch.save(DICTS, path, _use_new_zipfile_serialization=form == "torch")
    read = read_state_dicts(path)
    assert len(read) == 3
    for theirs, ours in zip(DICTS, read, strict=True):
        assert all(torch.equal(theirs[name], ours[name]) and theirs[name].dtype == ours[name].dtype for name in theirs)


@pytest.mark.parametrize("form", ["pickle", "torch", "torch old", "hidden"])
def test_a_malicious_file_is_refused_and_runs_nothing(tmp_path: Path, form: str) -> None:
    path, mark = tmp_path / "weights.pkl", tmp_path / "mark"
    content: list[Any] = [{"a": torch.zeros(2), "b": Runs(mark)}]
    if form == "hidden":
        content = [{"a": Hidden(Runs(mark))}]
    if form.startswith("torch"):
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=r"asks for (posix|os)\.system") as error:
        read_state_dicts(path)
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)
    assert not mark.exists()


class Beyond:
    """A tensor that says it is longer than its storage: uninitialised memory, if it were believed."""

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, (torch.zeros(2).storage(), 1, (2,), (1,), False, OrderedDict())


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a tensor must lie in its storage"):
        read_state_dicts(write_pickle(tmp_path / "a.pkl", [{"a": Beyond()}]))


@pytest.mark.parametrize("form", ["pickle", "torch", "torch old"])
def test_a_tensor_of_one_number_that_says_it_is_a_million_million_is_refused(tmp_path: Path, form: str) -> None:
    content = [{"a": torch.zeros(1).as_strided((10**12,), (0,))}]
    if form.startswith("torch"):
        torch.save(content, tmp_path / "a.pkl", _use_new_zipfile_serialization=form == "torch")
    else:
        write_pickle(tmp_path / "a.pkl", content)
    with pytest.raises(
        UserError, match=r"a\.pkl: a: its shape \(1000000000000,\) takes 4000000000000 bytes, .* holds 4 of"
    ):
        read_state_dicts(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.zeros(3, device="meta"), "torch.strided on meta"),
        (torch.zeros(3, 3).to_sparse(), "torch.sparse_coo on cpu"),
    ],
    ids=["meta", "sparse"],
)
def test_a_tensor_without_its_numbers_in_the_file_is_refused(tmp_path: Path, tensor: torch.Tensor, kind: str) -> None:
    torch.save([{"a": tensor}], tmp_path / "a.pkl")
    with pytest.raises(UserError, match=rf"a: must be a plain tensor with its numbers in the file, but is {kind}"):
        read_state_dicts(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [([1, 2], "a list of int"), ("text", "holds str"), ([], "holds list"), (DICTS[0]["a"], "holds Tensor")],
)
def test_what_holds_no_weights_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(UserError, match=f"must hold a list of state dicts .* but .*{message}"):
        read_state_dicts(write_pickle(tmp_path / "a.pkl", content))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_give_weights_or_a_clear_error(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(pickle.dumps(DICTS))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "bad.pkl").write_bytes(content)
    try:
        read_state_dicts(tmp_path / "bad.pkl")
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("family", ["shallow", "depthwise"])
def test_names_and_shapes_tell_the_networks_which_load_them_strictly(family: str) -> None:
    config = FAMILIES[family]
    (segmenter,), (discriminator,) = authors_lists(config, 42, 5, runs=1)
    sizes = read_sizes(segmenter, "file"), read_sizes(discriminator, "file")
    width, judge = config.model.width, config.model.discriminator_width
    assert [(s.network, s.family, s.inputs, s.width, s.outputs) for s in sizes] == [
        ("segmenter", family, 42, width, 5),
        ("discriminator", family, width, judge, 6),
    ]
    build_segmenter(config, 42, 5, seed=9).load_state_dict(from_authors(segmenter))
    build_discriminator(config, 5, seed=9).load_state_dict(from_authors(discriminator))


def test_other_weights_are_refused_by_their_names() -> None:
    with pytest.raises(UserError, match=r"under the authors' names .* but has conv\.weight"):
        read_sizes({"conv.weight": torch.zeros(1)}, "file")


@pytest.mark.parametrize("network", [0, 1], ids=["segmenter", "discriminator"])
def test_a_classifier_that_is_no_kernel_is_refused(network: int) -> None:
    weights = authors_lists(FAMILIES["shallow"], 42, 5, runs=1)[network][0]
    kernel = ("final_layer.weight", "_conv.weight")[network]
    with pytest.raises(UserError, match=rf"file: {kernel} must be a kernel .*, but its shape is \(\)"):
        read_sizes({**weights, kernel: torch.tensor(1.0)}, "file")
