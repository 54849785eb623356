"""A BERT with language head and cross-attention from the files of its authors; transformers itself is the reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForPreTraining

from medbench.errors import WeightsError
from medbench.models.text.bert import build_reader
from medbench.models.weights.bert_files import BertFiles

TINY = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
        "max_position_embeddings": 12}  # fmt: skip


@pytest.fixture
def theirs() -> BertForPreTraining:
    network = BertForPreTraining(BertConfig(**TINY))
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return network.eval()


@pytest.fixture
def folder(tmp_path: Path, theirs: BertForPreTraining) -> Path:
    """A BERT as its authors publish it, with the names that norms had in 2018."""
    (tmp_path / "vocab.txt").write_text("".join(f"word{i}\n" for i in range(30)))
    (tmp_path / "config.json").write_text(json.dumps(theirs.config.to_dict()))
    state = {name: value for name, value in theirs.state_dict().items() if "decoder" not in name}
    for new, old in {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}.items():
        state = {name.replace(new, old): value for name, value in state.items()}
    save_file(state, tmp_path / "model.safetensors")
    return tmp_path


def test_its_weights_are_all_there_and_cross_attention_is_drawn(folder: Path, theirs: BertForPreTraining) -> None:
    files = BertFiles.find(folder)
    ours = build_reader(files.arguments(), files, 0.0, "test").eval()
    drawn = build_reader(files.arguments(), None, 0.0, "test")
    place = "bert.encoder.layer.0.crossattention.self.key.weight"
    assert torch.equal(ours.state_dict()[place], drawn.state_dict()[place])
    assert 0.01 < float(ours.state_dict()[place].std()) < 0.03, "N(0, .02)"
    ids, mask = torch.tensor([[2, 6, 7, 3]]), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    found = ours.cls(ours.bert(ids, mask, use_cache=False).last_hidden_state)
    torch.testing.assert_close(found, theirs(ids).prediction_logits)


def test_a_file_of_another_bert_is_refused(folder: Path) -> None:
    files = BertFiles.find(folder)
    with pytest.raises(WeightsError, match=r"no tensor bert\.encoder\.layer\.2"):
        build_reader({**files.arguments(), "num_hidden_layers": 3}, files, 0.0, "test")
    with pytest.raises(WeightsError, match="another shape"):
        build_reader({**files.arguments(), "intermediate_size": 8}, files, 0.0, "test")
