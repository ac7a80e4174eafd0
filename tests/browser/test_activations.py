"""The view of activations."""

import re

import numpy as np
import pytest
from browser.harness import Tab
from browser.maps import FIRST, LAST, Drawn, numbers

from lightning_viz.render import heat_map

BOTH = "view=activations&runs=first,second"


def row(layer: str, run: str) -> str:
    return f".comparison-row[aria-label='layer {layer}'] [data-run={run}]"


def order(drawn: Drawn, run: str, epoch: int, layer: str, image: int) -> list[int]:
    """Units by activity in an image."""
    activity = drawn.values(run, epoch, "activations", layer, "activity")[image]
    return np.argsort(-activity, kind="stable").tolist()


def map_of(drawn: Drawn, run: str, epoch: int, layer: str, image: int, unit: int) -> np.ndarray:
    kept = drawn.drawings[run, epoch, "activations", layer].meta["units"].index(unit)
    return drawn.values(run, epoch, "activations", layer)[image, kept]


def tile(tab: Tab, selector: str, place: int, width: int) -> np.ndarray:
    """A tile as pixels of the screen, the numbers say where."""
    number = tab.frame.locator(f"{selector} .unit-number").nth(place)
    left, top, wide = number.evaluate("e => [e.style.left, e.style.top, e.style.width].map(parseFloat)")
    scale = wide / width
    read = "(c, [x, y, w, h]) => [...c.getContext('2d').getImageData(x, y, w, h).data]"
    height = round(scale * width * 12 / 20)
    data = tab.frame.locator(f"{selector} .unit-tiles canvas").evaluate(
        read, [round(left), round(top) - height, round(wide), height]
    )
    every = np.array(data, np.uint8).reshape(height, round(wide), 4)[..., :3]
    return every[round(scale / 2) :: round(scale), round(scale / 2) :: round(scale)]


@pytest.mark.parametrize("scale", ["shared", "own"])
def test_maps_are_those_of_python_the_most_active_first(tab: Tab, maps: str, drawn: Drawn, scale: str) -> None:
    tab.open(maps, f"{BOTH}&epoch=2&image=1&scale={scale}").ready()
    most = max(max(-one.meta["vmin"], one.meta["vmax"]) for one in drawn.every("activations", LAST))
    for run in ("first", "second"):
        units = order(drawn, run, 2, LAST, 1)
        shown = tab.frame.locator(f"{row(LAST, run)} .unit-number").all_inner_texts()
        assert [int(text.split()[0]) for text in shown] == units
        for place in (0, 5):
            values = map_of(drawn, run, 2, LAST, 1, units[place])
            limit = most if scale == "shared" else float(np.abs(values).max())
            expected = heat_map(values, -limit, limit, "diverging")
            assert np.abs(tile(tab, row(LAST, run), place, 10).astype(int) - expected).max() <= 1


def test_another_image_is_chosen(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, f"{BOTH}&epoch=0", host=True).ready()
    buttons = tab.frame.locator(".image-picker-strip button")
    assert buttons.evaluate_all("all => all.map((e) => e.getAttribute('aria-label'))") == [
        "image 0, ant", "image 1, bee", "image 2, cat",
    ]  # fmt: skip
    assert all(min(one.bounding_box()["width"], one.bounding_box()["height"]) >= 24 for one in buttons.all())
    buttons.nth(2).click()
    tab.page.wait_for_function("location.hash.includes('image=2')")
    tab.ready()
    for layer in (FIRST, LAST):
        named = order(drawn, "first", 0, layer, 2)
        activity = drawn.values("first", 0, "activations", layer, "activity")[2]
        expected = ", ".join(str(unit) for unit in named[:5] if activity[unit] > 0)
        caption = tab.frame.inner_text(f"{row(layer, 'first')} figcaption")
        assert f"most active here: {expected}" in caption
        zeros = drawn.drawings["first", 0, "activations", layer].meta["zeros"]
        assert f"{int(100 * zeros + 0.5)}% of values at or below zero" in caption


def test_pointing_reads_values_and_a_click_keeps_the_unit(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, f"{BOTH}&epoch=0", host=True).ready()
    unit = order(drawn, "first", 0, FIRST, 0)[0]
    values = map_of(drawn, "first", 0, FIRST, 0, unit)
    canvas = tab.frame.locator(f"{row(FIRST, 'first')} .unit-tiles canvas")
    number = tab.frame.locator(f"{row(FIRST, 'first')} .unit-number").first
    scale = number.bounding_box()["width"] / 20
    canvas.hover(position={"x": 7.5 * scale, "y": 4.5 * scale})
    said = tab.frame.inner_text(f"{row(FIRST, 'first')} .readout")
    assert said.startswith(f"unit {unit}: ")
    assert numbers(re.search(r": (.*) at", said)[1]) == pytest.approx([values[4, 7]], rel=0.01)
    canvas.click(position={"x": 7.5 * scale, "y": 4.5 * scale})
    tab.page.wait_for_function("location.hash.includes('unit=')")
    tab.press("ArrowRight", "ArrowRight")
    tab.ready()
    place = order(drawn, "second", 2, FIRST, 0).index(unit)
    box = tab.frame.locator(f"{row(FIRST, 'second')} .unit-box").bounding_box()
    label = tab.frame.locator(f"{row(FIRST, 'second')} .unit-number").nth(place).bounding_box()
    assert box["x"] == pytest.approx(label["x"], abs=1)
    assert box["y"] + box["height"] == pytest.approx(label["y"], abs=1)
    assert tab.frame.inner_text(f"{row(FIRST, 'second')} .readout").startswith(f"unit {unit}: ")


def test_an_epoch_that_a_run_lacks(tab: Tab, maps: str) -> None:
    tab.open(maps, f"{BOTH}&epoch=1").ready()
    assert "No picture at epoch 1." in tab.frame.inner_text(f"{row(FIRST, 'second')} .gap")
    assert tab.frame.locator(f"{row(FIRST, 'first')} .unit-tiles canvas").count() == 1
