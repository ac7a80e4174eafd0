"""The page of a unit."""

from itertools import pairwise

import pytest
from browser.films import Films
from browser.harness import Tab
from browser.maps import FIRST, LAST
from playwright.sync_api import expect

PAGE = "view=patches&runs=first,second&page=unit"


def section(key: str, run: str = "first") -> str:
    return f"[data-section={key}] [data-run={run}]"


def heading(tab: Tab) -> str:
    return tab.frame.inner_text(".unit-head h2")


def test_a_link_leads_to_a_unit(tab: Tab, films: tuple[str, Films]) -> None:
    address, written = films
    tab.open(address, f"{PAGE}&unit=1,{FIRST}&epoch=2", host=True).ready()
    assert heading(tab) == f"{FIRST} unit 1"
    sections = tab.frame.locator("[data-section]").evaluate_all("all => all.map((e) => e.dataset.section)")
    assert sections == ["filter", "patches", "film", "curve", "maps"]
    assert tab.columns() == ["first", "second"]
    assert tab.frame.inner_text(section("patches", "second")) == "Not in this run."
    assert tab.frame.locator(f"{section('film', 'second')} canvas").count() == 2
    weights = tab.frame.inner_text(f"{section('filter')} figcaption")
    assert "3\N{MULTIPLICATION SIGN}3\N{MULTIPLICATION SIGN}3" in weights
    assert tab.frame.locator(f"{section('maps')} li").count() == 3
    activation = written.table("first", 2, FIRST, "values", "patches")[1, 0]
    assert f"strongest activation {activation:.3g}" in tab.frame.inner_text(f"{section('patches')} figcaption")


def test_the_curve_is_the_strongest_activation(tab: Tab, films: tuple[str, Films]) -> None:
    address, written = films
    tab.open(address, f"{PAGE}&unit=5,{LAST}").ready()  # a unit without pictures
    for run, epochs in (("first", (0, 1, 2, 5)), ("second", (0, 1, 5))):
        points = tab.frame.locator(f"[data-section=curve] [data-line={run}] [data-value]")
        expect(points).to_have_count(len(epochs))  # each epoch's table is fetched by itself
        shown = points.evaluate_all("all => all.map((e) => [Number(e.dataset.value), e.classList.contains('changed')])")
        values = [written.table(run, epoch, LAST, "values")[5, 0] for epoch in epochs]
        winners = [written.table(run, epoch, LAST, "image_ids")[5, 0] for epoch in epochs]
        changed = [False, *(one != other for one, other in pairwise(winners))]
        assert [one for one, _ in shown] == pytest.approx(values)
        assert [one for _, one in shown] == changed


def test_a_unit_without_pictures_says_how_to_get_them(tab: Tab, films: tuple[str, Films]) -> None:
    address, written = films
    tab.open(address, f"{PAGE}&unit=2,{LAST}").ready()
    text = tab.frame.inner_text(section("patches"))
    assert "TopPatches(units=[2])" in text
    images = written.table("first", 5, LAST, "image_ids", "patches")[2]
    shown = tab.frame.locator(f"{section('patches')} li b").all_inner_texts()
    assert shown == [f"{image:.0f}" for image in images]
    tab.frame.click(f"{section('patches')} button:has-text('unit 3')")
    assert heading(tab) == f"{LAST} unit 3"
    tab.frame.wait_for_selector(f"{section('patches')} canvas")


def test_other_units_and_layers_by_button_key_and_field(tab: Tab, films: tuple[str, Films]) -> None:
    address, _ = films
    tab.open(address, f"{PAGE}&unit=1,{LAST}").ready()
    tab.frame.click("button[aria-label='Next unit']")
    tab.press(".", ".")
    assert heading(tab) == f"{LAST} unit 4"
    tab.press(",")
    assert heading(tab) == f"{LAST} unit 3"
    tab.frame.fill("input[name=unit]", "5")
    tab.frame.press("input[name=unit]", "Enter")
    assert heading(tab) == f"{LAST} unit 5"
    assert tab.frame.locator("button[aria-label='Next unit']").is_disabled()
    tab.frame.fill("input[name=unit]", "99")
    tab.frame.press("input[name=unit]", "Enter")
    assert heading(tab) == f"{LAST} unit 5"
    tab.frame.select_option(".unit-head select", FIRST)
    assert heading(tab) == f"{FIRST} unit 3"


@pytest.mark.parametrize("view", ["filters", "activations"])
def test_the_page_opens_from_a_chosen_unit_and_escape_leads_back(tab: Tab, films: tuple[str, Films], view: str) -> None:
    address, _ = films
    tab.open(address, f"view={view}&runs=first&unit=0,{FIRST}").ready()
    assert tab.frame.locator(".unit-head").count() == 0
    tab.frame.click("button:has-text('open unit 0')")
    assert heading(tab) == f"{FIRST} unit 0"
    tab.press("Escape")
    tab.ready()
    assert tab.frame.locator(".unit-head").count() == 0
    tab.press("u")
    assert heading(tab) == f"{FIRST} unit 0"
    tab.frame.click(".unit-head > .link")
    tab.ready()
    tab.frame.locator(".unit-tiles canvas, .picture-sheet canvas").first.dblclick(position={"x": 4, "y": 4})
    assert heading(tab).startswith(f"{FIRST} unit ")


def test_a_click_on_patches_opens_the_unit_and_the_browser_leads_back(tab: Tab, films: tuple[str, Films]) -> None:
    address, _ = films
    tab.open(address, "view=patches&runs=first", host=True).ready()
    tab.page.wait_for_function("location.hash.includes('view=patches')")
    tab.frame.locator(".patch-blocks canvas").first.click(position={"x": 10, "y": 40})
    assert heading(tab) == f"{FIRST} unit 0"
    tab.page.wait_for_function("location.hash.includes('page=unit')")
    tab.page.go_back()
    tab.frame.wait_for_selector(".unit-head", state="detached")
    assert tab.frame.inner_text(".view-tab[aria-current]") == "Patches"


def test_the_page_follows_the_epoch(tab: Tab, films: tuple[str, Films]) -> None:
    address, _ = films
    tab.open(address, f"{PAGE}&unit=0,{FIRST}&epoch=2").ready()
    tab.press("ArrowLeft")
    tab.ready()
    currents = tab.frame.locator("[data-section=film] .film-epochs [aria-current]").all_inner_texts()
    assert currents == ["1"] * 4
    tab.press("End")
    assert tab.epoch() == "epoch 5"


def test_nonsense_in_the_link(tab: Tab, films: tuple[str, Films]) -> None:
    address, _ = films
    tab.open(address, f"{PAGE}&unit=99,{FIRST}")
    tab.frame.wait_for_selector("text=has units 0 to 3")
    tab.page.goto("about:blank")
    tab.open(address, f"{PAGE}&unit=1,gone")
    tab.frame.wait_for_selector("text=nothing of gone")
