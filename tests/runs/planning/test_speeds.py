"""Images per second of models that have not run: measured once, kept, and used by the next estimate."""

from __future__ import annotations

import pytest

from medbench import cards
from medbench.papers.cells import CellSpec
from medbench.runs.estimate import estimate
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.runs.planning import speeds
from medbench.runs.planning.absent import absent
from medbench.storage import paths

SPEED = ("toy-vit", "features", 64, "fp32")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "SECONDS", 0.01)


def test_a_measurement_gives_hours_to_this_estimate_and_to_the_next(capsys) -> None:
    plan = make_plan("toy-vit", "knn,linear-unfrozen,lora", "toy", Options())
    assert estimate(plan, ()).hours is None
    cost = estimate(plan, (), calibrate=True)
    assert cost.hours is not None
    assert cost.unknown == ()
    assert all(text.endswith("(calibrated)") for text in cost.basis)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(list((paths.home() / "speeds").iterdir())) == 2, "both trainings have the same steps"
    assert all("random weights and images" in line for line in said)
    again = estimate(plan, (), calibrate=True)
    assert again == cost
    assert capsys.readouterr().err == "", "nothing is measured twice"
    assert estimate(plan, ()).hours == cost.hours


def test_a_model_without_its_weights_is_measured_and_nothing_is_fetched(monkeypatch) -> None:
    def fetch(*_: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("medbench.models.weights.locate.fetch", fetch)
    small = cards.find_model("resnet18")
    cells = [CellSpec("resnet18", "knn", "aptos")]
    found = absent(cells, (), Options(image_size=32), calibrate=True)
    assert found.cost.hours is not None
    assert [one.what for one in found.downloads] == ["weights of resnet18", "data set aptos"]
    assert speeds.stored(small.resolved(), ("resnet18", "features", 32, "fp32"), found.cost.device)


def test_a_network_that_cannot_be_built_is_left_out_with_the_reason(capsys) -> None:
    card = cards.find_model("toy-vit").model_copy(update={"arch": "no_such_network"})
    speeds.calibrate([(card, SPEED)], "cpu", "cpu")
    assert "not measured: " in capsys.readouterr().err
    assert speeds.stored(card, SPEED, "cpu") is None


def test_a_speed_is_that_of_one_card_size_precision_and_device() -> None:
    card = cards.find_model("toy-vit").resolved()
    speeds.calibrate([(card, SPEED)], "cpu", "cpu")
    assert speeds.stored(card, SPEED, "cpu") > 0
    assert speeds.stored(card, SPEED, "another") is None
    assert speeds.stored(card, ("toy-vit", "features", 32, "fp32"), "cpu") is None
    assert speeds.stored(card, ("toy-vit", "lora", 64, "fp32"), "cpu") is None
    (file,) = (paths.home() / "speeds").iterdir()
    for text in ("{", "3", '{"images_per_second": 0}', '{"images_per_second": NaN}', '{"images_per_second": 1e999}'):
        file.write_text(text)
        assert speeds.stored(card, SPEED, "cpu") is None, "a damaged file is none"
    speeds.calibrate([(card, SPEED)], "cpu", "cpu")
    assert speeds.stored(card, SPEED, "cpu") > 0, "and is measured again"


def test_a_batch_that_does_not_fit_into_memory_is_halved() -> None:
    import torch

    asked: list[int] = []

    def step(number: int) -> None:
        asked.append(number)
        if number > 3:
            raise torch.cuda.OutOfMemoryError("too large")

    assert speeds._rate(step, 16) > 0
    assert asked[2:6] == [16, 8, 4, 2]
    with pytest.raises(torch.cuda.OutOfMemoryError):
        speeds._fitting(lambda _: step(100), 1)
