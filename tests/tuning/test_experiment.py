from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agsgtl.config import Config
from agsgtl.data.pairing import load_pair
from agsgtl.errors import UserError
from agsgtl.tuning.experiment import load_experiment
from experiments import SPACE, write_experiment

SHIPPED = Path(__file__).parents[2] / "experiments"
SAMPLED_K = {"labels.per_class": {"type": "int", "low": 1, "high": 4}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a/b"}, "name must be letters"),
        ({"name": "trials"}, "name 'trials' is that of a folder inside of results"),
        ({"name": "runs"}, "name 'runs' is that of a folder inside of results"),
        ({"confirm__methods": []}, "confirm.methods must name at least one method"),
        ({"confirm__seeds": [1, 41]}, "confirm.seeds must be seeds that no search saw, but [1] are in search.seeds"),
        ({"search__finalists": 2, "confirm__seeds": [3]}, "must be seeds that no search saw, but [3]"),
        ({"pairs": ["indian_pines/west"]}, "'indian_pines/west' is no pair of the catalog"),
        ({"trial": {"loss.foo": 1.0}}, "'loss.foo' is no hyperparameter"),
        ({"trial": {"adapt.epochs": "ten"}}, "adapt.epochs: input should be a valid integer, got 'ten'"),
        ({"search__trials": "many"}, "search.trials: input should be a valid integer, got 'many'"),
        ({"search__trails": 3}, "search.trails: no such key"),
        ({"search__sampler": "tpee"}, "search.sampler: input should be 'tpe', 'tpe_multivariate'"),
        ({"search__seeds": [1, 1]}, "search.seeds must list different seeds"),
        ({"search__spaces": {"agsgtl": "nowhere"}}, "there is no search space 'nowhere'; looked for"),
        ({"search__spaces": {"lda": "agsgtl_space.yaml"}}, "'lda' is never tuned"),
        ({"search__spaces": {"agsgtll": "agsgtl_space.yaml"}}, "'agsgtll' is no method; did you mean 'agsgtl'"),
        ({"search__factors": {"loss.entropy": [1]}}, "search.factors knows labels.per_class alone"),
        ({"confirm__methods": ["fine_tun"]}, "'fine_tun' is no method; did you mean 'fine_tune'"),
        ({"confirm__seeds": []}, "confirm.seeds must list different seeds"),
        ({"resources": {"gpu": 1.5}}, "resources.gpu must be a part of one GPU or a whole number"),
        ({"trial": {"runtime.device": "cuda"}}, "runtime.device is cuda, but resources.gpu gives a trial no GPU"),
        ({"trial": {"runtime.threads": 2}}, "a trial computes with runtime.threads 2, but resources.cpu gives it 1"),
        (
            {"trial": {"labels.validation_per_class": 0}},
            "target_validation needs labels.validation_per_class of at least 1",
        ),
        (
            {"trial": {"labels.validation_per_class": 0}, "search__select": "target_probability"},
            "target_probability needs labels.validation_per_class of at least 1",
        ),
        ({"trial": {"labels.per_class": 500}}, "class 'class 1' has"),
        ({"search__factors": {"labels.per_class": [3, 500]}}, "class 'class 1' has"),
    ],
)
def test_every_mistake_is_one_line_that_names_the_file(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_experiment(write_experiment(tmp_path, **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pair_named_like_a_folder_of_the_ledger_is_refused(tmp_path: Path) -> None:
    file = write_experiment(tmp_path)
    pair = tmp_path / "tiny.yaml"
    pair.write_text(pair.read_text().replace("name: tiny", "name: finals"))
    with pytest.raises(UserError, match="'finals' is the name of a folder inside of results; give the pair another"):
        load_experiment(file)


def test_a_search_where_every_draw_has_its_own_test_pool_is_refused(tmp_path: Path) -> None:
    file = write_experiment(tmp_path)
    pair = tmp_path / "tiny.yaml"
    pair.write_text(pair.read_text() + "test_pool: {split: authors}\n")
    with pytest.raises(UserError, match="with settings under `trial:` that were chosen on other scenes"):
        load_experiment(file)


def test_a_class_that_the_authors_split_would_leave_without_test_pixels_is_refused(tmp_path: Path) -> None:
    changes = {"search__spaces": {}, "confirm__methods": ["fine_tune"], "trial": {"labels.per_class": 21}}
    file = write_experiment(tmp_path, {}, **changes)
    pair = tmp_path / "tiny.yaml"
    pair.write_text(pair.read_text() + "test_pool: {split: authors}\n")
    with pytest.raises(
        UserError, match=r"class 'class 1' has 40 labelled target pixels, but k = 21 .* leave 15 to test on"
    ):
        load_experiment(file)
    pair.write_text(pair.read_text().replace("authors}", "authors, minimum: 14}"))
    assert load_experiment(file)


DEPTHWISE = {"model.family": "depthwise", "model.width": 21, "model.discriminator_width": 21}
FAMILY = {"type": "categorical", "choices": ["shallow", "depthwise"]}
each_use_of_depthwise = pytest.mark.parametrize(
    ("spaces", "changes"),
    [
        ({}, {"trial": DEPTHWISE, "search__spaces": {}, "confirm__methods": ["fine_tune"]}),
        ({"agsgtl": SPACE}, {"trial": DEPTHWISE, "confirm__methods": ["agsgtl"]}),
        ({"agsgtl": SPACE | {"model.family": FAMILY}}, {"trial": {**DEPTHWISE, "model.family": "shallow"}}),
    ],
    ids=["confirmed", "searched", "sampled"],
)


@each_use_of_depthwise
def test_bands_that_the_depthwise_network_cannot_take_are_refused_before_any_trial(
    tmp_path: Path, spaces: dict[str, Any], changes: dict[str, Any]
) -> None:
    file = write_experiment(tmp_path, spaces, **changes)
    with pytest.raises(
        UserError, match=r"experiment\.yaml: model\.family depthwise needs a multiple of 21 bands, but tiny has 8"
    ):
        load_experiment(file)
    pair = tmp_path / "tiny.yaml"
    pair.write_text(pair.read_text() + "multiple_of_21: pad\n")
    assert load_experiment(file)


def test_a_method_without_a_network_takes_any_bands(tmp_path: Path) -> None:
    assert load_experiment(write_experiment(tmp_path, {}, trial=DEPTHWISE, confirm__methods=["lda"]))


@each_use_of_depthwise
def test_a_network_that_looks_farther_than_blocks_keep_is_refused_before_any_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spaces: dict[str, Any], changes: dict[str, Any]
) -> None:
    file = write_experiment(tmp_path, spaces, **changes)
    pair = tmp_path / "tiny.yaml"
    pair.write_text(pair.read_text() + "multiple_of_21: pad\n")
    load_experiment(file)
    monkeypatch.setattr(
        "agsgtl.tuning.experiment.load_pair", lambda name: replace(load_pair(name), buffer_family="shallow")
    )
    with pytest.raises(
        UserError, match=r"experiment\.yaml: tiny: .* for model\.family depthwise, but `split: blocks` kept 21"
    ):
        load_experiment(file)


def test_target_entropy_is_refused_where_terms_feed_on_it(tmp_path: Path) -> None:
    spaces = {"agsgtl": {"loss.entropy": {"type": "float", "low": 0.0, "high": 1.0}}}
    with pytest.raises(UserError, match=r"target_entropy cannot be used with loss\.entropy"):
        load_experiment(write_experiment(tmp_path, spaces, search__select="target_entropy"))
    assert load_experiment(write_experiment(tmp_path, search__select="target_entropy"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "cannot be pruned; set search.scheduler: none"),
        (
            {"search__scheduler": "none", "search__sampler": "cmaes"},
            "needs search.sampler tpe, tpe_multivariate, gp, nsga2, random, got cmaes",
        ),
        ({"search__scheduler": "none", "search__factors": {"labels.per_class": [1, 2]}}, "keep one of them"),
    ],
)
def test_two_objectives_refuse_what_optuna_cannot_do(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_experiment(
            write_experiment(tmp_path, {"agsgtl": SAMPLED_K}, search__objectives="score_and_labels", **changes)
        )


def test_two_objectives_need_a_sampled_label_count(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs labels\.per_class in every search space; missing for agsgtl"):
        load_experiment(
            write_experiment(
                tmp_path, {"agsgtl": SPACE}, search__objectives="score_and_labels", search__scheduler="none"
            )
        )


def test_one_objective_with_a_free_label_count_warns(tmp_path: Path) -> None:
    (warning,) = load_experiment(write_experiment(tmp_path, {"agsgtl": SAMPLED_K})).warnings
    assert "favours many labels" in warning
    assert not load_experiment(write_experiment(tmp_path)).warnings


def test_paper_is_untouched_by_trial_but_shares_labels_and_normalisation(tmp_path: Path) -> None:
    trial = {"adapt.epochs": 7, "labels.per_class": 3, "data.normalisation": "source", "attention.target": True}
    experiment = load_experiment(write_experiment(tmp_path, trial=trial, confirm__paper_epochs=25))
    paper, tuned = (experiment.base_config(name, 2, "tiny") for name in ("paper", "agsgtl"))
    assert (paper.adapt.epochs, tuned.adapt.epochs) == (25, 7)
    assert (paper.attention.target, tuned.attention.target) == (False, True)
    assert paper.labels.per_class == tuned.labels.per_class == 2
    assert paper.data.normalisation == "source"
    assert (
        paper.model_copy(update={"adapt": Config().adapt, "labels": Config().labels, "data": Config().data}) == Config()
    )


@pytest.mark.parametrize("file", sorted(SHIPPED.rglob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_experiments_load(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").symlink_to(SHIPPED.parent / "results" / "reference")  # of which some confirm the winners
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment(file)
    assert experiment.file.name == file.stem
    assert bool(experiment.winners.chosen) == (experiment.file.confirm.winners is not None)


@pytest.mark.parametrize("name", ["quickstart", "indian_pines", "indian_pines_views"])
def test_shipped_searches_tune_the_method_and_its_baselines(name: str) -> None:
    experiment = load_experiment(SHIPPED / f"{name}.yaml")
    assert {"agsgtl", "fine_tune", "target_only", "source_and_target"} == set(experiment.spaces)
