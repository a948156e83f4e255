"""A table as text: CSV, Markdown, LaTeX (booktabs) or HTML; the only place where fractions become percent."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import get_args

import pandas as pd

from agsgtl.errors import UserError, did_you_mean
from agsgtl.reporting.cells import Cell, State
from agsgtl.reporting.rows import Row
from agsgtl.reporting.table import Table

TITLES: Mapping[str, str] = {
    "macro_f1": "Macro F1",
    "balanced_accuracy": "Balanced accuracy",
    "mean_iou": "Mean IoU",
    "overall_accuracy": "Overall accuracy",
    "kappa": "Kappa (for comparability only)",
}
STATE_COLOURS: Mapping[State, str] = {
    "incomplete": "#fff3cd",
    "failed": "#f8d7da",
    "missing": "#e2e3e5",
    "absent": "#ffffff",
    "complete": "",
}


def render(table: Table, format: str) -> str:
    """The text of a table, byte for byte the same for the same records; it ends with a newline.

    Args:
        format: `csv`, `md`, `latex` or `html`.

    Raises:
        UserError: the format is unknown.
    """
    if format not in _FORMATS:
        raise UserError(f"--format {format}: is no format of tables; {did_you_mean(format, _FORMATS)}")
    return _FORMATS[format](table)


def percent(fraction: float) -> str:
    """Percent with one decimal.

    >>> percent(0.7125)
    '71.2'
    """
    return f"{100 * fraction:.1f}"


def cell_text(cell: Cell) -> str:
    """What stands in a cell: a mean ± sd, and in words what is not there."""
    failed = ", ".join(f"{count} {reason}" for reason, count in sorted(cell.failures.items()))
    if cell.state == "absent":
        return "–"
    if cell.state == "missing":
        return "not run"
    if cell.state == "failed":
        return "failed: " + (
            next(iter(cell.failures))
            if sum(cell.failures.values()) == cell.planned == 1
            else f"{failed} of {cell.planned}"
        )
    number = "" if cell.mean is None else percent(cell.mean) + ("" if cell.sd is None else f" ± {percent(cell.sd)}")
    if cell.state == "complete":
        return number
    count = f"({cell.n} of {cell.planned}" + (f"; failed: {failed})" if failed else ")")
    return f"{number or 'no scores'} {count}"


def tuned_text(row: Row) -> str:
    """What the column `tuned` says: with how many trials per study, or nothing."""
    if row.oracle:
        return "oracle"
    low_high = sorted({row.tuned_trials[0], row.tuned_trials[-1]}) if row.tuned_trials else []
    return f"{'–'.join(map(str, low_high))} trials" if low_high else ""


def block(table: Table, metric: str) -> pd.DataFrame:
    """The texts of one metric: columns `method`, `tuned`, the pairs and `average`."""
    columns = ["method", "tuned", *table.columns]
    lines = [
        [row.name, tuned_text(row), *(cell_text(table.cells[metric, row, column]) for column in table.columns)]
        for row in table.rows
    ]
    return pd.DataFrame(lines, columns=columns)


def _csv(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["metric", "method", "tuned", *table.columns])
    for metric in table.metrics:
        writer.writerows([metric, *line] for line in block(table, metric).itertuples(index=False))
    writer.writerows(["note", sentence] + [""] * (len(table.columns) + 1) for sentence in table.note)
    return out.getvalue()


def _markdown(table: Table) -> str:
    sections = []
    for metric in table.metrics:
        frame = block(table, metric)
        lines = [list(frame.columns), ["---"] * 2 + ["---:"] * len(table.columns), *frame.to_numpy().tolist()]
        sections.append(
            f"### {TITLES[metric]} (%)\n\n"
            + "\n".join("| " + " | ".join(map(_escape_markdown, line)) + " |" for line in lines)
        )
    return "\n\n".join([*sections, "\n".join(f"- {sentence}" for sentence in table.note)]) + "\n"


def _latex(table: Table) -> str:
    width = len(table.columns) + 2
    body = []
    for metric in table.metrics:
        body.append(rf"\midrule\multicolumn{{{width}}}{{l}}{{\emph{{{TITLES[metric]} (\%)}}}} \\ \midrule")
        body += [" & ".join(map(_escape_latex, line)) + r" \\" for line in block(table, metric).itertuples(index=False)]
    head = " & ".join(map(_escape_latex, ["method", "tuned", *table.columns])) + r" \\"
    note = " ".join(map(_escape_latex, table.note))
    return "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{booktabs}\usepackage{graphicx}\usepackage{textcomp}",
            r"\begin{document}",
            "% from here to 'end of table' is what a paper takes over; it needs booktabs and graphicx",
            r"\begin{table}\centering",
            rf"\resizebox{{\linewidth}}{{!}}{{\begin{{tabular}}{{ll{'r' * len(table.columns)}}}",
            r"\toprule",
            head,
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            rf"\\[1ex]\parbox{{\linewidth}}{{\footnotesize {note}}}",
            r"\end{table}",
            "% end of table",
            r"\end{document}",
            "",
        ]
    )


def _html(table: Table) -> str:
    sections = []
    for metric in table.metrics:
        states = [[_state(table, metric, row, column) for column in table.columns] for row in table.rows]
        frame = block(table, metric)
        colours = pd.DataFrame("", index=frame.index, columns=frame.columns)
        colours.iloc[:, 2:] = [
            [f"background-color: {STATE_COLOURS[state]}" if STATE_COLOURS[state] else "" for state in line]
            for line in states
        ]
        styler = (
            frame.style.hide(axis="index").apply(lambda _, colours=colours: colours, axis=None).format(escape="html")
        )
        styler = styler.set_uuid(f"agsgtl_{metric}").set_caption(f"{TITLES[metric]} (%)")
        sections.append(styler.to_html(table_attributes='class="results"').rstrip())
    note = "\n".join(f"<li>{_escape_html(sentence)}</li>" for sentence in table.note)
    return "\n".join([*sections, f'<ul class="note">\n{note}\n</ul>']) + "\n"


def _state(table: Table, metric: str, row: Row, column: str) -> State:
    return table.cells[metric, row, column].state


def _escape_markdown(text: str) -> str:
    return str(text).replace("|", r"\|").replace("*", r"\*")


_LATEX_SPECIALS = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "†": r"$\dagger$",
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX_SPECIALS.get(character, character) for character in str(text))


def _escape_html(text: str) -> str:
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_FORMATS: Mapping[str, Callable[[Table], str]] = {"csv": _csv, "md": _markdown, "latex": _latex, "html": _html}
assert set(STATE_COLOURS) == set(get_args(State))
