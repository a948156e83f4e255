"""A document of tables as CSV, Markdown, LaTeX (booktabs) or HTML, byte for byte the same for the same records."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping

import pandas as pd
from markupsafe import escape

from agsgtl.errors import UserError, did_you_mean
from agsgtl.reporting.cells import State, Table
from agsgtl.reporting.layout import Block, Document, Text, lay_out

STATE_COLOURS: Mapping[State, str] = {
    "complete": "",
    "incomplete": "background-color: #fff3cd",
    "failed": "background-color: #f8d7da",
    "missing": "background-color: #e2e3e5; font-style: italic",
    "absent": "color: #888888",
}


def render(table: Table | Document, format: str) -> str:
    """The text of a table or document; it ends with a newline.

    Args:
        table: a table, or a document of tables.
        format: `csv`, `md`, `latex` or `html`.

    Raises:
        UserError: the format is unknown.
    """
    if format not in _FORMATS:
        raise UserError(f"--format {format}: is no format of tables; {did_you_mean(format, _FORMATS)}")
    return _FORMATS[format](lay_out(table) if isinstance(table, Table) else table)


def _csv(document: Document) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    width = max(len(block.header) for block in document.blocks)
    header: tuple[str, ...] = ()
    for block in document.blocks:
        if block.header != header:
            header = block.header
            writer.writerow(["metric", *header] + [""] * (width - len(header)))
        for line in block.lines:
            texts = [_with_dagger(text, " †") for text in line]
            writer.writerow([block.key, *texts] + [""] * (width - len(texts)))
    for part in document.lists:
        writer.writerows([part.key, line] + [""] * (width - 1) for line in part.lines)
    return out.getvalue()


def _markdown(document: Document) -> str:
    sections = [f"### {block.title}\n\n{_markdown_table(block)}" for block in document.blocks]
    for part in document.lists:
        title = f"**{part.title}**\n\n" if part.title else ""
        sections.append(title + "\n".join(f"- {_escape_markdown(line)}" for line in part.lines))
    return "\n\n".join(sections) + "\n"


def _markdown_table(block: Block) -> str:
    rule = ["---"] * block.labels + ["---:"] * (len(block.header) - block.labels)
    lines = [[_escape_markdown(text) for text in block.header], rule]
    lines += [[_mark_markdown(text) for text in line] for line in block.lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mark_markdown(text: Text) -> str:
    marked = _escape_markdown(text.text)
    if "best" in text.marks:
        marked = f"**{marked}**"
    if "second" in text.marks:
        marked = f"<u>{marked}</u>"
    return marked + (" †" if "dagger" in text.marks else "")


def _latex(document: Document) -> str:
    tables = "\n\\\\[2ex]\n".join(_latex_table(block) for block in document.blocks)
    lists = [
        (rf"\textbf{{{_escape_latex(part.title)}.}} " if part.title else "")
        + " ".join(_sentence(line) for line in part.lines)
        for part in document.lists
    ]
    notes = "\n".join(rf"\\[1ex]\parbox{{\linewidth}}{{\footnotesize {text}}}" for text in lists)
    return _LATEX_FRAME.replace("TABLES", tables).replace("NOTES", notes)


def _latex_table(block: Block) -> str:
    columns = "l" * block.labels + "r" * (len(block.header) - block.labels)
    lines = [" & ".join(_mark_latex(text) for text in line) + r" \\" for line in block.lines]
    head = " & ".join(_escape_latex(text) for text in block.header) + r" \\"
    title = rf"\multicolumn{{{len(block.header)}}}{{l}}{{\textbf{{{_escape_latex(block.title)}}}}} \\"
    body = "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", title, head, r"\midrule", *lines, r"\bottomrule"]
    )
    return _LATEX_FIT + "{" + body + "\n" + r"\end{tabular}}"


def _mark_latex(text: Text) -> str:
    marked = _escape_latex(text.text)
    if "best" in text.marks:
        marked = rf"\textbf{{{marked}}}"
    if "second" in text.marks:
        marked = rf"\underline{{{marked}}}"
    if text.state in ("missing", "failed"):
        marked = rf"\textit{{{marked}}}"
    return marked + (r"$^\dagger$" if "dagger" in text.marks else "")


def _sentence(line: str) -> str:
    return _escape_latex(line if line.endswith(".") else line + ".")


def _html(document: Document) -> str:
    parts = [html_table(block) for block in document.blocks]
    for part in document.lists:
        title = f"<h4>{escape(part.title)}</h4>\n" if part.title else ""
        items = "\n".join(f"<li>{escape(line)}</li>" for line in part.lines)
        parts.append(f'{title}<ul class="{part.key}">\n{items}\n</ul>')
    return "\n".join(parts) + "\n"


def html_table(block: Block) -> str:
    """One block as an HTML table; states have colours of their own."""
    frame = pd.DataFrame([[_mark_html(text) for text in line] for line in block.lines], columns=list(block.header))
    styles = pd.DataFrame([[STATE_COLOURS[t.state] for t in line] for line in block.lines], columns=frame.columns)
    styler = frame.style.hide(axis="index").set_uuid(_identifier(block.key)).set_caption(str(escape(block.title)))
    styler = styler.apply(lambda _: styles, axis=None).format_index(escape="html", axis=1)
    return styler.to_html(table_attributes='class="results"', exclude_styles=False).rstrip()


def _identifier(key: str) -> str:
    """A block's key as an id that a style sheet can name: of letters, digits and underscores."""
    return re.sub(r"\W", "_", key)


def _mark_html(text: Text) -> str:
    marked = str(escape(text.text))
    if "best" in text.marks:
        marked = f"<b>{marked}</b>"
    if "second" in text.marks:
        marked = f"<u>{marked}</u>"
    return marked + ("&nbsp;†" if "dagger" in text.marks else "")


def _with_dagger(text: Text, dagger: str) -> str:
    return text.text + (dagger if "dagger" in text.marks else "")


def _escape_markdown(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")


_LATEX_SPECIALS = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "†": r"$\dagger$",
}

_LATEX_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
"""A table that is wider than the text is made to fit, a narrower one stays as it is."""

_LATEX_FRAME = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
% A paper takes over what stands between here and 'end of table'; it needs booktabs and graphicx.
\begin{table}
\centering
TABLES
NOTES
\end{table}
% end of table
\end{document}
"""


def _escape_latex(text: str) -> str:
    return "".join(_LATEX_SPECIALS.get(character, character) for character in text)


_FORMATS: Mapping[str, Callable[[Document], str]] = {"csv": _csv, "md": _markdown, "latex": _latex, "html": _html}
