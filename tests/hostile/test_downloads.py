"""Archives and servers that bring more, or less, than they say."""

from __future__ import annotations

import http.server
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.hostile.conftest import CARD


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def encrypted() -> bytes:
    """A zip file whose member says that it is encrypted, in the list at the end and before the member."""
    made = bytearray(zipped({"a.png": b"a" * 100}))
    made[6] |= 1
    made[made.index(b"PK\x01\x02") + 8] |= 1
    return bytes(made)


def tarred(name: str, size: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = size
        archive.addfile(member, io.BytesIO(bytes(size)))
    return made.getvalue()


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "long name": (lambda: zipped({"n" * 5000: b"a"}), "too long or too deep"),
    "longer than folders take": (lambda: zipped({"ä" * 200: b"a"}), "too long or too deep"),
    "deep": (lambda: zipped({"a/" * 900 + "a": b"a"}), "too long or too deep"),
    "bomb": (lambda: zipped({"a": bytes(3 << 20)}), "it would unpack to more than"),
    "many bombs": (lambda: zipped({str(n): bytes(300_000) for n in range(5)}), "it would unpack to more than"),
    "bomb as tar": (lambda: tarred("a", 3 << 20), "it would unpack to more than"),
    "deep tar": (lambda: tarred("a/" * 900 + "a", 1), "too long or too deep"),
    "name that steers": (lambda: zipped({"\x1b[31mx": b"a"}), r"\u001b[31mx' in it contains a control"),
    "encrypted": (encrypted, "'a.png' is encrypted"),
    "outside": (lambda: zipped({"../../a": b"a"}), "leaves the data folder"),
    "damaged": (lambda: zipped({"a": b"abc" * 99}).replace(b"PK\x03\x04", b"XXXX"), "cannot be unpacked"),
}


def card(place: Path, url: str, more: str = "") -> None:
    files = f"access: {{kind: open, files: [{{name: x.zip, urls: ['{url}'], sha256: null{more}}}]}}\n"
    (place / "own.yaml").write_text(files + CARD)


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(place: Path, refused, server, monkeypatch, case: str) -> None:
    monkeypatch.setattr("medbench.storage.archives.SMALL", 1 << 20)
    make, words = ARCHIVES[case]
    server.content = make()
    card(place, server.url)
    assert words in refused("data", "download", "own.yaml", "--data-root", "root")
    assert {path.name for path in (place / "root").iterdir()} <= {"x.zip"}
    assert not (place.parent / "a").exists()


def test_archives_in_archives_stay_packed_and_are_said(place: Path, medbench, server) -> None:
    server.content = zipped({"inner.zip": zipped({"a": b"a"}), "b.txt": b"b"})
    card(place, server.url)
    done = medbench("data", "download", "own.yaml", "--data-root", "root")
    assert done.status == 0, done.err
    assert "x.zip contains archives, which are not unpacked: inner.zip" in done.err
    assert {path.name for path in (place / "root").iterdir() if path.name[0] != "."} == {"inner.zip", "b.txt"}


def test_a_server_that_sends_more_than_the_card_says(place: Path, refused, server) -> None:
    card(place, server.url, ", bytes: 1000")
    assert "the server sends more than 2,000 bytes" in refused("data", "download", "own.yaml", "--data-root", "root")


@pytest.mark.parametrize(("name", "words"), [("n" * 5000, "too long"), ("\\e[31mx", "contains a control character")])
def test_names_of_files(place: Path, refused, server, name: str, words: str) -> None:
    card(place, server.url)
    (place / "own.yaml").write_text((place / "own.yaml").read_text().replace("x.zip", f'"{name}"'))
    assert words in refused("data", "download", "own.yaml", "--data-root", "root")


@pytest.fixture
def drip(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that sends a byte every fifth of a second and never ends."""
    stop = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            try:
                while not stop.wait(0.1):
                    self.wfile.write(b"x")
            except OSError:
                return

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}/x.zip"
        stop.set()
        running.shutdown()
        thread.join()


def test_a_server_that_sends_a_byte_now_and_then(place: Path, refused, drip: str, monkeypatch) -> None:
    monkeypatch.setattr("medbench.storage.fetch.WINDOW", 0.3)
    card(place, drip)
    since = time.monotonic()
    assert "the server sent only" in refused("data", "download", "own.yaml", "--data-root", "root")
    assert time.monotonic() - since < 5
