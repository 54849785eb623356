"""RetFiner as a protocol: whole runs, what they keep, `MODEL@retfiner` on other data, and pairs that are refused.

The losses are tested in `training/retfiner/test_network.py`, the steps in `training/retfiner/test_refining.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import normalize

import medbench
from medbench import cards
from medbench.api import RunFailedError
from medbench.errors import MedbenchError
from medbench.models.load import load_model
from medbench.models.text import load_text
from medbench.records import store
from medbench.training.retfiner.refining import CURVE, Refining

from ..forked import failure, ranks

TINY = {
    "epochs": 1, "batch_size": 8, "bert_width": 16, "bert_heads": 2, "joint_width": 8, "max_tokens": 12, "dropout": 0.0,
    "drop_path": None,
}  # fmt: skip
WIDTHS = ("narrow", "medium", "broad")

pytestmark = pytest.mark.usefixtures("one_thread")


def write(folder: Path, texts: list[str] | None = None, n: int = 24, bands: int = 1) -> Path:
    """Draw n images of stripes of three widths, two of each patient, and a table with a report of each."""
    source = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    texts = texts or [f"The stripes are {WIDTHS[i % 3]}; image {i}." for i in range(n)]
    rows = ["image,text,patient"]
    for i, text in enumerate(texts):
        wave = np.sin(np.arange(40) * (0.3 + 0.35 * (i % 3)) + source.uniform(0, 6))
        grey = 128 + 60 * wave[None, :, None] + source.normal(scale=20, size=(40, 40, bands))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8).squeeze()).save(folder / f"{i:02d}.png")
        rows.append(f'{i:02d}.png,"{text}",p{i // 2}')
    (folder / "reports.csv").write_text("\n".join(rows) + "\n")
    return folder / "reports.csv"


def run(data: Path, model: str = "toy-vit", **changes: Any) -> medbench.Record:
    (record,) = medbench.run(model=model, protocol="retfiner", dataset=str(data), set={**TINY, **changes})
    return record


def labelled(data: Path) -> Path:
    """Write the same images' table of classes."""
    found = data.with_name("labels.csv")
    found.write_text("image,label\n" + "".join(f"{i:02d}.png,{WIDTHS[i % 3]}\n" for i in range(24)))
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "pairs")


def test_a_refined_encoder_is_read_by_every_protocol(data: Path) -> None:
    record = run(data)
    kept = load_file(record.path / "weights.safetensors")
    refined = load_model("toy-vit@retfiner")
    own = refined.network.state_dict()
    assert {name.removeprefix("vision_encoder.") for name in kept if name.startswith("vision_encoder.")} == set(own)
    assert all(torch.equal(kept[f"vision_encoder.{name}"], value) for name, value in own.items())
    kernel = "patch_embed.proj.weight"
    assert not torch.equal(own[kernel], load_model("toy-vit").network.state_dict()[kernel])
    assert own[kernel].shape[1] == 3, "grey images become three equal channels"
    (scored,) = medbench.run(model="toy-vit@retfiner", protocol="knn", dataset=str(labelled(data)), set={"k": 5})
    assert scored.unit.model == "toy-vit@retfiner"
    assert scored.material["weights"] == cards.find_model("toy-vit@retfiner").weights.sha256
    assert cards.find_model("toy-vit@retfiner").pretraining.data == ["pairs-reports"]
    made = cards.find_model(str(record.path / "toy-vit-retfiner.yaml"))
    assert made.text is not None
    assert (made.input.fit, made.input.crop, made.input.interpolation) == ("squash", 1.0, "bicubic"), (
        "as it was trained"
    )
    assert cards.expand("models", ["toy-vit@retfiner@flair-pretrain"]) == ["toy-vit@retfiner@flair-pretrain"]
    history = pd.read_csv(record.path / "history.csv")
    assert list(history.columns) == ["epoch", *CURVE]
    assert set(record.metrics) == {"itc_recall", "itc_recall_chance", "itm_accuracy", "val_loss"}
    assert any("started from random weights" in warning for warning in record.warnings)


@pytest.mark.parametrize("model", ["toy-vit", "toy-cnn"])
def test_zero_shot_compares_what_the_contrast_has_aligned(
    data: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Refining] = []
    plain = Refining.run

    def caught(self: Refining, resume: Path) -> str:
        found.append(self)
        return plain(self, resume)

    monkeypatch.setattr(Refining, "run", caught)
    run(data, model, max_tokens=9)
    made, texts = found[0], ["The stripes are broad; image 3.", "narrow stripes"]
    refiner = made.refiner.eval()
    tower = load_text(f"{model}@retfiner")
    with torch.inference_mode():
        vectors = normalize(tower.embed(texts), dim=1)
        torch.testing.assert_close(vectors, refiner.embed_texts(tower.tokenize(texts).ids))
        images = made.data.prepare(made.data.val[[0, 1]])
        card = cards.find_model(f"{model}@retfiner").resolved(pooled="projected")
        pooled = normalize(load_model(card).pooled(images), dim=1)
        torch.testing.assert_close(pooled, refiner.embed_images(refiner.look(images)))
    assert tower.card.text is not None
    assert tower.card.text.scale == pytest.approx(1 / 0.07)
    (record,) = medbench.run(model=f"{model}@retfiner", protocol="zero-shot", dataset=str(labelled(data)))
    assert record.provenance["language"]["scale"] is None
    assert len(pd.read_parquet(record.path / "predictions.parquet"))


def test_a_model_must_be_made_first_and_be_the_only_one(data: Path) -> None:
    with pytest.raises(MedbenchError, match=r"there is no finished run of toy-vit@retfiner") as caught:
        medbench.run(model="toy-vit@retfiner", protocol="knn", dataset="toy")
    assert "--protocol retfiner" in str(caught.value.hint)
    one, two = run(data), run(data, temperature=0.1)
    with pytest.raises(MedbenchError, match="there are 2 finished runs of toy-vit@retfiner") as caught:
        cards.find_model("toy-vit@retfiner")
    assert str(one.path) in str(caught.value.hint)
    assert str(two.path) in str(caught.value.hint)


def test_two_processes_have_the_losses_of_one(data: Path, tmp_path: Path) -> None:
    changes = {"equal_text": "ignore", "batch_size": 7}
    one = run(data, **changes)
    program = (
        "import medbench\n"
        f"medbench.run(model='toy-vit', protocol='retfiner', dataset={str(data)!r}, set={ {**TINY, **changes}!r},"
        f" runs={str(tmp_path / 'two')!r})\n"
    )
    assert [failure(rank) for rank in ranks(program)] == ["", ""]
    (two,) = store.read_all(tmp_path / "two")
    assert two.key == one.key
    first, second = (pd.read_csv(record.path / "history.csv").to_numpy() for record in (one, two))
    np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([f"Image {i}" if i else " " for i in range(24)], "neither a text nor a category"),
        ([f"Image {i}" if i else "NaN" for i in range(24)], "missing value"),
        (["All the same."] * 24, "all 24 rows have the same text"),
        (["One.", "Two."], "train has 1 pair"),
    ],
)
def test_pairs_that_do_not_do_are_a_mistake_with_a_way_out(tmp_path: Path, texts: list[str], message: str) -> None:
    with pytest.raises((MedbenchError, RunFailedError), match=message) as caught:
        run(write(tmp_path / "pairs", texts))
    assert caught.value.hint


def test_reports_equal_up_to_what_is_read_are_told(tmp_path: Path) -> None:
    texts = [f"{'stripes ' * 14} {WIDTHS[i % 3]}" for i in range(24)]
    with pytest.raises((MedbenchError, RunFailedError), match="equal"):
        run(write(tmp_path / "pairs", texts))


def test_without_a_loss_nothing_is_trained(data: Path) -> None:
    with pytest.raises(MedbenchError, match="all are 0, so there is nothing to train"):
        run(data, mlm=0, gm=0, itc=0, itm=0)


def test_a_batch_of_one_is_refused(data: Path) -> None:
    with pytest.raises(MedbenchError, match="batch_size"):
        run(data, batch_size=1)


def test_the_key_holds_the_reports_and_a_finished_run_is_not_done_again(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(data)
    with monkeypatch.context() as patch:
        patch.setattr(Refining, "run", None)
        assert run(data).key == first.key
    data.write_text(data.read_text().replace("image 3.", "picture 3."))
    assert run(data).key != first.key
