"""The view of embeddings: points at the places of the values, the same point in all runs, its neighbours."""

import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from browser.embeddings import COUNT, HASH, HEIGHT, NAMES, NEAREST, WIDTH, Embedded, hover_point, map_of, places
from browser.harness import Tab

from lightning_viz.render.palettes import class_colours

BOTH = "view=embedding&runs=first,turned"
CLASSES = class_colours(range(3))

Served = tuple[str, Embedded]


@pytest.fixture
def still(tab: Tab) -> Tab:
    """The tab for people who want no motion."""
    tab.page.emulate_media(reduced_motion="reduce")
    return tab


def until(check: Callable[[], bool]) -> None:
    """Wait until layouts have come and the map is drawn."""
    end = time.monotonic() + 8
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def colours_at(tab: Tab, run: str, written: Embedded, epoch: int) -> np.ndarray:
    """What the map of a run shows where the points of ``first`` belong."""
    shown = map_of(tab, run)
    x, y = np.floor(places(written.layouts, epoch, shown.shape[1::-1])).astype(int).T
    return shown[y, x]


def in_full_colour(tab: Tab, run: str, written: Embedded, epoch: int) -> np.ndarray:
    """Which points have the colour of their class at the place where they belong."""
    return (colours_at(tab, run, written, epoch) == CLASSES[written.labels]).all(1)


def drawn_at(tab: Tab, run: str, written: Embedded, epoch: int) -> bool:
    return bool(in_full_colour(tab, run, written, epoch).all())


def place_of(tab: Tab, written: Embedded, epoch: int, point: int, run: str = "first") -> np.ndarray:
    return places(written.layouts, epoch, map_of(tab, run).shape[1::-1])[point]


def marks_near(tab: Tab, run: str, place: np.ndarray, reach: int = 9) -> int:
    """How many pixels are marked around a place."""
    x, y = (int(one) - reach for one in place)
    read = "(c, [x, y, n]) => [...c.getContext('2d').getImageData(x, y, n, n).data].filter((v, i) => i % 4 === 3 && v)"
    return len(tab.frame.locator(f"[data-run={run}] .point-map-marks").evaluate(read, [x, y, 2 * reach + 1]))


def points_in(tab: Tab) -> str:
    """The selection in the address."""
    found = re.search(r"points=([^&]*)", tab.page.evaluate("location.hash"))
    return found[1].replace("%3A", ":").replace("%2C", ",") if found else ""


@pytest.mark.parametrize("epoch", [0, 2])
def test_points_are_where_the_values_say_in_both_runs_on_one_scale(still: Tab, embedded: Served, epoch: int) -> None:
    address, written = embedded
    still.open(address, f"{BOTH}&epoch={epoch}").ready()
    # "turned" holds the same layouts, mirrored, turned and moved: it must be laid upon the first.
    until(lambda: all(drawn_at(still, run, written, epoch) for run in ("first", "turned")))


def test_points_glide_to_the_next_epoch(tab: Tab, embedded: Served) -> None:
    address, written = embedded
    tab.open(address, f"{BOTH}&epoch=0").ready()
    until(lambda: drawn_at(tab, "first", written, 0))
    tab.press("ArrowRight")
    tab.frame.wait_for_selector("[data-moving]")
    assert not drawn_at(tab, "first", written, 1)
    tab.frame.wait_for_function("!document.querySelector('[data-moving]')")
    assert drawn_at(tab, "first", written, 1)
    assert drawn_at(tab, "turned", written, 1)


def test_the_image_under_the_pointer_and_its_mark_in_the_other_run(still: Tab, embedded: Served) -> None:
    address, written = embedded
    still.open(address, f"{BOTH}&epoch=1").ready()
    until(lambda: drawn_at(still, "first", written, 1))
    for point in (0, 17, COUNT - 1):
        place = place_of(still, written, 1, point)
        hover_point(still, "first", place + 1)
        still.frame.wait_for_selector(f".point-card:has-text('point {point}')")
        assert NAMES[written.labels[point]] in still.frame.inner_text(".point-card")
        read = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
        image = np.array(still.frame.locator(".point-card canvas").evaluate(read)).reshape(HEIGHT, WIDTH, 4)
        assert (image[..., :3] == written.images[point]).all()
        assert marks_near(still, "turned", place) > 40
    still.frame.hover(".toolbar")
    assert still.frame.locator(".point-card").count() == 0
    assert marks_near(still, "turned", place) == 0


def test_a_click_shows_the_neighbours_in_every_run_and_escape_lets_go(still: Tab, embedded: Served) -> None:
    address, written = embedded
    still.open(address, f"{BOTH}&epoch=1").ready()
    until(lambda: drawn_at(still, "first", written, 1))
    point = 23
    hover_point(still, "first", place_of(still, written, 1, point))
    still.page.mouse.down()
    still.page.mouse.up()
    strip = still.frame.locator("[data-run=first] .nearest .point-thumb")
    strip.first.wait_for()
    expected = written.near[1][0][point]
    said = [text.split(",")[0] for text in strip.evaluate_all("all => all.map((one) => one.ariaLabel)")]
    assert said == [f"{place + 1}. point {other}" for place, other in enumerate(expected)]
    wrong = strip.evaluate_all("all => all.map((one) => one.querySelector('.point-thumb-cross') !== null)")
    assert wrong == [bool(written.labels[other] != written.labels[point]) for other in expected]
    assert any(wrong)
    turned = still.frame.locator("[data-run=turned] .nearest .point-thumb").first.get_attribute("aria-label")
    assert turned.split(",")[0] != said[0]
    for other in expected:
        assert marks_near(still, "first", place_of(still, written, 1, other), 5) > 10
    same = sum(int(not one) for one in wrong)
    assert f"of its class among the nearest: {same} of {NEAREST} in first" in still.frame.inner_text(".stage-foot")
    until(lambda: points_in(still) == f"{HASH}:{point}")
    still.page.keyboard.press("Escape")
    assert still.frame.locator(".nearest").count() == 0
    until(lambda: points_in(still) == "")


def test_a_lasso_selects_the_same_points_in_all_runs(still: Tab, embedded: Served) -> None:
    address, written = embedded
    still.open(address, f"{BOTH}&epoch=2").ready()
    until(lambda: drawn_at(still, "first", written, 2))
    width, height = map_of(still, "first").shape[1::-1]
    corners = np.array([[0.1, 0.2], [0.5, 0.2], [0.5, 0.8], [0.1, 0.8]]) * [width, height]
    hover_point(still, "turned", corners[0])
    still.page.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        hover_point(still, "turned", corner)
    still.page.mouse.up()
    x, y = places(written.layouts, 2, (width, height)).T
    inside = (x > corners[0, 0]) & (x < corners[1, 0]) & (y > corners[0, 1]) & (y < corners[2, 1])
    assert 5 < inside.sum() < COUNT
    still.frame.wait_for_selector(f".stage-foot:has-text('{inside.sum()} points selected')")
    assert (in_full_colour(still, "first", written, 2) == inside).all()
    # The selection holds the same points at another epoch.
    still.press("ArrowLeft")
    until(lambda: np.array_equal(in_full_colour(still, "first", written, 1), inside))


def test_a_class_is_emphasised(still: Tab, embedded: Served) -> None:
    address, written = embedded
    still.open(address, f"{BOTH}&epoch=0").ready()
    assert still.frame.locator(".class-legend button").all_inner_texts() == NAMES
    still.frame.click(".class-legend button:has-text('bee')")
    until(lambda: np.array_equal(in_full_colour(still, "turned", written, 0), written.labels == 1))


def test_without_a_pointer(still: Tab, embedded: Served) -> None:
    address, _ = embedded
    still.open(address, f"{BOTH}&epoch=0").ready()
    still.frame.focus("input[name=point]")
    still.page.keyboard.type("4")
    still.page.set_viewport_size({"width": 1200, "height": 900})  # everything is drawn anew
    still.frame.wait_for_timeout(300)
    still.page.keyboard.type("1")
    still.page.keyboard.press("Enter")
    still.frame.wait_for_selector("[data-run=turned] .nearest")
    assert "point 41" in still.frame.inner_text(".stage-foot")
    still.frame.click("[aria-label='Next point']")
    still.frame.wait_for_selector(".stage-foot:has-text('point 42')")


def test_images_on_a_grid_do_not_overlap(still: Tab, embedded: Served) -> None:
    address, written = embedded
    still.open(address, "view=embedding&runs=first&epoch=1&look=images&grid=1").ready()
    still.page.wait_for_load_state("networkidle")

    def tiles() -> list[tuple[int, int]]:
        """Where the upper left corner of each image is."""
        shown = map_of(still, "first")
        return [tuple(np.argwhere((shown == image[0, 0]).all(-1))[0]) for image in written.images]

    until(lambda: (map_of(still, "first") == written.images[5][0, 0]).all(-1).any())
    corners = np.array(tiles())
    apart = np.abs(corners[:, None] - corners[None]).max(-1)
    np.fill_diagonal(apart, 10**6)
    sizes = [(map_of(still, "first") == image[0, 0]).all(-1).sum() for image in written.images]
    assert apart.min() >= 30
    assert min(sizes) > 10  # nobody's corner is covered
    still.frame.click("text=free")
    still.frame.wait_for_function("location.hash.includes('look=images') && !location.hash.includes('grid')")


def test_the_table_of_neighbours(still: Tab, embedded: Served) -> None:
    address, written = embedded
    still.open(address, f"{BOTH}&look=neighbours&epoch=0").ready()
    queries = [int(np.flatnonzero(written.labels == label)[0]) for label in range(3)]
    rows = still.frame.locator(".query-row")
    assert rows.evaluate_all("all => all.map((one) => one.dataset.query)") == [str(point) for point in queries]
    for epoch in (0, 1):
        indices, distances = written.near[epoch]
        for row, point in enumerate(queries):
            cell = rows.nth(row).locator("[data-run=first]")
            cell.locator(f"[aria-label^='1. point {indices[point][0]},']").wait_for()
            labels = cell.locator(".point-thumb").evaluate_all("all => all.map((one) => one.ariaLabel)")
            assert [int(re.search(r"point (\d+)", label)[1]) for label in labels] == indices[point].tolist()
            assert ["another class" in label for label in labels] == (
                written.labels[indices[point]] != written.labels[point]
            ).tolist()
            shown = [float(text) for text in cell.locator(".nearest-distance").all_inner_texts()]
            assert shown == pytest.approx(distances[point].tolist(), rel=0.01)
        still.press("ArrowRight")
    still.frame.click(f".query-row[data-query='{queries[1]}'] [data-run=first] .point-thumb")
    still.frame.wait_for_function("document.querySelectorAll('.query-row').length === 1")


def test_numbers_beside_the_name(still: Tab, embedded: Served) -> None:
    still.open(embedded[0], f"{BOTH}&epoch=0").ready()
    scores = still.frame.locator("[data-run=first] .embedding-scores")
    expected = ["kNN", "50%", "trust", "0.9", "silhouette", "\N{MINUS SIGN}0.125", "drift", "\N{EN DASH}"]
    assert scores.inner_text().split() == expected
    still.press("End")
    still.frame.wait_for_selector("[data-run=first] [data-score=drift]:has-text('0.25')")
    assert all(
        "neighbours" in one for one in scores.locator("div").evaluate_all("all => all.slice(0, 2).map((d) => d.title)")
    )


def test_other_samples_are_neither_aligned_nor_linked(still: Tab, embedded: Served) -> None:
    still.open(embedded[0], "view=embedding&runs=first,other&epoch=1&points=7").ready()
    still.frame.wait_for_selector("[data-run=first] .nearest")
    assert "their samples differ" in still.frame.inner_text(".stage-top .notice")
    assert still.frame.locator("[data-run=other] .nearest").count() == 0
    # The odd one out is named, wherever it stands.
    still.open(embedded[0], "view=embedding&runs=bare,first,turned&epoch=0&look=neighbours").ready()
    still.frame.wait_for_selector("text=The points of bare are not those of first")
    assert still.frame.inner_text(".query-row [data-run=bare]") == "Its points are other images."
    still.faults.clear()  # the browser notes each 404


def test_no_labels_no_thumbnails_and_points_without_a_place(still: Tab, embedded: Served) -> None:
    address, written = embedded
    still.open(address, "view=embedding&runs=bare&points=4&look=images").ready()
    still.frame.wait_for_selector(
        f".point-map-note:has-text('No images: The store has no image 0 of probe {'a' * 16}.')"
    )
    note = still.frame.inner_text(".point-map-about")
    assert note == f"3 of {COUNT} points have no place: their features are not finite"
    assert still.frame.locator(".class-legend button").count() == 0
    assert "No neighbours" in still.frame.inner_text(".chosen-points")
    shown = map_of(still, "bare")
    finite = np.delete(written.layouts[0], [4, 5, 6], axis=0)
    x, y = np.floor(places([finite], 0, shown.shape[1::-1])).astype(int).T
    still.page.keyboard.press("Escape")
    until(lambda: bool((map_of(still, "bare")[y, x] == CLASSES[0]).all()))
    still.faults.clear()  # the browser notes each 404


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ("late", "No map at epoch 1."),
        ("damaged", f"The layout has the shape {COUNT}\N{MULTIPLICATION SIGN}3, not N\N{MULTIPLICATION SIGN}2."),
        ("without", "without has no embedding of fc."),
        ("failed", "The drawing at epoch 1 failed. ValueError: the features are gone"),
    ],
)
def test_what_is_missing_is_said(still: Tab, embedded: Served, run: str, says: str) -> None:
    address, written = embedded
    still.open(address, f"view=embedding&runs=first,{run}&epoch=1").ready()
    until(lambda: drawn_at(still, "first", written, 1) or run == "late")
    assert says in re.sub(r"\s+", " ", still.frame.locator(f"section[data-run={run}]").inner_text())


def test_while_a_layout_is_on_its_way_the_one_before_stays(still: Tab, embedded: Served) -> None:
    still.page.route("**/blob?run=first&seq=3&item=1&*", lambda route: None)
    still.open(embedded[0], f"{BOTH}&epoch=1").ready()
    still.frame.wait_for_selector("[data-run=turned] .point-map")
    still.press("End")
    still.frame.wait_for_selector("[data-run=first] .point-map-about:has-text('from epoch 1')")
    assert still.frame.locator("[data-run=first] .point-map").count() == 1
    until(lambda: still.frame.inner_text("[data-run=turned] .point-map-about") == "")
    still.page.unroute_all(behavior="ignoreErrors")


def test_a_layer_is_chosen(still: Tab, embedded: Served) -> None:
    address, written = embedded
    still.open(address, "view=embedding&runs=layers&epoch=0").ready()
    until(lambda: drawn_at(still, "layers", written, 0))
    still.frame.select_option(".embedding-bar select", "conv")
    until(lambda: drawn_at(still, "layers", written, 2))


def test_the_ground_follows_the_dark_mode(still: Tab, embedded: Served) -> None:
    still.open(embedded[0], BOTH, host=True, dark=True).ready()
    assert map_of(still, "first")[0, 0].tolist() == [48, 48, 48]
    still.page.evaluate("document.body.classList.remove('dark-mode')")
    until(lambda: map_of(still, "first")[0, 0].tolist() == [255, 255, 255])


def test_the_wheel_enlarges_and_moves_all_maps_together(still: Tab, embedded: Served) -> None:
    address, written = embedded
    still.open(address, f"{BOTH}&epoch=0").ready()
    until(lambda: drawn_at(still, "first", written, 0))
    hover_point(still, "first", place_of(still, written, 0, 9))
    still.page.keyboard.down("Control")
    still.page.mouse.wheel(0, -300)
    still.page.keyboard.up("Control")
    still.frame.wait_for_selector(".toolbar-zoom:has-text('2.7')")
    still.frame.wait_for_selector(".point-card:has-text('point 9')")  # what is pointed at stays under the pointer
    assert (map_of(still, "first") == map_of(still, "turned")).mean() > 0.99
