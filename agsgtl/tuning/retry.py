"""`--retry-failed`: what failed from outside, by machine, limit or file, is handed out again, once its cause is mended.

The ask stays, and so does the checkpoint: the trial goes on from there, to what it would have given. What its study asked
since then stays too, asked with the failure known; what it asks from now on sees how the trial ends this time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Final

from agsgtl.durable import free_name
from agsgtl.errors import Torn
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Reason

FROM_OUTSIDE: Final[tuple[Reason, ...]] = ("timeout", "node_lost", "error", "out_of_memory", "bad_input")
"""Reasons that another machine, limit, file or version may do away with; what diverged would end so again."""


def failed_from_outside(
    ledger: Ledger, studies: Iterable[str], confirmed: Collection[str]
) -> Iterator[tuple[TrialFolder, Reason]]:
    """The trials and finals of some studies, and the confirmations of some methods, whose records say that they failed from outside.

    What was taken out of the experiment would not run again, and keeps its record.
    """
    searched = (folder for study in studies for folder in (*ledger.trials(study), *ledger.finals(study)))
    methods = (
        folder for folder in ledger.confirmations() if folder.path.relative_to(ledger.path).parts[1] in confirmed
    )
    for folder in chain(searched, methods):
        try:
            record = folder.record()
        except Torn:
            continue  # the queue sets it aside, and the trial runs again by that
        if record is not None and record.status == "failed" and record.reason in FROM_OUTSIDE:
            yield folder, record.reason


def hand_out_again(ledger: Ledger, studies: Iterable[str], confirmed: Collection[str]) -> list[str]:
    """Moves the records of `failed_from_outside` to `superseded/retried/`, with the failures before them; a sentence for each."""
    said = []
    for folder, reason in list(failed_from_outside(ledger, studies, confirmed)):
        name = folder.path.relative_to(ledger.path)
        place = free_name(ledger.path / "superseded" / "retried" / name)
        place.mkdir(parents=True)
        for file in ("failures.jsonl", "record.json"):  # the record last: until then the trial counts as failed
            if (folder.path / file).exists():
                (folder.path / file).rename(place / file)
        said.append(f"{name.as_posix()}: failed by {reason}; runs again, its record is {place / 'record.json'}")
    return said


def warnings_of_retries(ledger: Ledger) -> tuple[str, ...]:
    """What tables say of a search of which some trials ran again: one sentence, or nothing."""
    trials = {record.parent for record in (ledger.path / "superseded" / "retried").glob("**/trials/*/record.json")}
    if not trials:
        return ()
    return (
        f"search trials that had failed and ran again, after later ones were asked (--retry-failed): {len(trials)}",
    )
