from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import huggingface_hub
import pytest

from medbench import cards
from medbench.cards import ModelCard
from medbench.errors import UnreachableError, WeightsError
from medbench.models.weights import locate
from medbench.storage import paths

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several chunks
SHA = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def card(**weights: object) -> ModelCard:
    return ModelCard.model_validate({"name": "far", "arch": "test_vit", "weights": weights})


def part() -> Path:
    return locate.weights_folder() / "weights.pth.part"


def test_a_download_is_kept_and_not_repeated(server: Any) -> None:
    found = locate.locate(card(url=server.url, sha256=SHA))
    assert found == locate.WeightsFile(paths.home() / "weights" / "weights.pth", SHA, "official")
    assert found.path is not None
    assert found.path.read_bytes() == CONTENT
    assert locate.locate(card(url=server.url, sha256=SHA[:8]), download=False) == found
    assert server.asked == [None]
    assert not part().exists()


def test_a_broken_download_goes_on_where_it_stopped(server: Any) -> None:
    server.cut = 3_000_000
    with pytest.raises(WeightsError, match="connection ended after 3,000,000 of 5,120,000"):
        locate.locate(card(url=server.url, sha256=SHA))
    assert part().stat().st_size == 3_000_000
    server.cut = None
    assert locate.locate(card(url=server.url, sha256=SHA)).sha256 == SHA
    assert server.asked == [None, "bytes=3000000-"]


def test_a_download_with_a_wrong_digest_is_not_kept(server: Any) -> None:
    with pytest.raises(WeightsError, match="its sha256 is"):
        locate.locate(card(url=server.url, sha256="0" * 64))
    assert not part().exists()
    assert not (locate.weights_folder() / "weights.pth").exists()


def test_two_that_want_one_file_fetch_it_once(server: Any) -> None:
    found: list[str] = []
    want = card(url=server.url, sha256=SHA)
    threads = [threading.Thread(target=lambda: found.append(locate.locate(want).sha256)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [SHA] * 4
    assert len(server.asked) == 1


def test_an_address_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(WeightsError, match="download failed: Connection refused") as caught:
        locate.locate(card(url="http://127.0.0.1:9/weights.pth", bytes=88_283_115))
    assert f"weights.pth, 88 MB) are not in {locate.weights_folder()};" in caught.value.message
    for way in ("medbench weights download far", "http://127.0.0.1:9/weights.pth", "put it there", "--weights FILE"):
        assert way in caught.value.hint


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/x.pth"])
def test_only_web_addresses_are_fetched(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(WeightsError, match="not a web address"):
        locate.locate(card(url=address))


def test_offline_nothing_is_asked(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        locate.locate(card(url=server.url))
    assert server.asked == []
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE"):
        locate.locate(card(hub={"repo": "o/r", "file": "m.bin", "revision": COMMIT}))


def test_without_leave_nothing_is_asked(server: Any) -> None:
    with pytest.raises(WeightsError, match="are not in"):
        locate.locate(card(url=server.url), download=False)
    assert server.asked == []


def test_a_damaged_official_file_is_told(server: Any) -> None:
    want = card(url=server.url, sha256=SHA)
    locate.place(want).parent.mkdir(parents=True)
    locate.place(want).write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="its sha256 is") as caught:
        locate.locate(want)
    assert "medbench weights download far" in caught.value.hint


def test_a_cards_own_file_lies_beside_the_card(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    own = card(file="mine.pth")
    own._folder = tmp_path
    assert locate.locate(own) == locate.WeightsFile(tmp_path / "mine.pth", SHA, "file")
    wrong = card(file=str(tmp_path / "mine.pth"), sha256="0" * 64)
    with pytest.raises(WeightsError, match="its sha256 is") as caught:
        locate.locate(wrong)
    assert "download" not in caught.value.hint
    (tmp_path / "mine.pth").unlink()
    with pytest.raises(WeightsError, match="are neither at"):
        locate.locate(own)


def test_a_local_file_stands_in_for_an_address(tmp_path: Path, server: Any) -> None:
    both = card(file=str(tmp_path / "mine.pth"), url=server.url, sha256=SHA)
    assert locate.locate(both).origin == "official"
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    assert locate.locate(both) == locate.WeightsFile(tmp_path / "mine.pth", SHA, "file")


def test_a_persons_file_is_official_when_its_digest_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(CONTENT)
    assert locate.locate(card(url="https://x/y.pth", sha256=SHA[:8]), str(path)).origin == "official"
    assert locate.locate(card(url="https://x/y.pth", sha256="0" * 64), str(path)).origin == "file"
    assert locate.locate(card(url="https://x/y.pth"), str(path)).origin == "file"
    with pytest.raises(WeightsError, match="no weights file"):
        locate.locate(card(), str(tmp_path))


def test_random_weights_are_marked() -> None:
    assert locate.locate(card(url="https://x/y.pth"), "random") == locate.RANDOM
    assert locate.locate(ModelCard(name="toy", arch="test_vit")) == locate.RANDOM
    assert locate.WeightsFile(None, "random:0", "random") == locate.RANDOM


def test_a_card_that_names_no_file_says_how_to_get_one() -> None:
    with pytest.raises(WeightsError, match="has no address") as caught:
        locate.locate(card(access="write to its authors"))
    assert caught.value.hint == "write to its authors; then pass it with --weights FILE"


def test_the_hubs_own_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    snapshot = tmp_path / "models--o--r" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "m.bin").write_bytes(CONTENT)
    want = card(hub={"repo": "o/r", "file": "m.bin", "revision": COMMIT}, sha256=SHA)
    assert locate.locate(want, download=False) == locate.WeightsFile(snapshot / "m.bin", SHA, "official")


def test_a_hub_file_may_be_put_in_its_place_by_hand() -> None:
    want = card(hub={"repo": "o/r", "file": "sub/m.bin", "revision": COMMIT})
    assert locate.place(want) == paths.home() / "weights" / "o--r" / "m.bin"
    locate.place(want).parent.mkdir(parents=True)
    locate.place(want).write_bytes(CONTENT)
    assert locate.locate(want).path == locate.place(want)


def test_a_gate_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import GatedRepoError

    def gated(*_: object, **__: object) -> str:
        raise GatedRepoError("403 Client Error.\n\nCannot access gated repo", response=mock.MagicMock())

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", gated)
    monkeypatch.setattr(locate, "reach_hub", lambda: None)
    want = card(hub={"repo": "o/r", "file": "m.bin", "revision": COMMIT}, gated=True, access="fill in the form.")
    with pytest.raises(WeightsError, match="o/r is gated: request access") as caught:
        locate.locate(want)
    assert "It is gated: fill in the form." in caught.value.hint


def test_files_needs_no_torch() -> None:
    code = "import sys, medbench.models.weights.locate as f; f.weights_folder(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_two_files_share_a_place() -> None:
    sources: dict[Path, str] = {}
    for name in cards.names("models"):
        found = cards.find_model(name)
        if found.weights and found.weights.filename:
            source = found.weights.url or str(found.weights.hub)
            assert sources.setdefault(locate.place(found), source) == source, name


def test_a_file_that_was_replaced_meanwhile_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(CONTENT)
    found = locate.locate(card(), str(file))
    locate.require_unchanged(found)
    before = file.stat()
    file.write_bytes(CONTENT[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError, match="was replaced while the command ran"):
        locate.require_unchanged(found)
    locate.require_unchanged(locate.RANDOM)


def test_a_hub_that_cannot_be_reached_is_one_line_after_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("tried again"))
    with pytest.raises(UnreachableError, match="the Hugging Face hub cannot be reached: Connection refused"):
        locate.locate(card(hub={"repo": "o/r", "file": "m.bin", "revision": COMMIT}))


def with_vocabulary(sha256: str | None = None) -> ModelCard:
    source = {"hub": {"repo": "some/tower", "file": "vocab.txt", "revision": "main"}, "sha256": sha256}
    tokenizer = {"kind": "bert", "source": source}
    text = {"library": "transformers", "arch": "bert", "dim": 2, "tokenizer": tokenizer}
    return ModelCard.model_validate({"name": "pair", "arch": "test_vit", "text": text})


def test_a_vocabulary_lies_beside_the_weights_or_in_their_place(tmp_path: Path) -> None:
    weights = locate.WeightsFile(tmp_path / "w.pth", "", "file")
    with pytest.raises(WeightsError, match=r"the vocabulary of pair \(vocab.txt\) is not in") as told:
        locate.locate_vocabulary(with_vocabulary(), weights, download=False)
    assert "or next to the weights file" in told.value.hint
    for folder in (locate.weights_folder() / "some--tower", tmp_path):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.txt").write_bytes(CONTENT)
        found = locate.locate_vocabulary(with_vocabulary(SHA), weights, download=False)
        assert found is not None
        assert (found.path, found.sha256) == (folder / "vocab.txt", SHA)
    with pytest.raises(WeightsError, match="is not the file of the card pair"):
        locate.locate_vocabulary(with_vocabulary("0" * 64), weights, download=False)


def test_clips_vocabulary_comes_with_open_clip() -> None:
    for name in ("clip", "toy-clip", "dinov2"):
        assert locate.locate_vocabulary(cards.find_model(name), locate.RANDOM, download=False) is None
