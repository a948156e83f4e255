"""The winners of another experiment, to confirm again with something changed: what ablations are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agsgtl.config import Config, Value, flatten
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.plan import Plan, read_plan
from agsgtl.reporting.record import Ask, Origin, SelectionRule
from agsgtl.tuning.space import UNTUNABLE

Cell = tuple[str, str, int]
"""Method, pair, k."""

_DEVICE = "runtime.device"


@dataclass(frozen=True)
class Winners:
    """What searches chose, an experiment's own or those it borrowed.

    Attributes:
        chosen: the configurations.
        searched: which paths those searches set, by method.
        seeds: that those searches trained on, and so judged by.
    """

    chosen: Mapping[Cell, Ask] = field(default_factory=dict)
    searched: Mapping[str, frozenset[str]] = field(default_factory=dict)
    seeds: frozenset[int] = frozenset()

    def settings(self, cell: Cell) -> dict[str, Value]:
        """Every hyperparameter's value of the winner but the device, which is of where it runs; none where it was not tuned."""
        config = self.chosen[cell].config if cell in self.chosen else {}
        return {path: value for path, value in config.items() if path != _DEVICE}

    def origin(self, cell: Cell) -> Origin | None:
        """Which trial of which study won."""
        return self.chosen[cell].origin if cell in self.chosen else None

    def select(self, cell: Cell) -> SelectionRule | None:
        """The rule by which it won."""
        return self.chosen[cell].select if cell in self.chosen else None


def read_winners(results: Path, key: str) -> Winners:
    """The winners that a results folder has begun to confirm.

    Raises:
        UserError: the folder is no experiment's, a document in it is damaged, it confirmed no winner, or it does not say on
            which seeds they were chosen; `key` is named.
    """
    ledger = Ledger(results)
    if not ledger.experiment_file.exists():
        raise UserError(f"{key}: {results} holds no experiment.yaml; name a folder that `agsgtl sweep` wrote")
    asks = (folder.ask() for folder in ledger.confirmations())
    tuned = [ask for ask in asks if ask is not None and ask.origin is not None and ask.origin.trial is not None]
    if not tuned:
        raise UserError(f"{key}: {results} has no confirmed winner yet; let its sweep end first")
    plan = read_plan(results)
    return Winners(
        chosen={(ask.identity.method, ask.identity.pair, _label_count(ask)): ask for ask in tuned},
        searched={method: plan.searched(method) for method in {*plan.tuned, *(ask.identity.method for ask in tuned)}},
        seeds=_seeds_of(plan, f"{key}: {results}"),
    )


def _seeds_of(plan: Plan, folder: str) -> frozenset[int]:
    """The seeds that the searches behind an experiment's configurations saw, those of borrowed winners among them."""
    search, borrowed = plan.content.get("search") or {}, plan.content.get("borrowed_seeds")
    if plan.borrows_winners and borrowed is None:
        raise UserError(
            f"{folder} does not say on which seeds the winners that it borrowed were chosen, as an older version wrote it; run "
            "`agsgtl sweep` on its experiment again, which writes that down and trains nothing anew"
        )
    own = [*search.get("seeds", []), *(search.get("final_seeds", []) if search.get("finalists") else [])]
    return frozenset(own if plan.tuned else []) | frozenset(borrowed or [])


def require_winners(winners: Winners, cells: Sequence[Cell], fingerprints: Mapping[str, str], key: str) -> None:
    """Refuses cells of tuned methods that have no winner, and winners of other data than their pair has now.

    A pair that parts its labels otherwise now would be tested on pixels that the search trained on or chose by.

    Args:
        winners: of another experiment.
        cells: what is to be confirmed.
        fingerprints: of the pairs, by name.
        key: the key that names the other experiment, for the error.

    Raises:
        UserError: names the first such cell.
    """
    for method, pair, per_class in cells:
        winner = winners.chosen.get((method, pair, per_class))
        if winner is None and method in winners.searched:
            raise UserError(
                f"{key}: holds no winner of {method} on {pair} with {per_class} labels a class; leave the pair or "
                "the method out, or let that sweep end first"
            )
        if winner is not None and winner.pair_fingerprint != fingerprints[pair]:
            raise UserError(
                f"{key}: its winner of {method} on {pair} was chosen on other data or another test pool (fingerprint "
                f"{winner.pair_fingerprint}) than the pair has now ({fingerprints[pair]}), so that its search may have seen pixels "
                "that are test pixels here; give the pair its files and its test_pool of then, or search anew"
            )


def require_same_protocol(
    winners: Winners, cells: Sequence[Cell], protocol: Config, said: Collection[str], key: str
) -> None:
    """Refuses winners that were chosen under other validation labels, normalisation, threads or precision than this experiment's.

    They would bring theirs along, and be tabled beside methods that have this experiment's; what `trial` says holds for all.

    Args:
        winners: of another experiment.
        cells: what is to be confirmed.
        protocol: what all methods of this experiment share.
        said: the paths that the file's `trial` sets.
        key: the key that names the other experiment, for the error.

    Raises:
        UserError: names the first such path.
    """
    ours = flatten(protocol)
    for cell in cells:
        for path, value in winners.settings(cell).items():
            if path.startswith(UNTUNABLE) and path not in said and value != ours[path]:
                method, pair, _ = cell
                raise UserError(
                    f"{key}: its winner of {method} on {pair} was chosen with {path} {value}, but here it is {ours[path]}, and all methods "
                    f"of a table share it; write `{path}: {value}` under trial, or another value that all are to have"
                )


def require_unseen(winners: Winners, seeds: Sequence[int], origin: str) -> None:
    """Refuses confirmation seeds that the winners were chosen on.

    Raises:
        UserError: names them.
    """
    if shared := sorted(winners.seeds & set(seeds)):
        raise UserError(
            f"{origin}: confirm.seeds must be seeds that no search saw, but the search behind confirm.winners saw {shared}; "
            "choose others"
        )


def _label_count(ask: Ask) -> int:
    return int(ask.config["labels.per_class"])
