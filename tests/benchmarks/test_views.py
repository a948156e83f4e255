from __future__ import annotations

from quick import quick_config

from agsgtl.config import configure, flatten
from benchmarks.views import VARIANTS, changes


def test_a_variant_holds_whatever_the_trial_itself_had() -> None:
    sampled = flatten(quick_config(adapt__pooling_grid="random", adapt__discriminator_view="random"))
    adapt = [configure(sampled, changes(views, "agsgtl") or {}, origin="test").adapt for views in VARIANTS]
    found = [(settings.pooling_grid, settings.discriminator_view) for settings in adapt]
    assert found == [("fixed", "fixed"), ("random", "fixed"), ("random", "random")]


def test_a_method_gets_the_variants_that_change_what_it_reads() -> None:
    assert [changes(views, "fine_tune") for views in VARIANTS] == [
        {"adapt.pooling_grid": "fixed"},
        {"adapt.pooling_grid": "random"},
        None,
    ]
    assert [changes(views, "lda") for views in VARIANTS] == [{}, None, None]
