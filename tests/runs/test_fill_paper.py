"""A paper of toy cells: what is planned, what is run, what is left, and why."""

from __future__ import annotations

import dataclasses
import json

import pytest

from medbench import cards
from medbench.api import carry_out
from medbench.cli import main
from medbench.errors import MedbenchError
from medbench.papers.cells import CellSpec, wanted_of
from medbench.papers.matching import RecordIndex, seeds_there
from medbench.records import store
from medbench.report.tables import lookup
from medbench.runs.fill_paper import adapted, plan_filling
from medbench.runs.jobs import Options

from .conftest import planned


def names(cells) -> list[str]:
    return sorted(one.name for one in cells)


def test_one_cell_that_cannot_be_run_does_not_stop_the_others(root):
    filling = planned(root, "t1")
    assert names(filling.todo) == ["tiny · near · stripes", "tiny · quick · stripes"]
    reasons = {one.name: error.message for one, error in filling.blocked}
    assert "not in this version of medbench: protocol later" in reasons["tiny · later · stripes"]
    assert f"the label file {root / 'labels.csv'} does not exist" in reasons["tiny · quick · elsewhere"]
    assert "weights of away are neither at" in reasons["away · quick · stripes"]
    assert len(filling.blocked) == 6
    assert [(job.name, len(job.units)) for job in filling.plan.jobs] == [
        ("tiny · quick · stripes", 2),
        ("tiny · near · stripes", 1),
    ]


def test_a_filled_table_is_there_and_nothing_is_run_again(root, isolated):
    filling = planned(root)
    result = carry_out(filling.plan)
    assert (result.made, result.mistakes, result.failures) == (6, [], [])  # 2 + 2 (other size) + 1 + 1 (k = 3)
    runs = Options().runs
    made = lookup.table("mini/t1", runs)
    assert [[cell.n for cell in row.cells] for row in made.rows] == [[2, 0], [1, 0], [0, 0], [0, 0]]
    assert not any("fewer than" in note for note in lookup.table("mini/t2", runs).notes)
    assert lookup.table("mini/t2", runs).rows[0].cells[0].gain is not None
    again = planned(root, records=store.read_all(runs))
    assert names(again.there) == names(filling.todo)
    assert again.plan.jobs == []
    more = planned(root, "t1", records=store.read_all(runs), overwrite="always")
    assert names(more.todo) == ["tiny · near · stripes", "tiny · quick · stripes"]


def test_records_made_elsewhere_count_without_the_data(root, isolated):
    carry_out(planned(root, "t1").plan)
    away = plan_filling(wanted_of(cards.find_paper("mini"), ["t1"]), store.read_all(Options().runs), Options())
    assert names(away.there) == ["tiny · near · stripes", "tiny · quick · stripes"]
    assert away.plan.jobs == []


def test_random_weights_never_fill_a_cell(root, isolated):
    trial = planned(root, "t1", weights="random")
    assert names(trial.todo) == ["away · quick · stripes", "tiny · near · stripes", "tiny · quick · stripes"]
    assert {job.origin for job in trial.plan.jobs} == {"random"}
    carry_out(trial.plan)
    after = planned(root, "t1", records=store.read_all(Options().runs))
    assert after.there == []
    assert names(after.todo) == ["tiny · near · stripes", "tiny · quick · stripes"]
    made = lookup.table("mini/t1", include_random=True)
    assert "†" in made.rows[0].cells[0].mark


def test_seeds_preset_and_settings_of_a_person(root):
    wanted = wanted_of(cards.find_paper("mini"), ["t1"])
    options = Options(data_root=root, changes={"epochs": 2, "k": 7})
    changed = {one.name: one for one in adapted(wanted, options, seeds=[4, 6, 8], preset="fixed")}
    assert changed["tiny · quick · stripes, epochs=2"].seeds == 3
    assert changed["tiny · near · stripes, k=7"].preset == "fixed"
    filling = plan_filling(list(changed.values()), (), options, [4, 6, 8])
    jobs = {job.protocol.name: job for job in filling.plan.jobs}
    assert jobs["quick"].seeds == (4, 6, 8)
    assert (jobs["quick"].settings.epochs, jobs["near"].settings.k) == (2, 7)
    assert jobs["quick"].units[0][0].options == {"epochs": 2}
    assert jobs["quick"].options.preset == "fixed"
    with pytest.raises(MedbenchError, match="a paper has many models"):
        plan_filling(wanted, (), dataclasses.replace(options, weights="w.pth"))
    odd = Options(data_root=root, changes={"epohcs": 2})
    reasons = [error.message for _, error in plan_filling(adapted(wanted, odd), (), odd).blocked]
    assert sum("unknown field 'epohcs'" in reason for reason in reasons) == 6, "a slip is told, not passed over"


def test_another_split_is_not_the_papers(root, isolated):
    one = CellSpec("tiny", "near", "stripes", split="official-one", seeds=1)
    carry_out(planned(root, "f1").plan)
    found = RecordIndex(store.read_all(Options().runs))
    assert seeds_there(found, dataclasses.replace(one, split=None)) == 1
    assert seeds_there(found, one) == 0
    (blocked,) = plan_filling([one], store.read_all(Options().runs), Options(data_root=root)).blocked
    assert "has no split 'official-one'" in blocked[1].message, "it is asked for by name"


def test_what_a_unit_needs_is_planned_before_it_and_once(root):
    cells = [
        CellSpec("tiny", "cka-models", "stripes", seeds=1),
        CellSpec("tiny", "linear-unfrozen", "stripes", seeds=5),
        CellSpec("tiny", "cka", "stripes", seeds=1, set={"tuned": "linear-unfrozen"}),
    ]
    jobs = plan_filling(cells, (), Options(data_root=root)).plan.jobs
    assert sorted(job.protocol.name for job in jobs) == ["cka", "cka-models", "linear-unfrozen"]
    assert jobs[0].protocol.name == "linear-unfrozen"
    assert jobs[0].keep == (0,), "its weights stay for those that need them"


def test_a_sweep_is_one_job_a_depth_without_its_ends(root):
    cell = CellSpec("toy-vit", "freeze", "stripes", sweep=("frozen", 4), seeds=1)
    assert [part.set for part in cell.parts()] == [{"frozen": 1}, {"frozen": 2}, {"frozen": 3}]
    jobs = plan_filling([cell], (), Options(data_root=root)).plan.jobs
    assert [(job.protocol.name, job.settings.frozen) for job in jobs] == [("freeze", 1), ("freeze", 2), ("freeze", 3)]
    assert seeds_there(RecordIndex([]), cell) == 0


def run(capsys, *words) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main([str(word) for word in words])
    return status, *capsys.readouterr()


def test_fill_on_the_command_line(root, isolated, capsys):
    how = ("--data-root", root, "--device", "cpu", "--seeds", "2")
    status, out, err = run(capsys, "table", "mini/t1", "--fill", "--dry-run", *how)
    assert (status, err) == (0, "")
    assert out.startswith("0 cells done, 2 to run, 6 cannot run now\n")
    assert "tiny · quick · stripes [paper, 32 px, fp32]" in out
    assert "2 jobs, 3 units, 0 done, 3 to do" in out
    assert "time: unknown, because nothing like it has run on this device yet" in out
    assert "not in this version of medbench: protocol later" in out
    assert not list(Options().runs.rglob("record.json"))
    status, out, err = run(capsys, "table", "mini/t1", "--fill", "--format", "csv", *how)
    assert status == 0
    assert out.splitlines()[0].startswith("Model,Protocol,model,protocol,stripes_recall_macro_mean")
    assert len(out.splitlines()) == 5, "nothing but the table"
    assert "2 to run" in err
    status, out, _ = run(capsys, "table", "mini/t1", "--fill", "--dry-run", *how)
    assert out.startswith("2 cells done, 0 to run, 6 cannot run now\n")
    status, out, _ = run(capsys, "run", "--paper", "mini", "--dry-run", *how)
    assert "2 cells done, 2 to run" in out
    assert "images/s measured on cpu" in out
    assert "not included, because not measured on this device yet: tiny features at 40 px" in out


def test_a_whole_paper_on_the_command_line(root, isolated, capsys):
    how = ("--data-root", root, "--device", "cpu", "--seeds", "1", "--quiet")
    status, out, err = run(capsys, "run", "--paper", "mini", "--model", "tiny", "--protocol", "n*", "--json", *how)
    assert status == 0
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["unit"]["options"] for record in records] == [{}, {"k": 3}]
    assert "1 cannot run now" in err
    status, out, _ = run(capsys, "run", "--paper", "mini", "--dry-run", *how)
    assert out.startswith("2 cells done, 2 to run, 6 cannot")
    status, out, _ = run(capsys, "run", "--paper", "mini", "--dry-run", "--json", *how)
    plan = json.loads(out)
    assert (plan["cells_done"], len(plan["blocked"]), plan["todo"]) == (2, 6, 2)
    assert sum(not unit["done"] for job in plan["jobs"] for unit in job["units"]) == 2
    assert all(one["cell"] and one["error"] for one in plan["blocked"])
    assert plan["forwards"] == plan["estimate"]["forwards"] > 0
    waiting = plan["waiting"]
    assert (waiting["units"], waiting["data_sets_not_counted"]) == (0, ["elsewhere", "stripes"]), "no card tells"
    assert [one["what"] for one in waiting["downloads"]] == ["weights of away", "data set elsewhere"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--model", "tiny"), "error: --protocol is missing"),
        (("run", "--paper", "mimi"), "error: unknown paper 'mimi'"),
        (("run", "--paper", "mini", "--model", "tini"), "error: unknown model of this paper 'tini'"),
        (("run", "--paper", "mini", "--image-size", "64"), "error: --image-size 64 and --paper cannot be combined"),
        (("run", "--paper", "mini", "--test-on", "toy"), "error: --test-on and --paper cannot be combined"),
        (
            ("run", "--paper", "mini", "--weights", "w.pth"),
            "error: --weights w.pth is one file, but a paper has many models",
        ),
        (("run", "--paper", "mini", "--seeds", "x"), "error: --seeds x: not a number, and not a list of numbers"),
        (("table", "mini/t1", "--dry-run"), "error: --dry-run has no effect without --fill"),
        (("table", "--fill"), "error: --fill needs the name of a table"),
        (("table", "dataset/stripes", "--fill"), "error: --fill: dataset/stripes shows all finished runs"),
        (("table", "mini/t9", "--fill"), "error: unknown table 'mini/t9'"),
        (("table", "mimi/t1", "--fill"), "error: unknown paper 'mimi'"),
        (("table", "mini/t1", "--fill", "--format", "pdf"), "error: unknown format 'pdf'"),
    ],
)
def test_mistakes_on_the_command_line(root, isolated, capsys, words, said):
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith(said)
    assert len(err.splitlines()) == 2
    assert not list(Options().runs.rglob("record.json"))
