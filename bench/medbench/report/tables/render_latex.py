"""A table as LaTeX with the rules of booktabs."""

from __future__ import annotations

from medbench.report.tables.marks import Words, legend
from medbench.report.tables.table import Cell, Row, Table

SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "–": "--", "−": "$-$", "×": r"$\times$",
    "·": r"$\cdot$", "κ": r"$\kappa$", "≈": r"$\approx$", "≤": r"$\leq$", "≥": r"$\geq$", "↓": r"$\downarrow$",
    "↑": r"$\uparrow$", "²": r"$^2$", "…": r"\ldots{}", "†": r"$\dagger$", "‡": r"$\ddagger$", "§": r"\S{}",
    "¶": r"\P{}", "▲": r"$\bigtriangleup$", "▼": r"$\bigtriangledown$",
    "→": r"$\to$", "α": r"$\alpha$", "β": r"$\beta$", "μ": r"$\mu$", "σ": r"$\sigma$", "Δ": r"$\Delta$",
    "‘": "`", "’": "'", "“": "``", "”": "''", "‑": "-", "—": "---", "\xa0": "~",
}  # fmt: skip
LETTERS = 0x180
"""Below it LaTeX knows a letter with its accents by itself; other signs would stop it and become a question mark."""
WORDS = Words("bold", "underlined")


def render_latex(table: Table) -> str:
    r"""Return a `table` environment; it needs `\usepackage{booktabs}` and, for letters like é, UTF-8 input."""
    form = "l" * len(table.heads) + "r" * len(table.columns)
    heads = [*table.heads, *(column.title for column in table.columns)]
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering", rf"\caption{{{_text(table.title)}}}"]
    lines += [rf"\begin{{tabular}}{{{form}}}", r"\toprule", _line([_text(head) for head in heads]), r"\midrule"]
    for i, (name, rows) in enumerate(part for part in table.sections() if part[0] or part[1]):
        lines += [r"\midrule"] if i else []
        lines += [rf"\multicolumn{{{len(form)}}}{{l}}{{{_text(name)}}} \\"] if name else []
        lines += [_row(row, table.intervals) for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {_text(note)}" for note in (*legend(table, WORDS), *table.notes)]
    lines += [f"% {' '.join(command.split())}" for command in table.commands]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _row(row: Row, intervals: bool) -> str:
    return _line([*map(_text, row.heads), *(_cell(cell, intervals) for cell in row.cells)])


def _line(cells: list[str]) -> str:
    # An empty group keeps a bracket from being taken for an argument of the line break or the rule before it.
    return ("{}" if cells[0].startswith(("[", "*")) else "") + " & ".join(cells) + r" \\"


def _cell(cell: Cell, intervals: bool) -> str:
    number, rest = (_text(part.replace("-", "−")) for part in (cell.number, cell.rest(intervals)))
    lead = " " if cell.rest(intervals).startswith(" ") and number else ""
    shown = {"best": rf"\textbf{{{number}}}", "second": rf"\underline{{{number}}}"}.get(cell.rank, number)
    return (shown + lead + rest).strip() or _text(cell.text)


def _text(text: str) -> str:
    return "".join(SIGNS.get(sign, sign if ord(sign) < LETTERS else "?") for sign in " ".join(text.split()))
