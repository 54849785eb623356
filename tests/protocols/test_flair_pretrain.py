"""flair-pretrain as a protocol: whole runs, what they keep, `MODEL@flair-pretrain` on other data, what is refused.

The steps are tested in `training/alignment/test_training.py`, FLAIR's own numbers in `test_golden.py` beside it.
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
from medbench.cards.recipes import RetFiner
from medbench.errors import MedbenchError
from medbench.models.load import load_model
from medbench.models.text import load_text
from medbench.models.text.bert import BertSource
from medbench.protocols.flair_pretrain import NEIGHBOURS, ZERO_SHOT, recall
from medbench.records import store
from medbench.training.alignment.training import CURVE

from ..forked import failure, ranks

TINY = {
    "epochs": 1, "batch_size": 8, "image_size": 32, "dim": 16, "bert_width": 16, "bert_heads": 2, "max_tokens": 24,
    "dropout": 0.0, "k": 3, "caption": "A [ATR] drawing of [CLS]",
}  # fmt: skip
NAMES = ("broad stripes", "middle stripes", "narrow stripes")

pytestmark = pytest.mark.usefixtures("one_thread")


def write(folder: Path, categories: list[str] | None = None, n: int = 30, bands: int = 3) -> Path:
    """Draw n images of stripes of three widths, and a table that names the width of each."""
    source = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    named = categories or [NAMES[i % 3] for i in range(n)]
    rows = ["image,categories,attributes,dataset,patient"]
    for i, name in enumerate(named):
        wave = np.sin(np.arange(40) * (0.3 + 0.35 * (i % 3)) + source.uniform(0, 6))
        grey = 128 + 60 * wave[None, :, None] + source.normal(scale=20, size=(40, 40, bands))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8).squeeze()).save(folder / f"{i:02d}.png")
        rows.append(f"{i:02d}.png,{name},{'noisy' if i % 2 else ''},{'ab'[i % 2]},p{i // 2}")
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    return folder / "pairs.csv"


def run(data: Path, model: str = "toy-vit", preset: str = "fixed", **changes: Any) -> medbench.Record:
    (record,) = medbench.run(
        model=model, protocol="flair-pretrain", dataset=str(data), preset=preset, set={**TINY, **changes}
    )
    return record


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "pairs")


def test_both_towers_are_kept_and_every_protocol_reads_them(data: Path) -> None:
    record = run(data)
    kept = load_file(record.path / "weights.safetensors")
    model = load_model("toy-vit@flair-pretrain")
    own = model.network.state_dict()
    start = "vision_model.model."
    assert {name.removeprefix(start) for name in kept if name.startswith(start)} == set(own)
    assert all(torch.equal(kept[start + name], value) for name, value in own.items())
    card = cards.find_model("toy-vit@flair-pretrain")
    assert card.pretraining.data == ["a", "b", "pairs-pairs"]
    assert (card.input.size, card.input.fit, card.input.mean) == (32, "canvas", [0.0] * 3)
    projected, tower = load_model(card.resolved(pooled="projected")), load_text("toy-vit@flair-pretrain")
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        mapped = normalize(model.pooled(image), dim=1) @ kept["vision_model.projection_head_vision.projection.weight"].T
        torch.testing.assert_close(projected.pooled(image), normalize(mapped, dim=1))
        assert tower.embed(["A drawing of broad stripes"]).norm() == pytest.approx(1, abs=1e-5)
    assert tower.logit_scale == pytest.approx(float(kept["logit_scale"].exp()))
    records = medbench.run(model="toy-vit@flair-pretrain", protocol="zero-shot,knn", dataset="toy", set={"k": 5})
    assert [one.unit.protocol for one in records] == ["zero-shot", "knn"]
    texts = records[0].provenance["language"]["sets"]["names"]["texts"]
    assert list(texts[0]) == ["A drawing of none"]
    history = pd.read_csv(record.path / "history.csv")
    assert set(history.columns) == {"epoch", *CURVE, ZERO_SHOT, NEIGHBOURS}
    assert record.metric == ZERO_SHOT
    assert 0 <= record.metrics[NEIGHBOURS] <= 1


def test_the_written_texts_and_files_are_part_of_the_key(data: Path, tmp_path: Path) -> None:
    first = run(data)
    assert first.material["protocol"]["dictionary_sha256"]
    other = tmp_path / "own.yaml"
    other.write_text("name: own\nappend_name: true\nprompts:\n  broad stripes: [a few lines]\n")
    assert run(data, dictionary=str(other)).key != first.key
    assert run(data, caption="A drawing of [CLS]").key != first.key


def test_two_processes_have_the_losses_of_one(data: Path, tmp_path: Path) -> None:
    changes = {**TINY, "batch_size": 7, "epochs": 2, "probe_epochs": 1}
    one = run(data, **changes)
    program = (
        "import medbench\n"
        f"medbench.run(model='toy-vit', protocol='flair-pretrain', dataset={str(data)!r}, set={changes!r},"
        f" preset='fixed', runs={str(tmp_path / 'two')!r})\n"
    )
    assert [failure(rank) for rank in ranks(program)] == ["", ""]
    (two,) = store.read_all(tmp_path / "two")
    assert two.key == one.key
    first, second = (pd.read_csv(record.path / "history.csv") for record in (one, two))
    for name in CURVE:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-5)


def test_a_given_bert_is_read_and_its_digest_is_part_of_the_key(data: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    folder = tmp_path / "bert"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "drawing", "of", "broad", "middle", "stripes"]
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    # a learning rate near 0: the kept weights are those that were read
    record = run(data, bert=str(folder), learning_rate=1e-12, weight_decay=0)
    kept, given = load_file(record.path / "weights.safetensors"), load_file(folder / "model.safetensors")
    name = "encoder.layer.1.attention.self.query.weight"
    torch.testing.assert_close(kept[f"text_model.model.{name}"], given[name])
    assert (record.path / "vocab.txt").read_text() == (folder / "vocab.txt").read_text()
    assert len(record.material["protocol"]["bert_sha256"]) == 64
    with pytest.raises(MedbenchError, match="digest"):
        run(data, bert=str(folder), bert_sha256="0" * 64)
    with pytest.raises(MedbenchError, match=r"max_tokens is 600, but the BERT in .* reads 512"):
        BertSource.of(RetFiner(bert=str(folder), max_tokens=600), [])
    (folder / "vocab.txt").write_bytes("\r\n".join(words).encode())
    assert BertSource.of(RetFiner(bert=str(folder)), []).tokens == words
    (folder / "vocab.txt").write_text("\n".join(words[:4] + words[5:]) + "\n")
    with pytest.raises(MedbenchError, match=r"vocab.txt has no token \[MASK\]"):
        BertSource.of(RetFiner(bert=str(folder)), [])
    (folder / "vocab.txt").write_text("\n".join([*words, "more"]) + "\n")
    with pytest.raises(MedbenchError, match="has 12 tokens, but the BERT has embeddings of 11"):
        BertSource.of(RetFiner(bert=str(folder)), [])
    (folder / "vocab.txt").unlink()
    with pytest.raises(MedbenchError, match=r"has no vocab\.txt"):
        run(data, bert=str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1}, "batch_size"),
        ({"categories": ["one"] * 30}, "all 30 rows have the category 'one'"),
        ({"bands": 1}, "the images have one channel"),
        ({"dictionary": "no-such"}, "unknown"),
        ({"caption": "a drawing"}, "must contain .CLS. once, in place of the category"),
        ({"caption": "[CLS], [CLS]"}, "must contain .CLS. once, in place of the category"),
        ({"bert_width": 16, "bert_heads": 3}, "16 is not a multiple of bert_heads, 3"),
        ({"bert_layers": 1}, "bert_layers"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    drawn = {name: changes.pop(name) for name in ("categories", "bands") if name in changes}
    with pytest.raises(MedbenchError, match=message) as caught:
        run(write(tmp_path / "pairs", **drawn), **changes)
    assert caught.value.hint
    assert "\n" not in str(caught.value.message)


def test_grey_images_can_be_asked_for(tmp_path: Path) -> None:
    run(write(tmp_path / "pairs", bands=1), colour=False)
    assert load_model("toy-vit@flair-pretrain", in_chans=1).in_chans == 1


def test_one_category_beside_texts_has_no_recall(tmp_path: Path) -> None:
    data = write(tmp_path / "pairs")
    images = [line.split(",")[0] for line in data.read_text().splitlines()[1:]]
    rows = [f"{image},{'broad stripes,' if i % 2 else f',picture {i}'}" for i, image in enumerate(images)]
    data.write_text("\n".join(["image,categories,text", *rows]) + "\n")
    record = run(data)
    assert np.isnan(record.metrics[ZERO_SHOT])
    assert np.isnan(record.metrics[NEIGHBOURS])


def test_a_recall_is_the_mean_over_categories() -> None:
    truth = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    scores = np.array([[3, 1, 0], [0, 1, 3], [0, 2, 1], [2, 1, 0]], float)
    # right: images 0 and 2; of the first category 2 of 3, of the second 1 of 2, the third has no image
    assert recall(scores, truth) == pytest.approx((2 / 3 + 1 / 2) / 2)
