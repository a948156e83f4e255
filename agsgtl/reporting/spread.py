"""Where the spread of a method's scores comes from: label draws, initialisations, pairs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Spread:
    """Standard deviations by source; `note` says why where they cannot be told apart."""

    label_draw: float | None
    initialisation: float | None
    pair: float | None
    note: str = ""


def separate_spread(values: pd.DataFrame) -> Spread:
    """Where the spread of one method comes from, by a mixed model (REML) with nested random effects.

    Args:
        values: columns `pair`, `label_seed`, `init_seed`, `value`; a label draw belongs to its pair.

    Returns:
        All None, with a note, unless label draws have two initialisations or more.
    """
    per_draw = values.groupby(["pair", "label_seed"])["init_seed"].nunique()
    if per_draw.empty or per_draw.min() < 2 or len(per_draw) < 2:
        return Spread(
            None, None, None, "not separable: confirm.inits_per_draw must be 2 or more, on 2 label draws or more"
        )
    data = values.assign(draw=values["pair"].astype(str) + "/" + values["label_seed"].astype(str))
    means = data.groupby(["pair", "draw"])["value"].mean().reset_index()
    pairs = ["pair"] if data["pair"].nunique() > 1 else []
    within = data["value"] - data.groupby("draw")["value"].transform("mean")
    if within.abs().max() > 1e-9 * float(means["value"].std()):
        sd, rest, note = _fit_spread(data, ["draw", *pairs])
        return Spread(sd["draw"], rest, sd.get("pair"), note)
    # REML stops short where a component is exactly zero: what is left of a deterministic method is fitted without it.
    if not pairs:
        return Spread(float(means["value"].std()), 0.0, None)
    sd, rest, note = _fit_spread(means, pairs)
    return Spread(rest, 0.0, sd["pair"], note)


def _fit_spread(data: pd.DataFrame, groups: Sequence[str]) -> tuple[dict[str, float], float, str]:
    """The sd of each nested random effect by its column and of the rest, by REML, and a note where it did not converge."""
    from statsmodels.regression.mixed_linear_model import MixedLM  # half a second that few tables need

    components = {group: f"0 + C({group})" for group in groups}
    scale = float(data["value"].std()) or 1.0
    scaled = data.assign(value=(data["value"] - data["value"].mean()) / scale, whole=1).reset_index(drop=True)
    with warnings.catch_warnings():
        # A component estimated as zero lies on the boundary, which statsmodels warns about and which is an answer.
        warnings.simplefilter("ignore")
        fit = MixedLM.from_formula("value ~ 1", scaled, groups="whole", vc_formula=components).fit(reml=True)
    variance = dict(zip(sorted(components), np.maximum(fit.vcomp, 0.0), strict=True))
    sd = {name: scale * math.sqrt(value) for name, value in variance.items()}
    return sd, scale * math.sqrt(fit.scale), "" if fit.converged else "the fit did not converge: do not rely on these"
