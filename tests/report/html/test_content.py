"""What the report shows, collected from a store of SYNTHETIC records."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.errors import MedbenchError
from medbench.records.groups import Group
from medbench.report.html.content import Content, collected, link_of


@pytest.fixture(scope="module")
def content(runs: Path) -> Content:
    """What there is of one of the two data sets."""
    return collected(runs, "ddsm", False, None, 0)


def test_only_records_of_the_data_sets_asked_for_are_counted(content: Content) -> None:
    assert content.records == 5, "two seeds of two models, one of a third; the other data set has two more"
    assert [table.name for table, _ in content.tables] == ["dataset/ddsm"]
    assert sorted(page.group.first.unit.model for page in content.pages) == ["dinov2", "imagenet", "toy-vit"]
    assert content.licences == (), "no thumbnails are shown"


def test_failures_are_told_with_their_folders(content: Content, runs: Path) -> None:
    (failure,) = content.failures
    assert failure.error.startswith("out of memory")
    assert (runs / failure.folder).is_dir()


def test_origins_count_every_record_once(content: Content) -> None:
    for origins in (content.software, content.weights, content.data):
        assert sum(origin.n for origin in origins) == content.records
        assert [origin.n for origin in origins] == sorted((origin.n for origin in origins), reverse=True)


def test_what_a_paper_lacks_is_said_with_its_command(content: Content) -> None:
    commands = dict(content.unrun)
    lacking = next(text for text in commands if text.startswith("wacv2024/table1: "))
    assert lacking == "wacv2024/table1: 51 of 52 cells", "the second model was run with another setting"
    assert commands[lacking] == "medbench table wacv2024/table1 --fill"
    shown = [view for view in content.papers if view.table.name == "wacv2024/table1"]
    assert [(view.run, view.cells) for view in shown] == [(1, 52)]


def test_papers_of_which_nothing_was_run_are_not_in_the_report(content: Content) -> None:
    assert {text.split("/")[0] for text, _ in content.unrun} == {"wacv2024"}
    assert {view.table.name.split("/")[0] for view in content.papers} == {"wacv2024"}


def test_every_group_has_an_address_of_its_own(groups: dict[str, Group]) -> None:
    links = link_of(groups.values())
    assert {key[3] for key in links} == {group.first.group[:12] for group in groups.values()}
    assert len(set(links.values())) == len(groups)


def test_two_cards_of_one_network_have_a_page_each(groups: dict[str, Group]) -> None:
    first = groups["dinov2"].first
    twin = Group((first.model_copy(update={"unit": first.unit.model_copy(update={"model": "my-dinov2"})}),))
    assert twin.first.group == first.group
    assert len(set(link_of([groups["dinov2"], twin]).values())) == 2


def test_a_store_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match="nothing has been run in"):
        collected(tmp_path, "*", False, None, 0)
