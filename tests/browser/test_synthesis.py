"""The view of class models and dreams, and the image of a unit on its page."""

import pytest
from browser.harness import Tab
from browser.maps import LAST, pixels
from browser.synthesis import NAMES, UNITS, Synthesised
from numpy.typing import NDArray

from lightning_viz.render import image_picture

MODELS = "view=synthesis&runs=first,second"
DREAMS = f"{MODELS}&synthesis=dreams"


def row(layer: str, run: str) -> str:
    return f".comparison-row[data-layer='{layer}'] .comparison-cells > [data-run={run}]"


def tile(run: str, unit: int, layer: str = "output") -> str:
    return f"{row(layer, run)} [data-unit='{unit}']"


def shows(tab: Tab, selector: str, picture: NDArray) -> bool:
    """Whether a canvas shows a picture, enlarged in whole pixels; what is far off is drawn when it comes."""
    tab.frame.locator(f"{selector} canvas").scroll_into_view_if_needed()
    for _ in range(50):
        shown = pixels(tab, selector)
        scale = shown.shape[0] // picture.shape[0]
        if scale and (shown == picture.repeat(scale, 0).repeat(scale, 1)).all():
            return True
        tab.page.wait_for_timeout(20)
    return False


def test_a_class_stands_at_one_height_in_all_runs(tab: Tab, synthesised: tuple[str, Synthesised]) -> None:
    address, written = synthesised
    tab.open(address, f"{MODELS}&epoch=1").ready()
    assert tab.frame.locator(".comparison-row h3").all_inner_texts() == ["output", LAST]
    for run, classes in (("first", [0, 1, 2, 3]), ("second", [3, 1, 0])):
        for place, number in enumerate(classes):
            assert shows(tab, tile(run, number), written.tile(run, 1, "output", place)), (run, number)
    first, second = (tab.frame.locator(f"{row('output', run)} li") for run in ("first", "second"))
    assert [text.split("\n")[0] for text in first.all_inner_texts()] == NAMES
    assert "none in this drawing" in second.nth(2).inner_text()
    for place in range(len(NAMES)):
        one, other = first.nth(place).bounding_box(), second.nth(place).bounding_box()
        assert [one["y"], one["height"]] == pytest.approx([other["y"], other["height"]])


def test_what_a_class_reaches_and_what_is_wrong_with_it(tab: Tab, synthesised: tuple[str, Synthesised]) -> None:
    address, _ = synthesised
    tab.open(address, "view=synthesis&epoch=0&runs=first").ready()
    assert tab.frame.inner_text(tile("first", 1)).split() == ["bee", "25%", "taken", "for", "another", "class"]
    tab.press("ArrowRight")
    tab.ready()
    assert tab.frame.inner_text(tile("first", 0)).split() == ["ant", "50%", "stopped", "early"]
    tab.press("ArrowRight")
    tab.ready()
    assert "dead: nothing moves it" in tab.frame.inner_text(tile("first", 2))
    assert tab.frame.locator(f"{tile('first', 2)} canvas").count() == 0
    caption = tab.frame.inner_text(f"{row('output', 'first')} figcaption")
    assert caption.split("\n")[0] == "mean probability 75%fourier, 32 steps, from the drawing before"


def test_a_class_over_the_epochs(tab: Tab, synthesised: tuple[str, Synthesised]) -> None:
    address, written = synthesised
    tab.open(address, f"{MODELS}&epoch=2", host=True).ready()
    tab.frame.click(f"{tile('first', 3)} button")
    tab.page.wait_for_function("location.hash.includes('target=3')")
    frames = ".synthesis-panel [data-run=first] li"
    epochs = tab.frame.locator(f"{frames} .synthesis-epoch").all_inner_texts()
    assert [text.split() for text in epochs] == [["0", "25%"], ["1", "50%"], ["2", "75%"]]
    for epoch in range(3):
        assert shows(tab, f"{frames}:nth-child({epoch + 1})", written.tile("first", epoch, "output", 3))
    assert tab.frame.locator(f"{tile('second', 3)} button[aria-pressed=true]").count() == 1
    tab.frame.click(f"{frames}:nth-child(1) button")
    assert tab.epoch() == "epoch 0"
    assert "none until epoch 1" in tab.frame.inner_text(".synthesis-panel [data-run=second]")
    tab.press("Escape")
    assert tab.frame.locator(".synthesis-panel").count() == 0


def test_a_failed_drawing_and_an_epoch_without_one(tab: Tab, synthesised: tuple[str, Synthesised]) -> None:
    address, _ = synthesised
    tab.open(address, f"{MODELS}&epoch=2").ready()
    text = tab.frame.inner_text(row("output", "second"))
    assert "from epoch 1" in text
    assert "The last drawing failed. ValueError: no gradient" in text
    tab.press("Home")
    gap = tab.frame.locator(f"{row('output', 'second')} .gap")
    assert "No picture at epoch 0." in gap.inner_text()
    gap.get_by_text("epoch 1").click()
    assert tab.epoch() == "epoch 1"


def test_a_unit_has_its_image_on_its_page(tab: Tab, synthesised: tuple[str, Synthesised]) -> None:
    address, written = synthesised
    tab.open(address, f"{MODELS}&epoch=1").ready()
    tab.frame.click(f"{tile('first', 4, LAST)} button")
    assert tab.frame.inner_text(".unit-head h2") == f"{LAST} unit 4"
    assert tab.frame.locator(".unit-head option").all_inner_texts() == [LAST]  # classes are no units
    for run in ("first", "second"):
        large = f"[data-section=synthesis] [data-run={run}] figure >"
        assert shows(tab, large, written.tile(run, 1, LAST, UNITS.index(4)))
    assert "activation 2.5, stopped early" in tab.frame.inner_text("[data-section=synthesis] [data-run=first]")
    tab.press(".")
    assert "No image of unit 5" in tab.frame.inner_text("[data-section=synthesis] [data-run=first]")
    tab.frame.click("[data-section=synthesis] [data-run=first] button:has-text('unit 4')")
    assert tab.frame.inner_text(".unit-head h2") == f"{LAST} unit 4"


def test_dreams_from_low_to_deep_beside_the_photograph(tab: Tab, synthesised: tuple[str, Synthesised]) -> None:
    address, written = synthesised
    tab.open(address, f"{MODELS}&epoch=1").ready()
    tab.frame.click("button:has-text('dreams')")
    tab.ready()
    first = tab.frame.locator(".dream-run[data-run=first] li")
    assert [text.split() for text in first.all_inner_texts()] == [
        ["photograph"],
        ["0", "grown", "2.5\N{MULTIPLICATION SIGN}"],
        [LAST, "grown", "3.5\N{MULTIPLICATION SIGN}"],
    ]
    line = ".dream-run[data-run=first] li"
    assert shows(tab, f"{line}:nth-child(1)", image_picture(written.photographs[1]))
    for place, layer in enumerate(("0", LAST)):
        picture = image_picture(written.dreams["first", 1, layer][0])
        assert shows(tab, f"{line}:nth-child({place + 2})", picture)
    assert tab.frame.inner_text(".dream-run[data-run=second] [data-layer='0']").startswith("not in this run")


def test_dreams_at_an_epoch_without(tab: Tab, synthesised: tuple[str, Synthesised]) -> None:
    address, _ = synthesised
    tab.open(address, f"{DREAMS}&epoch=0")
    gap = tab.frame.locator("[data-run=first] .gap")
    gap.get_by_text("epoch 1").click()
    tab.ready()
    assert tab.epoch() == "epoch 1"


def test_where_all_failed_it_is_said(tab: Tab, synthesised: tuple[str, Synthesised]) -> None:
    address, _ = synthesised
    tab.open(address, "view=synthesis&runs=failed")
    tab.frame.wait_for_selector("text=ValueError: no model")
    tab.frame.click("button:has-text('dreams')")
    tab.frame.wait_for_selector("text=Drawing failed at epoch 1: ValueError: no photograph")
