"""Downloads that resume, from a server on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medbench.errors import MedbenchError, OutputError
from medbench.storage.fetch import FetchError, ask_hub, fetch_part, reach


def test_the_complete_part_file_is_returned(server: Any, tmp_path: Path) -> None:
    part = fetch_part(server.url, tmp_path / "deep" / "w.pth")
    assert part == tmp_path / "deep" / "w.pth.part"
    assert part.read_bytes() == server.content
    assert not (tmp_path / "deep" / "w.pth").exists(), "the caller checks the digest, then renames"


def test_a_broken_download_resumes(server: Any, tmp_path: Path) -> None:
    server.cut = 3_000_000
    with pytest.raises(FetchError, match="ended after 3,000,000 of 5,120,000 bytes; rerun the command to resume"):
        fetch_part(server.url, tmp_path / "w.pth")
    assert (tmp_path / "w.pth.part").stat().st_size == 3_000_000
    server.cut = None
    assert fetch_part(server.url, tmp_path / "w.pth").read_bytes() == server.content
    assert server.asked == [None, "bytes=3000000-"]


def test_a_server_that_cannot_resume_sends_the_complete_file(server: Any, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "w.pth.part").write_bytes(b"x" * 1000)
    assert fetch_part(server.url, tmp_path / "w.pth").read_bytes() == server.content


def test_a_complete_part_file_is_not_fetched_again(server: Any, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").write_bytes(server.content)
    assert fetch_part(server.url, tmp_path / "w.pth").read_bytes() == server.content
    assert server.asked == [f"bytes={len(server.content)}-"]


def test_a_part_file_longer_than_the_file_is_replaced(server: Any, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").write_bytes(server.content + b"more")
    assert fetch_part(server.url, tmp_path / "w.pth").read_bytes() == server.content


def test_an_address_where_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(FetchError, match="Connection refused"):
        fetch_part("http://127.0.0.1:9/w.pth", tmp_path / "w.pth")


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/w.pth", "w.pth"])
def test_only_web_addresses_are_fetched(address: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="not a web address"):
        fetch_part(address, tmp_path / "w.pth")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        fetch_part(server.url, tmp_path / "file" / "w.pth")
    assert server.asked == []


def test_a_server_that_answers_is_reached_and_another_is_tried_once(server: Any) -> None:
    reach(server.url)  # it knows no HEAD and says so
    with pytest.raises(FetchError, match="refused"):
        reach("http://127.0.0.1:9/")


def test_a_hub_that_breaks_off_is_like_none(hub: Any) -> None:
    from huggingface_hub.errors import HTTPError

    def ask() -> str:
        raise HTTPError("Server disconnected")

    assert ask_hub(ask, "lab/eye", "", held=lambda: "kept") == "kept"
    with pytest.raises(MedbenchError, match="lab/eye: the Hugging Face hub cannot be reached: Server disc") as caught:
        ask_hub(ask, "lab/eye", "check the name")
    assert caught.value.hint == "check the network, then try again"


@pytest.mark.parametrize("name", ["", "..", "a b", "../..", "a/b/c"])
def test_names_are_checked_without_the_hub(hub: Any, name: str) -> None:
    with pytest.raises(MedbenchError, match="on the Hugging Face hub: Repo id must") as caught:
        ask_hub(lambda: "", name, "check the name")
    assert caught.value.hint == "check the name"
    assert hub.asked == []
