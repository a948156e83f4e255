"""Optuna's samplers by name, every argument that matters spelled out, each made afresh for every ask."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from agsgtl.data.plainpickle import PLAIN, Builders, PlainUnpickler
from agsgtl.errors import UserError
from agsgtl.seeds import derive_seed

SamplerName = Literal["tpe", "tpe_multivariate", "gp", "cmaes", "nsga2", "random"]

MULTI_OBJECTIVE = ("tpe", "tpe_multivariate", "gp", "nsga2", "random")
"""Samplers that take two objectives; Optuna 5's CMA-ES raises."""

CONSTRAINED = ("tpe", "tpe_multivariate", "nsga2")
"""Samplers that steer by violated constraints: random and CMA-ES do not, and GP wants the same ones on every trial."""

NSGA2_POPULATION = 20


def _tpe(seed: int, startup_trials: int, is_multivariate: bool) -> BaseSampler:
    """Hyperparameters one by one as in Optuna 4, or together and with a constant liar as Optuna 5 does unasked."""
    return TPESampler(
        n_startup_trials=startup_trials,
        n_ei_candidates=24,
        multivariate=is_multivariate,
        constant_liar=is_multivariate,
        seed=seed,
    )


def _gp(seed: int, startup_trials: int) -> BaseSampler:
    return GPSampler(n_startup_trials=startup_trials, deterministic_objective=False, seed=seed)


def _cmaes(seed: int, startup_trials: int) -> BaseSampler:
    independent = RandomSampler(seed=derive_seed(seed, "independent"))
    return CmaEsSampler(
        n_startup_trials=startup_trials, independent_sampler=independent, warn_independent_sampling=False, seed=seed
    )


def _nsga2(seed: int, startup_trials: int) -> BaseSampler:
    # It has no random start of its own: its first population is random.
    return NSGAIISampler(population_size=max(2, min(NSGA2_POPULATION, startup_trials)), seed=seed)


def _random(seed: int, startup_trials: int) -> BaseSampler:
    return RandomSampler(seed=seed)


SAMPLERS: Mapping[SamplerName, Callable[[int, int], BaseSampler]] = {
    "tpe": partial(_tpe, is_multivariate=False),
    "tpe_multivariate": partial(_tpe, is_multivariate=True),
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
    "random": _random,
}


def sampler_for_ask(name: SamplerName, startup_trials: int, search_seed: int, study: str, number: int) -> BaseSampler:
    """The sampler that asks trial `number`: seeded by what names the ask, so that a resumed search asks the same."""
    return SAMPLERS[name](derive_seed(search_seed, f"{study}#{number}"), startup_trials)


def require_harmless(attributes: Mapping[str, Any], origin: str) -> None:
    """Refuses sampler attributes whose pickle would build anything but a CMA-ES optimiser.

    Optuna keeps that optimiser as pickled bytes in a trial's attributes and unpickles them at the next ask. A ledger may
    come from somewhere else, so the very bytes that Optuna will read are first read here, where they can build nothing.

    Raises:
        UserError: the bytes would build something else, or the attributes are not cut as Optuna cuts them.
    """
    chunks = {key: value for key, value in attributes.items() if "optimizer" in key}
    if not chunks:
        return
    try:
        _require_optimiser(_joined(chunks))
    except Exception as error:  # whatever a hostile or torn pickle raises
        raise UserError(
            f"{origin}: its sampler state is no CMA-ES optimiser ({error}); remove the trial's folder"
        ) from None


def _joined(chunks: Mapping[str, Any]) -> bytes:
    """What Optuna's `CmaEsSampler` joins; a key that it would leave out or take otherwise is refused."""
    names = [f"cma:optimizer:{number}" for number in range(len(chunks))]
    if odd := sorted(chunks.keys() - set(names)):
        raise pickle.UnpicklingError(f"{odd[0]} is no part of one")
    return bytes.fromhex("".join(chunks[name] for name in names))


def _require_optimiser(content: bytes) -> None:
    """Raises where a pickle is anything but one `cmaes.CMA` of numbers and arrays, and nothing behind it."""
    *_, (_, _, stop) = pickletools.genops(content)
    if behind := content[(stop or 0) + 1 :]:
        raise pickle.UnpicklingError(f"{len(behind)} bytes follow its end")
    found = PlainUnpickler(io.BytesIO(content), _OPTIMISER).load()
    if not isinstance(found, _Optimiser):
        raise pickle.UnpicklingError("it is something else")


class _Optimiser:
    """What `cmaes.CMA` is: values by name, each a number, an array or None."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if not isinstance(value, (int, float, _ARRAY, type(None))):
                raise pickle.UnpicklingError(f"its {name} is no number and no array")


_ARRAY = PLAIN["numpy", "ndarray"]

_OPTIMISER: Builders = {
    ("cmaes._cma", "CMA"): _Optimiser,
    **{name: builder for name, builder in PLAIN.items() if name[1] in ("ndarray", "dtype", "_reconstruct", "scalar")},
}
