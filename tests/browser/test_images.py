"""The view of images: the same pixels and values as in Python, side by side."""

import json
import re

import numpy as np
import pytest
from browser.harness import Tab
from browser.maps import FIRST, HEIGHT, IMAGES, LAST, WIDTH, Drawn, cell, hover, numbers, pixels

from lightning_viz.render import heat_map, overlay, resize_map, signed_picture

BOTH = "view=images&runs=first,second"


COLOURS = {0: (0x00, 0x72, 0xB2), 1: (0xE6, 0x9F, 0x00), 2: (0x00, 0x9E, 0x73)}
"""Of the first three classes."""


def close(shown: np.ndarray, expected: np.ndarray) -> bool:
    return shown.shape == expected.shape and int(np.abs(shown.astype(int) - expected).max()) <= 1


def vmax(drawn: Drawn, method: str, layer: str, runs: tuple[str, ...] = ("first", "second")) -> float:
    return max(d.meta["vmax"] for key, d in drawn.drawings.items() if key[0] in runs and key[2:] == (method, layer))


def bound(drawn: Drawn, layer: str, rule: str) -> float:
    every = drawn.every("reconstruction", layer)
    return max(drawing.meta["bounds"][rule] for drawing in every)


def test_a_group_per_image_a_line_per_run_a_column_per_map(tab: Tab, maps: str) -> None:
    tab.open(maps, BOTH).ready()
    assert tab.frame.locator(".image-row h3").all_inner_texts() == ["ant image 0", "bee image 1", "cat image 2"]
    assert tab.frame.locator(".image-row .image-line").count() == 2 * IMAGES
    assert all(line.locator(".image-cell").count() == 7 for line in tab.frame.locator(".image-line").all())
    heads = [re.split(r"\s*\n\s*", text)[0] for text in tab.frame.locator(".map-heads .map-family").all_inner_texts()]
    assert heads == [
        "Photograph", "Grad-CAM", "Saliency", f"Reconstruction {FIRST}, enlarged: 5\N{MULTIPLICATION SIGN}3 pixels",
        f"Reconstruction {LAST}, enlarged: 9\N{MULTIPLICATION SIGN}5 pixels",
    ]  # fmt: skip
    lefts = {
        one: {box.bounding_box()["x"] for box in tab.frame.locator(f".map-cell[data-column*={one!r}]").all()}
        for one in ("photograph", "grad_cam", f'"{FIRST}","guided')
    }
    assert all(len(left) == 1 for left in lefts.values())


def test_pixels_are_those_of_python_on_one_scale(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, f"{BOTH}&epoch=0").ready()
    for run in ("first", "second"):
        for image in range(IMAGES):
            assert (pixels(tab, cell(image, run, "photograph")) == drawn.photographs[image]).all()
            expected = overlay(
                drawn.photographs[image],
                drawn.values(run, 0, "grad_cam", LAST)[image],
                vmax(drawn, "grad_cam", LAST),
            )
            assert close(pixels(tab, cell(image, run, "grad_cam")), expected)
    saliency = drawn.values("first", 0, "saliency", "output")[1]
    expected = heat_map(saliency, 0, vmax(drawn, "saliency", "output"), "grey")
    assert close(pixels(tab, cell(1, "first", "saliency")), expected)


@pytest.mark.parametrize("layer", [FIRST, LAST])
def test_a_reconstruction_is_drawn_where_it_lies(tab: Tab, maps: str, drawn: Drawn, layer: str) -> None:
    tab.open(maps, f"{BOTH}&epoch=2").ready()
    for run, image in (("first", 0), ("second", 2)):
        drawing = drawn.drawings[run, 2, "reconstruction", layer]
        top, left, bottom, right = drawing.meta["boxes"][image]
        whole = np.zeros((3, HEIGHT, WIDTH), np.float32)
        whole[:, top:bottom, left:right] = drawn.values(run, 2, "reconstruction", layer, "guided")[image]
        selector = cell(image, run, f'"{layer}"', "guided")
        style = "e => ['--top', '--left', '--tall', '--wide'].map((name) => +e.style.getPropertyValue(name))"
        y, x, tall, wide = tab.frame.locator(selector).evaluate(style)
        assert y <= top < bottom <= y + tall
        assert x <= left < right <= x + wide
        expected = signed_picture(whole, bound(drawn, layer, "guided"))[y : y + tall, x : x + wide]
        assert close(pixels(tab, selector), expected)


def test_each_map_on_its_own_scale(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, f"{BOTH}&epoch=0").ready()
    tab.frame.click("button:has-text('each map')")
    tab.ready()
    values = drawn.values("first", 0, "grad_cam", LAST)[1]
    expected = overlay(drawn.photographs[1], values, float(values.max()))
    assert close(pixels(tab, cell(1, "first", "grad_cam")), expected)
    saliency = drawn.values("first", 0, "saliency", "output")[1]
    assert close(pixels(tab, cell(1, "first", "saliency")), heat_map(saliency, 0, float(saliency.max()), "grey"))
    shown = pixels(tab, cell(1, "first", f'"{FIRST}"', "deconvnet"))
    cut = drawn.values("first", 0, "reconstruction", FIRST, "deconvnet")[1]
    inside = signed_picture(cut).reshape(-1, 3).tolist()
    assert all(min(np.abs(shown.reshape(-1, 3) - np.array(pixel)).max(1)) <= 1 for pixel in inside)


def test_attention_is_laid_over_the_photograph_as_grad_cam_is(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, "view=images&runs=looks&epoch=1").ready()
    heads = [re.split(r"\s*\n\s*", text)[0] for text in tab.frame.locator(".map-heads .map-family").all_inner_texts()]
    assert heads == ["Photograph", "Attention", "Attention rollout"]
    for layer, name in (("4", "maps"), ("output", "rollout")):
        most = vmax(drawn, "attention", layer, ("looks",))
        for image in range(IMAGES):
            expected = overlay(
                drawn.photographs[image], drawn.values("looks", 1, "attention", layer, name)[image], most
            )
            assert close(pixels(tab, cell(image, "looks", "attention", name)), expected)


def test_opacity_lets_the_photograph_through(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, f"{BOTH}&epoch=0&opacity=0.25", host=True).ready()
    values, most = drawn.values("first", 0, "grad_cam", LAST)[0], vmax(drawn, "grad_cam", LAST)
    before = pixels(tab, cell(0, "first", "saliency"))
    assert close(pixels(tab, cell(0, "first", "grad_cam")), overlay(drawn.photographs[0], values, most, opacity=0.25))
    tab.frame.fill(".toolbar-opacity input", "1")
    tab.page.wait_for_function("location.hash.includes('opacity=1')")
    assert close(pixels(tab, cell(0, "first", "grad_cam")), overlay(drawn.photographs[0], values, most, opacity=1))
    assert (pixels(tab, cell(0, "first", "saliency")) == before).all()
    tab.frame.focus(".toolbar-opacity input")
    tab.page.keyboard.press("ArrowLeft")
    assert tab.frame.inner_text(".toolbar-opacity .toolbar-amount") == "95%"
    assert tab.epoch() == "epoch 0"


def test_the_pointer_reads_raw_values(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, f"{BOTH}&epoch=0").ready()
    hover(tab, cell(1, "second", "grad_cam"), 13, 7)
    values = drawn.values("second", 0, "grad_cam", LAST)[1]
    said = tab.frame.inner_text(".stage-foot")
    assert said.startswith(f"Grad-CAM of {LAST} for bee: ")
    assert "x\N{NO-BREAK SPACE}13, y\N{NO-BREAK SPACE}7" in said
    assert numbers(re.search(r": (.*) at", said)[1]) == pytest.approx([values[3, 6]], rel=0.01, abs=1e-6)

    hover(tab, cell(1, "first", "saliency"), 4, 9)
    values = drawn.values("first", 0, "saliency", "output")[1]
    said = tab.frame.inner_text(".stage-foot")
    assert numbers(re.search(r": (.*) at", said)[1]) == pytest.approx([values[9, 4]], rel=0.01)

    hover(tab, cell(1, "first", f'"{FIRST}"', "guided"), 2, 1, (3, 5))
    drawing = drawn.drawings["first", 0, "reconstruction", FIRST]
    said = tab.frame.inner_text(".stage-foot")
    x, y = (int(number) for number in re.search(r"x\D(\d+), y\D(\d+)", said).groups())
    top, left, bottom, right = drawing.meta["boxes"][1]
    assert left <= x < right
    assert top <= y < bottom
    expected = drawn.values("first", 0, "reconstruction", FIRST, "guided")[1][:, y - top, x - left]
    assert numbers(re.search(r": (.*) at x", said)[1]) == pytest.approx(expected.tolist(), rel=0.01, abs=1e-6)
    row, column = drawing.meta["positions"][1]
    assert re.search(rf"unit {drawing.meta['units'][1]} at row\D{row}, column\D{column}, activation", said)


def test_the_same_place_is_marked_in_the_other_maps(tab: Tab, maps: str) -> None:
    tab.open(maps, f"{BOTH}&epoch=0").ready()
    hover(tab, cell(1, "first", "grad_cam"), 15, 3)
    mark = """e => {
        const style = getComputedStyle(e, '::after');
        return style.content === 'none' ? null : [style.left, style.top].map(parseFloat);
    }"""
    other = tab.frame.locator(cell(1, "second", "photograph"))
    box = other.bounding_box()
    assert other.evaluate(mark) == pytest.approx([15.5 / WIDTH * box["width"], 3.5 / HEIGHT * box["height"]], abs=0.1)
    assert tab.frame.locator(cell(0, "first", "photograph")).evaluate(mark) is None
    tab.frame.hover(".toolbar")
    assert other.evaluate(mark) is None


def test_an_epoch_on_and_one_that_a_run_lacks(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, f"{BOTH}&epoch=0").ready()
    tab.press("ArrowRight")
    tab.ready()
    values, most = drawn.values("first", 1, "grad_cam", LAST)[0], vmax(drawn, "grad_cam", LAST)
    assert close(pixels(tab, cell(0, "first", "grad_cam")), overlay(drawn.photographs[0], values, most))
    line = tab.frame.locator(".image-row[data-image='0'] [data-run=second]")
    assert line.locator(".no-map").all_inner_texts() == ["none at epoch 1", "not in this run", *["none at epoch 1"] * 4]
    assert "second has no maps at epoch 1." in tab.frame.inner_text(".absent-run")
    tab.frame.click(".absent-run button:has-text('epoch 2')")
    tab.ready()
    assert tab.epoch() == "epoch 2"
    assert line.locator(".no-map").all_inner_texts() == ["not in this run"]


def test_zeros_look_empty_and_what_is_not_finite_is_marked(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, f"{BOTH}&epoch=2&scale=own").ready()
    places = "['image', 'run', 'column'].map((name) => e.closest(`[data-${name}]`).dataset[name])"
    found = tab.frame.locator(".all-zero").evaluate_all(f"all => all.map((e) => {places})")
    expected = [
        [str(image), run, json.dumps([method, layer, name], separators=(",", ":"))]
        for (run, epoch, method, layer), drawing in drawn.drawings.items()
        for name in drawing.values
        for image in range(IMAGES)
        if run in ("first", "second") and epoch == 2 and method != "activations"
        if not drawn.values(run, 2, method, layer, name)[image].any()
    ]
    assert ["2", "first", f'["grad_cam","{LAST}","maps"]'] in expected
    assert sorted(found) == sorted(expected)
    shown = pixels(tab, cell(2, "first", "grad_cam"))
    assert close(shown, overlay(drawn.photographs[2], np.zeros((2, 2)), 0))
    bad = pixels(tab, cell(1, "first", "saliency"))[0, :3].tolist()
    assert bad == [[255, 0, 255], [255, 230, 0], [0, 230, 255]]


def test_a_wrong_prediction_is_marked_not_by_colour_alone(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, f"{BOTH}&epoch=0").ready()
    for run in ("first", "second"):
        for image, one in enumerate(drawn.drawings[run, 0, "grad_cam", LAST].meta["predictions"]):
            said = tab.frame.locator(f".image-row[data-image='{image}'] [data-run={run}] .prediction")
            assert one["predicted_name"] in said.inner_text()
            assert f"{one['predicted_probability']:.0%}" in said.inner_text()
            assert said.locator("[aria-label=wrong]").count() == (one["predicted"] != one["label"])


def test_a_store_without_photographs_shows_the_maps_alone(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, "view=images&runs=old&epoch=1").ready()
    assert tab.frame.locator(".image-line .no-map").all_inner_texts() == ["no photograph"] * IMAGES
    values = drawn.values("old", 1, "grad_cam", LAST)[0]
    expected = heat_map(resize_map(values, HEIGHT, WIDTH), 0, vmax(drawn, "grad_cam", LAST, ("old",)))
    assert close(pixels(tab, cell(0, "old", "grad_cam")), expected)
    tab.faults.clear()  # the browser notes each 404


def test_a_failed_drawing_says_why_once(tab: Tab, maps: str) -> None:
    tab.open(maps, "view=images&runs=failed,first&epoch=1").ready()
    assert tab.frame.locator(".notice.failed").all_inner_texts() == [
        "failed, Grad-CAM: drawing failed at epoch 1: ValueError: no gradient"
    ]
    assert tab.frame.locator("[data-run=failed] .no-map").first.inner_text() == "failed"


def test_a_file_that_is_missing_is_named(tab: Tab, maps: str) -> None:
    refusal = {"status": 404, "body": json.dumps({"error": "It is missing."}), "content_type": "application/json"}
    tab.page.route("**/blob?run=first&seq=1&*", lambda route: route.fulfill(**refusal))
    tab.open(maps, f"{BOTH}&epoch=0")
    tab.frame.wait_for_selector(".notice.failed")
    assert tab.frame.inner_text(".notice.failed") == "first, Grad-CAM: It is missing."
    tab.faults.clear()


def test_of_many_images_only_those_nearby_are_drawn(tab: Tab, maps: str) -> None:
    tab.open(maps, "view=images&runs=many").ready()
    assert tab.frame.locator(".image-row").count() == 64
    assert 2 < tab.frame.locator(".image-row canvas").count() < 32
    height = tab.frame.locator(".stage").evaluate("e => e.scrollHeight")
    tab.frame.locator(".image-row").last.scroll_into_view_if_needed()
    tab.frame.wait_for_selector(".image-row[data-image='63'] canvas")
    assert tab.frame.locator(".image-row[data-image='0'] canvas").count() == 0
    assert tab.frame.locator(".stage").evaluate("e => e.scrollHeight") == height


def test_a_link_to_a_method_opens_its_view(tab: Tab, maps: str) -> None:
    tab.open(maps, "view=saliency&runs=first").ready()
    assert tab.frame.inner_text(".view-tab[aria-current]") == "Images"


def test_a_run_without_values_shows_the_pictures_that_were_kept(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, "view=images&runs=first,kept&epoch=0").ready()
    assert tab.frame.locator(".image-line[data-run=kept]").count() == 0
    tab.frame.wait_for_selector(".comparison-row[data-run=kept] canvas")
    tab.frame.wait_for_function("document.querySelector('.comparison-row[data-run=kept] canvas').width === 20")
    assert (tab.pixels("kept")[..., :3] == drawn.photographs[0]).all()


def test_occlusion_is_a_fall_over_the_photograph_a_probability_and_a_class(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, "view=images&runs=hidden&epoch=1").ready()
    values = {
        name: drawn.values("hidden", 1, "occlusion", "output", name) for name in ("drop", "probability", "predicted")
    }
    most = vmax(drawn, "occlusion", "output", ("hidden",))
    for image in range(IMAGES):
        fall = overlay(drawn.photographs[image], values["drop"][image], most)
        assert close(pixels(tab, cell(image, "hidden", "drop")), fall)
        probability = heat_map(values["probability"][image], 0, 1, "grey")
        assert close(pixels(tab, cell(image, "hidden", "probability")), probability)
        classes = np.array([[COLOURS[int(one)] for one in row] for row in values["predicted"][image]])
        assert (pixels(tab, cell(image, "hidden", "predicted")) == classes).all()


def test_the_legend_of_classes_names_them_all_and_the_pointer_reads_one(tab: Tab, maps: str, drawn: Drawn) -> None:
    tab.open(maps, "view=images&runs=hidden&epoch=0").ready()
    legend = tab.frame.locator(".map-classes span:has(i)")
    assert legend.all_inner_texts() == ["ant", "bee", "cat"]
    shown = [one.evaluate("e => getComputedStyle(e).backgroundColor") for one in legend.locator("i").all()]
    assert shown == [f"rgb{colour}" for colour in COLOURS.values()]
    predicted = drawn.values("hidden", 0, "occlusion", "output", "predicted")[1]
    hover(tab, cell(1, "hidden", "predicted"), 8, 3, predicted.shape)
    name = ["ant", "bee", "cat"][int(predicted[3, 8])]
    read = tab.frame.locator(".readout").inner_text().replace("\N{NO-BREAK SPACE}", " ")
    assert f"the most likely class: {name} with the square at row 3, column 8 of 5\N{MULTIPLICATION SIGN}9" in read
