"""What a changed experiment file does to the records that lie there: growth keeps all, a change of meaning names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.plan import read_plan
from agsgtl.tuning.confirm import fixed_choices, planned_cells
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.resolved import remembered_concurrency, write_experiment
from agsgtl.tuning.study import Study, StudyName
from experiments import SPACE
from experiments import write_experiment as write_file


def load(folder: Path, **changes: Any) -> Experiment:
    return load_experiment(write_file(folder, **changes))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """One trial of agsgtl and one of fine_tune, asked by an experiment with a concurrency of 3."""
    ledger, experiment = Ledger(tmp_path / "results"), load(tmp_path)
    for method in ("agsgtl", "fine_tune"):
        Study(StudyName(method, "tiny", 3), experiment, ledger, 3).ask()
    write_experiment(experiment, ledger, 3, 1, cells=[])
    return ledger


@pytest.mark.parametrize(
    "growth",
    [
        {},
        {"search__trials": 50},
        {"confirm__seeds": [41, 50, 61]},
        {"resources": {"cpu": 2}},
        {"confirm__methods": ["lda", "agsgtl"]},
        {"confirm__inits_per_draw": 2},
        {"failures": {"timeout_s": 60}},
        {"spaces": {"agsgtl": SPACE, "fine_tune": SPACE, "target_only": SPACE}},
    ],
)
def test_growth_keeps_every_trial_and_the_concurrency(ledger: Ledger, tmp_path: Path, growth: dict[str, Any]) -> None:
    assert remembered_concurrency(load(tmp_path, **growth), ledger, may_set_aside=False) == 3
    assert ledger.studies() == ["agsgtl/tiny/3", "fine_tune/tiny/3"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"search__sampler": "random"}, "search.sampler was 'tpe' and is 'random'"),
        ({"search__seeds": [7]}, "search.seeds was [0, 1] and is [7]"),
        ({"search__order": "async"}, "search.order was 'fixed' and is 'async'"),
        ({"search__select": "source_validation"}, "search.select was 'target_validation'"),
        ({"resources": {"gpu": 0.5}}, "resources.gpu was 0.0 and is 0.5"),
    ],
)
def test_a_changed_meaning_is_refused_and_named(
    ledger: Ledger, tmp_path: Path, change: dict[str, Any], key: str
) -> None:
    with pytest.raises(UserError) as refused:
        remembered_concurrency(load(tmp_path, **change), ledger, may_set_aside=False)
    said = str(refused.value)
    assert key in said
    assert "2 trials of agsgtl/tiny/3, fine_tune/tiny/3 were asked under the old file" in said
    assert "no other study keeps its records" in said
    assert "\n" not in said
    assert remembered_concurrency(load(tmp_path, **change), ledger, may_set_aside=True) is None  # counted anew
    assert ledger.studies() == []
    assert len(list(ledger.path.glob("superseded/*/tiny/3/trials/0/ask.json"))) == 2


def test_a_changed_space_touches_its_method_alone(ledger: Ledger, tmp_path: Path) -> None:
    wider = {"adapt.target_learning_rate": {**SPACE["adapt.target_learning_rate"], "high": 0.1}}
    spaces = {"agsgtl": {"loss.entropy": {"type": "float", "low": 0.0, "high": 1.0}}, "fine_tune": SPACE}
    with pytest.raises(UserError, match=r"1 trials of agsgtl/tiny/3 .*; fine_tune/tiny/3 keeps its records"):
        remembered_concurrency(load(tmp_path, spaces=spaces), ledger, may_set_aside=False)
    more = SPACE | spaces["agsgtl"]
    with pytest.raises(UserError, match=r"distributions\.agsgtl\.loss\.entropy was None and is 'FloatDistribution"):
        remembered_concurrency(load(tmp_path, spaces={"agsgtl": more, "fine_tune": SPACE}), ledger, False)
    with pytest.raises(UserError, match=r"distributions\.agsgtl\.adapt\.target_learning_rate was"):
        remembered_concurrency(load(tmp_path, spaces={"agsgtl": wider, "fine_tune": wider}), ledger, False)
    assert remembered_concurrency(load(tmp_path, spaces=spaces), ledger, may_set_aside=True) == 3  # of what stays
    assert ledger.studies() == ["fine_tune/tiny/3"]


def test_a_damaged_experiment_file_is_refused_while_trials_depend_on_it(ledger: Ledger, tmp_path: Path) -> None:
    ledger.experiment_file.write_text("concurrency: [")
    with pytest.raises(UserError, match="the order of the trials depends on it; restore it from a copy"):
        remembered_concurrency(load(tmp_path), ledger, may_set_aside=False)


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    file = write_file(tmp_path, name="1e-3", search__trials=1)
    pair = tmp_path / "tiny.yaml"
    pair.write_text(pair.read_text().replace("name: tiny", "name: '0815'"))
    experiment, ledger = load_experiment(file), Ledger(tmp_path / "results")
    cells = planned_cells(experiment, fixed_choices(experiment, "0815", [3]))
    write_experiment(experiment, ledger, 3, 1, cells)
    plan = read_plan(ledger.path)
    assert (plan.experiment, {cell.pair for cell in plan.cells}, [*plan.content["data"]]) == (
        "1e-3",
        {"0815"},
        ["0815"],
    )


def test_what_is_refused_before_anything_is_moved_leaves_all_as_it_was(ledger: Ledger, tmp_path: Path) -> None:
    def refuse(begun_anew: Sequence[str]) -> None:
        assert begun_anew == ("agsgtl/tiny/3", "fine_tune/tiny/3")
        raise UserError("no")

    changed = load(tmp_path, resources={"gpu": 0.5})
    with pytest.raises(UserError, match="no"):
        remembered_concurrency(changed, ledger, may_set_aside=True, check=refuse)
    assert len(ledger.studies()) == 2
    assert not (ledger.path / "superseded").exists()
