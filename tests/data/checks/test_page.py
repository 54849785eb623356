"""The page of a check: what it shows, that it is safe, and that it stays small."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from medbench.data.checks.check import CheckReport
from medbench.data.checks.findings import Finding
from medbench.data.checks.page import MEMBERS, SETS, page, write_page
from medbench.errors import OutputError

from .made import CARD, checked


class Strict(HTMLParser):
    """Collects what a browser would load or run, and checks that elements are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.names: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page(alike, tmp_path):
    (alike / "12.png").unlink()
    report = checked(alike)[0]
    write_page(report, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    found = Strict(text)
    assert all(load.startswith(("data:image/jpeg;base64,", "#")) for load in found.loads)
    assert sum(load.startswith("data:") for load in found.loads) == 6  # three sets of two, none twice
    assert not found.names & {"script", "link", "iframe", "base", "form"}
    for part in ("1 of 30 images are missing", "2 images, labels disagree", "2 images, in train and test"):
        assert part in text
    assert "1 of them are shown above." in text
    assert re.search(r"<td>ill</td><td></td><td>\d+</td>", text)


def test_page_of_odd_names(alike):
    name = "<script>alert('x')&\"1\".png"
    (alike / "1.png").rename(alike / name)
    lines = (alike / "labels.csv").read_text().splitlines()
    lines[2] = '"' + name.replace('"', '""') + '",' + lines[2].split(",", 1)[1]
    (alike / "labels.csv").write_text("\n".join(lines) + "\n")
    (alike / "mine.yaml").write_text((CARD % "").replace("[healthy, ill]", '[healthy, "<b>ill</b> & more"]'))
    text = page(checked(alike)[0])
    assert not Strict(text).names & {"script", "b"}
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&amp;&quot;1&quot;.png" in text
    assert "&lt;b&gt;ill&lt;/b&gt; &amp; more" in text


def test_page_is_limited(tmp_path):
    from medbench.data.checks.findings import Member

    def members(at: int, n: int) -> list[Member]:
        return [Member(f"{at}-{i}", f"{at}-{i}.png", "a", "train", f"{at}-{i}") for i in range(n)]

    sets = [members(0, 50), *(members(at, 2) for at in range(1, 200))]
    finding = Finding("near-duplicates", "note", "200 sets of near-duplicate images within a split: …", [], sets)
    text = page(CheckReport("mine", tmp_path, "official", (), [], [finding]))
    assert f"The first {SETS} of 200 are shown" in text
    assert f"50 images, the first {MEMBERS} shown" in text
    assert text.count("<figure>") == MEMBERS + 2 * (SETS - 1)
    assert "cannot be read" in text


def test_page_of_a_clean_copy(tmp_path):
    assert "the copy matches its card" in page(CheckReport("mine", tmp_path, "", (), [], []))


def test_page_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_page(CheckReport("mine", tmp_path, "", (), [], []), tmp_path / "file" / "page.html")
