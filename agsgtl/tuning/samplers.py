"""Optuna's samplers by name, every argument that matters spelled out, each made afresh for every ask."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

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
    come from somewhere else, so its bytes are first read by an unpickler that knows no other class.

    Raises:
        UserError: the bytes would build something else.
    """
    chunks = sorted((key for key in attributes if key.startswith("cma") and ":optimizer" in key), key=_chunk_order)
    if not chunks:
        return
    content = "".join(str(attributes[key]) for key in chunks)
    try:
        _CmaUnpickler(io.BytesIO(bytes.fromhex(content))).load()
    except Exception as error:  # whatever a hostile or torn pickle raises
        raise UserError(
            f"{origin}: its sampler state is no CMA-ES optimiser ({error}); remove the trial's folder"
        ) from None


def _chunk_order(key: str) -> tuple[str, int]:
    head, _, last = key.rpartition(":")
    return (head, int(last)) if last.isdecimal() else (key, 0)


class _CmaUnpickler(pickle.Unpickler):
    _MODULES = ("cmaes._cma", "cmaes._sepcma", "cmaes._cmawm")
    _NUMPY = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
            ("numpy.random._pickle", "__randomstate_ctor"),
            ("numpy.random._pickle", "__bit_generator_ctor"),
            ("numpy.random._mt19937", "MT19937"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        """The class of an optimiser or of a plain array; anything else is refused."""
        if (module in self._MODULES and name in ("CMA", "SepCMA", "CMAwM")) or (module, name) in self._NUMPY:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}")
