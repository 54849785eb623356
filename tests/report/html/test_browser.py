"""The report in a real browser: Chromium, where the system has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from medbench.report.html.leaderboard import write_leaderboard
from medbench.report.html.run_page import anchor

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian, Ubuntu: apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, report):
    """The report, opened; any error, refused content or request to elsewhere fails the test."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(10_000)
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(message.text))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("dialog", lambda dialog: faults.append(dialog.message))
    opened.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else faults.append(r.url))
    opened.goto(report.as_uri())
    yield opened
    opened.close()
    assert faults == []


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def column(page, table: str, k: int) -> list[str]:
    return page.eval_on_selector_all(f"{table} tbody tr td:nth-child({k})", "cells => cells.map(c => c.innerText)")


def test_it_opens_with_its_pictures(page):
    assert page.title() == "medbench report"
    assert page.inner_text("h1") == "medbench report"
    broken = page.eval_on_selector_all("#overview img", "all => all.filter(i => !i.complete || !i.naturalWidth).length")
    assert broken == 0
    assert fits(page), "wide tables scroll by themselves"


def test_a_click_sorts_numbers_and_texts_both_ways(page):
    head = page.locator("#run-list thead th").nth(7)
    before = column(page, "#run-list", 8)
    head.locator("button").click()
    assert column(page, "#run-list", 8) == sorted(before, key=float, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").click()
    assert column(page, "#run-list", 8) == sorted(before, key=float)
    page.locator("#run-list thead th button").nth(1).click()
    models = column(page, "#run-list", 2)
    assert models == sorted(models)
    assert head.get_attribute("aria-sort") is None


def test_cells_without_a_number_come_last_either_way(page):
    button = page.locator("#run-list thead th button").nth(8)  # deviations: one row has a single seed
    for _ in range(2):
        button.click()
        assert column(page, "#run-list", 9)[-1] == "–"


def test_sorting_keeps_rows_below_their_heading(page):
    body = "#table-2 table"  # ddsm: results, then random weights
    page.locator(f"{body} thead th button").first.click()
    parts = page.eval_on_selector_all(f"{body} tbody", "parts => parts.map(p => [...p.rows].map(r => r.innerText))")
    assert len(parts) == 2
    assert parts[1][0].startswith("random weights")
    assert "toy-vit" in parts[1][1]


def test_columns_of_a_runs_page_sort_by_their_numbers(page, groups):
    """Of metrics, means below 0 among them; of splits, thousands."""
    page.goto(f"{page.url}#{anchor(groups['toy-vit'])}")
    metrics = page.locator(".page:target table").first
    splits = page.locator(".page:target table:has(button:text-is('groups'))")
    metrics.locator("thead th button", has_text="mean").click()
    shown = metrics.locator("tbody td:nth-child(2)").all_inner_texts()
    values = [float(text.split()[0]) for text in shown]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0 < values[0]
    page.locator(".page:target summary", has_text="Images of each split").click()
    splits.locator("thead th button", has_text="images").click()
    assert splits.locator("tbody td:nth-child(2)").all_inner_texts() == ["2,755", "120"]


def test_a_tab_shows_its_part_alone(page, groups):
    page.goto(f"{page.url}#{anchor(groups['dinov2'])}")
    shown = page.locator(".page:target .tab:visible > h3:first-child")
    assert shown.all_inner_texts() == ["Metrics on the test split"]
    for name in ("Calibration", "Classes", "Confusion", "Curves"):
        page.locator(".page:target .tabs > label", has_text=name).click()
        assert shown.all_inner_texts() == [name]


def test_a_link_opens_a_run_and_leads_back(page, groups):
    page.locator("#run-list a", has_text="imagenet").click()
    shown = page.locator(".page:visible")
    assert shown.count() == 1
    assert "imagenet · linear-frozen · ddsm" in shown.locator("h2").inner_text()
    assert not page.locator("#overview").is_visible()
    page.wait_for_function(
        "[...document.querySelectorAll('.page:target img')].every(i => !i.offsetParent || i.naturalWidth > 0)"
    )
    shown.locator("summary", has_text="Configuration").click()
    assert shown.locator("details[open] th", has_text="weights").count() >= 1
    shown.locator("a", has_text="all runs").click()
    assert page.locator("#overview").is_visible()
    assert page.locator(".page:visible").count() == 0


def test_a_model_in_a_table_leads_to_its_run(page, groups):
    page.locator("#tables a", has_text="sam").click()
    assert page.url.endswith(f"#{anchor(groups['sam'])}")
    assert page.locator(".page:visible h2").inner_text().startswith("sam")


def test_the_filter_leaves_rows_with_all_words(page):
    page.fill("#filter", "ddsm dino")
    rows = page.locator("#run-list tbody tr:visible")
    assert rows.count() == 1
    assert "dinov2" in rows.inner_text()
    assert page.inner_text("#filter-count") == "1 shown"
    page.fill("#filter", "")
    assert page.locator("#run-list tbody tr:visible").count() == 4


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert fits(page)


def test_the_leaderboard_filters_its_rows(browser, runs, tmp_path):
    index = write_leaderboard(runs, tmp_path, include_random=True)[-1]
    opened = browser.new_page()
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(message.text))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(index.as_uri())
    shown = "rows => rows.filter(r => r.offsetParent).map(r => r.cells[0].innerText)"
    assert opened.eval_on_selector_all("#boards tbody tr", shown) == ["sam", "dinov2", "imagenet"]
    opened.check("#toy")
    assert opened.eval_on_selector_all("#boards tbody tr", shown) == ["sam", "dinov2", "imagenet", "toy-vit"]
    opened.fill("#filter", "vit official")
    assert opened.eval_on_selector_all("#boards tbody tr", shown) == []
    opened.fill("#filter", "vit random")
    assert opened.eval_on_selector_all("#boards tbody tr", shown) == ["toy-vit"]
    assert opened.inner_text("#filter-count") == "1 shown"
    opened.close()
    assert faults == []
