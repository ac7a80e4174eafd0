"""The views of patches and of evolution."""

import re

import numpy as np
import pytest
from browser.films import IMAGES, UNITS, Films
from browser.harness import Tab
from browser.maps import FIRST, LAST
from numpy.typing import NDArray

PATCHES = "view=patches&runs=first"
EVOLUTION = "view=evolution&runs=first,second"


def row(layer: str, run: str, method: str) -> str:
    return f".comparison-row[data-method={method}][data-layer='{layer}'] [data-run={run}]"


def field(tab: Tab, canvas: str, left: float, top: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A part of a canvas, one pixel per pixel of a picture that is enlarged in whole pixels."""
    width, height = size
    read = "(c, [x, y, w, h]) => [...c.getContext('2d').getImageData(x, y, w, h).data]"
    data = tab.frame.locator(canvas).evaluate(read, [left, top, width, height])
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def contains(shown: NDArray[np.uint8], picture: NDArray[np.uint8]) -> bool:
    """Whether a picture is what is shown in the middle of a field, enlarged in whole pixels."""
    scale = min(shown.shape[0] // picture.shape[0], shown.shape[1] // picture.shape[1])
    large = picture.repeat(scale, 0).repeat(scale, 1)
    top, left = ((shown.shape[axis] - large.shape[axis]) // 2 for axis in (0, 1))
    return bool((shown[top : top + large.shape[0], left : left + large.shape[1]] == large).all())


def blank(tab: Tab, canvas: str) -> bool:
    return tab.frame.locator(canvas).evaluate(
        "c => !c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    )


def drawn(tab: Tab, canvas: str) -> str:
    tab.frame.locator(canvas).scroll_into_view_if_needed()
    for _ in range(50):
        if not blank(tab, canvas):
            break
        tab.page.wait_for_timeout(20)
    return canvas


def marks(tab: Tab, where: str) -> set[tuple[int, int]]:
    found = tab.frame.locator(f"{where} .film-changes path")
    return {
        tuple(map(int, one)) for one in found.evaluate_all("all => all.map((e) => [e.dataset.unit, e.dataset.epoch])")
    }


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_patches_are_those_of_the_picture_beside_their_reconstructions(tab: Tab, films: tuple[str, Films]) -> None:
    address, written = films
    tab.open(address, f"{PATCHES}&epoch=2").ready()
    assert tab.frame.locator(".comparison-row h3").all_inner_texts() == [FIRST, LAST]
    where = row(FIRST, "first", "patches")
    units = tab.frame.locator(f"{where} .patch-head")
    assert units.locator("button").all_inner_texts() == [f"unit {unit}" for unit in UNITS]
    canvas = drawn(tab, f"{where} canvas")
    left, top, wide = units.nth(1).evaluate("e => [e.style.left, e.style.top, e.style.width].map(parseFloat)")
    side = (wide - 8) / 2
    tile = int((side - 6) / 3)
    for rank in (0, 4, 8):
        for down in (False, True):
            x, y = left + down * (side + 8) + rank % 3 * (tile + 3), top + 26 + rank // 3 * (tile + 3)
            shown = field(tab, canvas, x, y, (tile, tile))
            assert contains(shown, written.tile("first", 2, FIRST, 1, rank, down=down)), (rank, down)
    assert f"9 strongest of {IMAGES} images" in tab.frame.inner_text(f"{where} figcaption")
    values = written.table("first", 2, FIRST, "values", "patches")[1]
    low, high = units.nth(1).locator("span").inner_text().split(" to ")
    assert [number(low), number(high)] == pytest.approx([values[0], values[8]], rel=0.01)


def test_pointing_at_a_patch_reads_the_tables(tab: Tab, films: tuple[str, Films]) -> None:
    address, written = films
    tab.open(address, f"{PATCHES}&epoch=1").ready()
    where = row(FIRST, "first", "patches")
    tab.frame.hover(f"{where} canvas", position={"x": 5, "y": 26 + 5})
    text = tab.frame.inner_text(f"{where} figcaption")
    image, activation, line, column = (
        written.table("first", 1, FIRST, name, "patches")[0, 0].ravel()
        for name in ("image_ids", "values", "positions", "boxes")
    )
    assert text.startswith(f"unit 0, patch 1: image {image[0]:.0f}, activation ")
    assert number(re.search(r"activation (\S+)", text)[1]) == pytest.approx(activation[0], rel=0.01)
    assert f"row\N{NO-BREAK SPACE}{line[0]:.0f}, column\N{NO-BREAK SPACE}{line[1]:.0f}" in text
    top, left, bottom, right = column
    assert number(re.search(r"rows (\S+) to", text)[1]) == top
    assert number(re.search(r"rows \S+ to (\S+),", text)[1]) == bottom - 1
    assert number(re.search(r"columns (\S+) to", text)[1]) == left
    assert number(text.rsplit(" ", 1)[1]) == right - 1
    assert tab.frame.locator(f"{where} .pointed-at").count() == 2


def test_between_drawings_the_newest_is_shown_and_says_so(tab: Tab, films: tuple[str, Films]) -> None:
    address, _ = films
    tab.open(address, "view=evolution&runs=first,plain&epoch=4").ready()
    assert tab.epoch() == "epoch 4"
    where = row(FIRST, "first", "evolution")
    assert tab.frame.inner_text(f"{where} .film-epochs [aria-current]") == "2"
    assert "from epoch 2" in tab.frame.inner_text(f"{where} figcaption")


def test_a_failed_drawing_is_told_beside_the_one_before(tab: Tab, films: tuple[str, Films]) -> None:
    address, _ = films
    tab.open(address, "view=patches&runs=first,failed&epoch=2").ready()
    text = tab.frame.inner_text(row(FIRST, "failed", "patches"))
    assert "ValueError: no data" in text
    assert "from epoch 0" in text


def test_rows_are_units_and_columns_epochs(tab: Tab, films: tuple[str, Films]) -> None:
    address, written = films
    tab.open(address, f"{EVOLUTION}&epoch=1").ready()
    for run in ("first", "second"):
        where = row(FIRST, run, "evolution")
        assert tab.frame.locator(f"{where} .film-names button").all_inner_texts() == [str(unit) for unit in UNITS]
        assert tab.frame.locator(f"{where} .film-epochs button").all_inner_texts() == ["0", "1", "2", "5"]
    canvas = drawn(tab, f"{row(FIRST, 'first', 'evolution')} canvas")
    heads = tab.frame.locator(f"{row(FIRST, 'first', 'evolution')} .film-epochs button")
    names = tab.frame.locator(f"{row(FIRST, 'first', 'evolution')} .film-names button")
    for column, epoch in enumerate((0, 1, 2, 5)):
        left, wide = heads.nth(column).evaluate("e => [e.style.left, e.style.width].map(parseFloat)")
        for line, unit in enumerate(UNITS):
            top = names.nth(line).evaluate("e => parseFloat(e.style.top)")
            shown = field(tab, canvas, left, top, (int(wide), int(wide)))
            assert contains(shown, written.tile("first", epoch, FIRST, unit, 0, down=True)), (epoch, unit)


def test_a_mark_stands_where_the_winner_changed(tab: Tab, films: tuple[str, Films]) -> None:
    address, written = films
    tab.open(address, EVOLUTION).ready()
    for run, epochs in (("first", (0, 1, 2, 5)), ("second", (0, 1, 5))):
        for layer in (FIRST, LAST):
            expected = written.changed(run, epochs, layer)
            assert marks(tab, row(layer, run, "evolution")) == expected
            assert expected


def test_the_strip_switches_between_projection_and_patch(tab: Tab, films: tuple[str, Films]) -> None:
    address, written = films
    tab.open(address, EVOLUTION, host=True).ready()
    tab.frame.click(".film-choice button:has-text('patch')")
    tab.page.wait_for_function("location.hash.includes('strip=patch')")
    tab.ready()
    canvas = drawn(tab, f"{row(FIRST, 'first', 'evolution')} canvas")
    wide = tab.frame.locator(f"{row(FIRST, 'first', 'evolution')} .film-epochs button").first.evaluate(
        "e => parseFloat(e.style.width)"
    )
    assert contains(field(tab, canvas, 0, 0, (int(wide), int(wide))), written.tile("first", 0, FIRST, 0, 0, down=False))


def test_a_click_on_a_column_goes_to_its_epoch(tab: Tab, films: tuple[str, Films]) -> None:
    address, _ = films
    tab.open(address, EVOLUTION).ready()
    where = row(FIRST, "first", "evolution")
    tab.frame.click(f"{where} .film-epochs button:has-text('1')")
    assert tab.epoch() == "epoch 1"
    tab.frame.click(f"{where} canvas", position={"x": 5, "y": 5})
    assert tab.epoch() == "epoch 0"
    here, head = (
        tab.frame.locator(f"{where} {one}").bounding_box() for one in (".film-here", ".film-epochs [aria-current]")
    )
    assert here["x"] == pytest.approx(head["x"], abs=1)


def test_curves_are_the_scalars(tab: Tab, films: tuple[str, Films]) -> None:
    address, written = films
    tab.open(address, EVOLUTION).ready()
    for name in ("overlap", "settled"):
        for run, epochs in (("first", (1, 2, 5)), ("second", (1, 5))):
            points = tab.frame.locator(
                f".comparison-row[data-layer='{LAST}'] [data-curve={name}] [data-line={run}] [data-value]"
            )
            shown = points.evaluate_all("all => all.map((e) => [Number(e.dataset.epoch), Number(e.dataset.value)])")
            expected = [
                (epoch, float(written.drawings[run, epoch, "evolution", LAST].scalars[name])) for epoch in epochs
            ]
            assert [tuple(one) for one in shown] == [pytest.approx(one) for one in expected]


def test_filters_of_colours_are_a_strip_too(tab: Tab, films: tuple[str, Films]) -> None:
    address, _ = films
    tab.open(address, "view=evolution&runs=plain&epoch=3").ready()
    assert tab.frame.locator(".comparison-row h3").all_inner_texts() == [f"{FIRST}, weights"]
    assert tab.frame.locator(".film-epochs button").all_inner_texts() == [str(epoch) for epoch in range(6)]
    assert tab.frame.locator(".film-names button").all_inner_texts() == ["0", "1", "2", "3"]
    assert tab.frame.locator(".film-choice").count() == 0
    tab.frame.click(".film-names button:has-text('2')")
    assert tab.frame.inner_text("h2 >> nth=0") == f"{FIRST} unit 2"
