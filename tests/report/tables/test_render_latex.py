"""Tables as LaTeX: the numbers, the marks, and that TeX takes it."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess

import pytest

from medbench.report.tables.render import render


def test_latex(made):
    text = render(made, "latex")
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {5}
    assert "0.881 $\\pm$ 0.002 n=5 (0.878 $\\pm$ 0.004, +0.003)" in text
    assert r"a\_b \& c\% \$5 \#1 \{x\} \textless{}b\textgreater{}\textbar{}\textbackslash{}" in text
    assert text.count(r"\begin") == text.count(r"\end") == 2


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs pdflatex (Debian, Ubuntu: texlive-latex-recommended)"
)
def test_latex_compiles(made, tmp_path):
    head = r"\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{booktabs}\begin{document}"
    (tmp_path / "t.tex").write_text(head + "\n" + render(made, "latex") + r"\end{document}" + "\n", encoding="utf-8")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 5000


def test_marks_in_latex(ranked):
    out = render(ranked, "latex")
    assert r"r0 & \textbf{0.900 $\pm$ 0.010} \\" in out
    assert r"r1 & \underline{0.800 $\pm$ 0.020} +1.2 pt \\" in out
    assert r"r2 & 0.700 $\pm$ 0.030$\approx$ (0.750 $-$0.5 pt, $-$0.050) \\" in out
    assert r"r4 & 0.950 $\pm$ 0.040$\dagger$ \\" in out
    assert "bold: the best of its column, underlined: the second" in out


def test_latex_is_well_formed(made, ranked):
    """No TeX here: what stops it is looked for by hand."""
    bracket = dataclasses.replace(ranked.rows[0], heads=("[x]",))
    odd = dataclasses.replace(ranked, rows=(bracket, *ranked.rows[1:]), title="λ ☃ “q” — é %", notes=("50 % of x_1",))
    for table in (made, odd):
        out = render(table, "latex")
        assert out.startswith("% needs \\usepackage{booktabs}\n")
        assert [out.count(rule) for rule in (r"\toprule", r"\bottomrule")] == [1, 1]
        bare = re.sub(r"\\[{}%&#_$]", "", out)
        depth = 0
        for sign in bare:
            depth += {"{": 1, "}": -1}.get(sign, 0)
            assert depth >= 0
        assert depth == 0
        assert bare.count("$") % 2 == 0
        environments = re.findall(r"\\(begin|end)\{(\w+)\}", out)
        assert environments == [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")]
        lines = [line for line in out.splitlines() if not line.startswith("%")]
        assert not any(re.search(r"(?<!\\)[%#_]", line) for line in lines), "signs that TeX would act on"
        assert all(ord(sign) < 0x180 for sign in out)
    assert "{}{[}" not in out
    assert "{}[x] &" in out
    assert "\\caption{? ? ``q'' --- é \\%}" in out
