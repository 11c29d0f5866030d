"""Wildcards: lines of the person's own lists, drawn for each job."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenPage, Waiting, prompt_field

COLORS = "red|green|blue|yellow|orange|purple|pink|cyan|white|black"
SHAPES = "circle|square|triangle|star"


def with_lists(open_page: OpenPage, url: str, **lists: str) -> Page:
    """The page of a person who has these lists."""
    page = open_page(url)
    page.evaluate("text => localStorage.setItem('cyberimage.lists', text)", json.dumps([*lists.items()]))
    page.reload()
    return page


def shown(page: Page) -> list[str]:
    return page.locator(".stands-for li").all_inner_texts()


def dialogue(page: Page) -> Locator:
    page.locator(".stands-for").get_by_role("button", name="Lists").click()
    return page.get_by_role("dialog", name="Lists")


def kept(page: Page) -> dict[str, str]:
    return dict(json.loads(page.evaluate("localStorage.getItem('cyberimage.lists')")))


def test_what_was_drawn_is_queued_and_then_others_are_drawn(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    page = open_page(paused)
    prompt_field(page).fill("a __color__ __shape__ and a __color__ __shape__")
    page.get_by_role("group", name="Pictures").get_by_role("button", name="4").click()
    expect(page.get_by_text("Stands for 4 prompts")).to_be_visible()
    drawn = shown(page)
    assert all(re.fullmatch(f"a ({COLORS}) ({SHAPES}) and a ({COLORS}) ({SHAPES})", each) for each in drawn)
    assert len(set(drawn)) > 1
    page.get_by_role("button", name="Queue 4 Jobs").click()
    expect(page.locator(".card[data-status=pending]")).to_have_count(4)
    assert line() == drawn
    assert shown(page) != drawn
    jobs = httpx.get(f"{paused}/api/jobs?status=pending").json()["jobs"]
    assert [job["settings"]["num_images"] for job in jobs] == [1] * 4


def test_a_kept_seed_is_counted_on_from(open_page: OpenPage, paused: str, line: Waiting) -> None:
    page = open_page(paused)
    prompt_field(page).fill("{a|a __color__} star")
    page.get_by_role("group", name="Pictures").get_by_role("button", name="3").click()
    page.locator("#seed").fill("70")
    page.get_by_role("button", name="Queue 4 Jobs").click()
    expect(page.locator(".card[data-status=pending]")).to_have_count(4)
    jobs = httpx.get(f"{paused}/api/jobs?status=pending").json()["jobs"]
    made = [(job["settings"]["num_images"], job["settings"]["seed"]) for job in jobs]
    assert sorted(made) == [(1, 70), (1, 71), (1, 72), (3, 70)]
    assert "a star" in line()


def test_a_draw_lasts_until_another_is_asked_for(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    field = prompt_field(page)
    field.fill("{a|b|c|d} __color__ __shape__")
    before = [f"{each}, flat __no" for each in shown(page)]
    field.press_sequentially(", flat __no")
    expect(page.locator(".stands-for li")).to_have_text(before)
    page.get_by_role("button", name="Draw again").click()
    expect(page.locator(".stands-for li")).not_to_have_text(before)  # One time in 40^4 it would be the same.


def test_lines_hold_alternatives_and_wildcards(open_page: OpenPage, quick: str) -> None:
    page = with_lists(
        open_page, quick, pet="# who\n\n{big|small} __pets/kind__\n", **{"pets/kind": "cat\ndog"}
    )
    prompt_field(page).fill("{1|2}{1|2}{1|2}{1|2}{1|2}{1|2} __pet__")
    drawn = shown(page)
    assert len(drawn) == 64
    assert {each.partition(" ")[2] for each in drawn} == {"big cat", "big dog", "small cat", "small dog"}


def test_lists_that_name_each_other_are_told(open_page: OpenPage, paused: str, line: Waiting) -> None:
    page = with_lists(open_page, paused, left="__right__ __right__", right="to the __left__")
    prompt_field(page).fill("a __left__")
    expect(page.locator(".composer-body").get_by_role("alert")).to_contain_text("__left__, __right__")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".composer-foot").get_by_role("alert")).to_contain_text("without an end")
    assert line() == []


def test_a_draw_that_is_too_long_is_told(open_page: OpenPage, paused: str, line: Waiting) -> None:
    page = with_lists(open_page, paused, long="x" * 30_000)
    prompt_field(page).fill("a __long__ road")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".composer-foot").get_by_role("alert")).to_contain_text("longer than")
    assert line() == []


@pytest.mark.parametrize("text", ["a __nope__ cat", "__init__ snake_case __ __x____y__", "a __color_ cat"])
def test_unknown_names_are_plain_text(open_page: OpenPage, paused: str, line: Waiting, text: str) -> None:
    page = open_page(paused)
    prompt_field(page).fill(text)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".card[data-status=pending]")).to_have_count(1)
    assert line() == [text]


def test_a_missing_list_is_written_from_the_form(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    prompt_field(page).fill("a __colors/warm__ sky")
    expect(page.get_by_text("no list for __colors/warm__")).to_be_visible()
    page.get_by_role("button", name="Write a list “colors/warm”").press("Enter")
    lines = page.get_by_role("dialog", name="Lists").get_by_label("Lines", exact=True)
    expect(lines).to_be_focused()
    page.keyboard.type("amber")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".stands-for li")).to_have_text(["a amber sky"])
    expect(page.locator(".missing")).to_have_count(0)


def test_lists_are_made_named_and_kept_in_every_tab(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    prompt_field(page).fill("a __color__ cat")
    other = open_page(quick, beside=page)
    sheet = dialogue(page)
    sheet.get_by_role("button", name="New list").click()
    name = sheet.get_by_label("Name", exact=True)
    expect(name).to_be_focused()
    page.keyboard.type("two__bars")
    expect(sheet.get_by_role("alert")).to_contain_text("make a name")
    name.fill("color")
    expect(sheet.get_by_role("alert")).to_contain_text("There is a list of this name")
    name.fill("größe")
    page.keyboard.press("Tab")
    expect(sheet.get_by_label("Lines", exact=True)).to_be_focused()
    page.keyboard.type("winzig\n# kein Wort\n\nriesig")
    expect(sheet.get_by_role("button", name="größe")).to_contain_text("2 lines")
    sheet.get_by_role("button", name="Put into the prompt").click()
    expect(prompt_field(page)).to_have_value("a __color__ cat __größe__")
    prompt_field(other).fill("__größe__")
    expect(other.locator(".stands-for li")).to_have_text(re.compile("winzig|riesig"))
    page.reload()
    expect(dialogue(page).get_by_role("button", name="größe")).to_contain_text("2 lines")
    sheet.get_by_role("button", name="größe").click()
    name.fill("colors/größe")
    page.keyboard.press("Escape")
    expect(page.locator(".missing")).to_contain_text("__größe__")
    assert set(kept(page)) == {"color", "colors/größe", "place", "shape"}


def test_deleted_lists_stay_away_unless_it_is_undone(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    prompt_field(page).fill("a __color__ __shape__")
    sheet = dialogue(page)
    for name in ("color", "shape"):
        sheet.get_by_role("button", name=name).click()
        sheet.get_by_role("button", name="Delete").click()
        expect(sheet.get_by_role("button", name=name)).to_have_count(0)
    sheet.get_by_text("color deleted").locator("..").get_by_role("button", name="Undo").click()
    expect(sheet.get_by_role("button", name="color")).to_contain_text("10 lines")
    page.reload()
    expect(page.locator(".missing")).to_contain_text("__shape__")
    assert set(kept(page)) == {"color", "place"}


def test_files_become_lists_and_lists_files(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    prompt_field(page).fill("a __color__ cat")
    sheet = dialogue(page)
    files: list[Any] = [
        {
            "name": "Wild cats.txt",
            "mimeType": "text/plain",
            "buffer": b"\xef\xbb\xbf# big\r\nlion\r\n\r\nlynx",
        },
        {"name": "color.txt", "mimeType": "text/plain", "buffer": b"teal\n"},
    ]
    with page.expect_file_chooser() as chooser:
        sheet.get_by_role("button", name="Import").click()
    chooser.value.set_files(files)
    expect(sheet.get_by_text("2 lists imported")).to_be_visible()
    expect(sheet.get_by_role("button", name="Wild-cats")).to_contain_text("2 lines")
    with page.expect_download() as download:
        sheet.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "Wild-cats.txt"
    assert Path(download.value.path()).read_text("utf-8") == "# big\nlion\n\nlynx"
    expect(page.locator(".stands-for li")).to_have_text(["a teal cat"])
    sheet.get_by_role("button", name="Undo").click()
    expect(sheet.get_by_role("button", name="color")).to_contain_text("10 lines")
    expect(sheet.get_by_role("button", name="Wild-cats")).to_have_count(0)


def test_the_help_sheet_leads_to_the_lists(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.get_by_role("button", name="Keyboard and help").click()
    page.get_by_role("dialog").get_by_role("button", name="Lists").click()
    expect(page.get_by_role("dialog", name="Lists").get_by_role("button", name="color")).to_be_visible()
