"""Plans and their results as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.cli import options, plan_text
from medbench.errors import DataError, MedbenchError
from medbench.papers.cells import CellSpec
from medbench.runs.estimate import Estimate
from medbench.runs.fill_paper import Filling
from medbench.runs.jobs import Options, Plan, Result

from ..records.made import synthetic

CELLS = [CellSpec(model, protocol, "aptos") for model in ("dinov2", "dino", "sam") for protocol in ("knn", "freeze")]
PLAN = Plan([], Options(runs=Path("somewhere")))


@pytest.mark.parametrize(
    ("name", "fill", "dry_run", "error"),
    [
        (None, True, False, "--fill needs the name of a figure"),
        (None, False, True, "--dry-run has no effect"),
        ("wacv2024/figure2", False, True, "--dry-run has no effect"),
    ],
)
def test_fill_needs_a_name_and_dry_run_needs_fill(name, fill, dry_run, error):
    with pytest.raises(MedbenchError, match=error) as found:
        options.check_fill("figure", name, fill, dry_run)
    assert f"medbench figure {name or 'wacv2024/figure1'} --fill --dry-run" in found.value.hint


def test_other_uses_of_fill_are_fine():
    options.check_fill("table", None, False, False)
    options.check_fill("table", "wacv2024/table1", True, True)


def test_cells_are_chosen_by_names_and_globs():
    chosen = plan_text.chosen(CELLS, [("model", "dino*"), ("protocol", "knn,"), ("dataset", None)])
    assert [(one.model, one.protocol) for one in chosen] == [("dinov2", "knn"), ("dino", "knn")]


def test_a_name_that_no_cell_has_is_an_error():
    with pytest.raises(MedbenchError, match="unknown protocol of this paper 'kmm'") as found:
        plan_text.chosen(CELLS, [("model", "sam"), ("protocol", "kmm")])
    assert "knn" in found.value.hint


def test_the_plan_says_why_cells_cannot_be_run_once_for_all_of_them():
    error = DataError("no data set aptos", "get it\nthen check it")
    filling = Filling(PLAN, there=CELLS[:1], blocked=[(one, error) for one in CELLS[1:]])
    assert list(plan_text.lines(filling, Estimate(0, None, (), (), "cpu"))) == [
        "1 cells done, 0 to run, 5 cannot run now",
        "",
        "cannot run now:",
        "  no data set aptos",
        "    affects 5 cells: dinov2 · freeze · aptos; dino · knn · aptos; dino · freeze · aptos and 2 more",
        "    hint: get it",
        "          then check it",
    ]


@pytest.mark.parametrize(
    ("result", "status", "lines"),
    [
        (Result(), 0, []),
        (Result(mistakes=[("job", DataError("bad", "fix it"))]), 2, ["error: job: bad", "hint: fix it"]),
        (Result(failures=[("job", "OSError: x")]), 1, ["failed: job: OSError: x", "hint: see medbench status"]),
        (
            Result(mistakes=[("a", DataError("bad", "fix it"))], failures=[("b", "x")]),
            2,
            ["error", "hint", "failed", "hint"],
        ),
    ],
)
def test_errors_of_a_run_and_its_exit_status(result, status, lines):
    said: list[str] = []
    assert plan_text.complain(result, said.append) == status
    assert len(said) == len(lines)
    assert all(text.startswith(start) for text, start in zip(said, lines, strict=True))


def test_each_job_has_a_line_and_its_new_warnings_and_the_summary_the_places(capsys):
    records = synthetic("dinov2", "knn", "aptos", (0, 1, 2), values={"accuracy": [0.5, 0.7, None]}, chosen={"k": 5})
    records += synthetic(
        "sam", "knn", "toy", (0,), values={"auroc": [None]}, weights="random", toy=True, warnings=["w"]
    )
    tables = [Path("tables/aptos.md"), Path("tables/aptos.csv")]
    tell = plan_text.teller(as_json=False)
    for job in (records[:3], records[3:], records[3:]):
        tell(job)
    plan_text.print_summary(PLAN, Result(records=records, made=1, tables=tables))
    assert capsys.readouterr().out.splitlines() == [
        "dinov2 · knn · aptos: accuracy 0.600 ± 0.141 (n = 2); k 5",
        "sam · knn · toy [random weights] [toy data]: auroc undefined on this test split",
        "  note: w",
        "sam · knn · toy [random weights] [toy data]: auroc undefined on this test split",
        "1 units run, 3 already done; records in somewhere",
        "table: tables/aptos.md",
    ]


def test_a_number_that_depends_on_texts_has_its_spread_beside_it(capsys):
    (record,) = synthetic("clip", "zero-shot", "aptos", (0,), values={"accuracy": [0.5]}, chosen={"prompts": "card"})
    record.metric, record.spread = "accuracy", {"names": 0.25}
    plan_text.teller(as_json=False)([record])
    beside = "0.500 (n = 1; 0.250 (names) to 0.500 (card) over 2 sets of texts)"
    assert capsys.readouterr().out == f"clip · zero-shot · aptos: accuracy {beside}\n"


@pytest.mark.parametrize(("shots", "seeds", "beside"), [(5, (3,), "n = 1, seed 3"), ("all", (0, 1), "n = 2")])
def test_shots_and_their_draw_are_told(capsys, shots, seeds, beside):
    values = {"accuracy": [0.5] * len(seeds)}
    records = synthetic("clip", "few-shot", "aptos", seeds, values=values, options={"shots": shots})
    plan_text.teller(as_json=False)(records)
    spread = " ± 0.000" if len(seeds) > 1 else ""
    told = f"clip · few-shot with {shots} shots · aptos: accuracy 0.500{spread} ({beside})\n"
    assert capsys.readouterr().out == told


def test_names_with_a_slash_are_those_of_folders():
    cells = [CellSpec("timm--vit", "knn", f"medmnist--pathmnist{end}") for end in ("", "_64")]
    for word, number in (("medmnist/pathmnist", 1), ("medmnist/pathmnist_28", 1), ("medmnist/pathmnist*", 2)):
        assert len(plan_text.chosen(cells, [("model", "timm/vit"), ("dataset", word)])) == number
