"""One slider for everything: mouse, keys, typing, the curve, the address."""

import re

import pytest
from browser.harness import Tab, weights_at
from playwright.sync_api import Route

from lightning_viz.render import filter_grid


def test_opens_at_the_last_epoch_of_all_runs(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    assert tab.epoch() == "epoch 12"
    assert tab.columns() == ["kernel_7", "kernel_11"]
    assert tab.frame.get_attribute("#epoch", "aria-valuetext") == "epoch 12 of 12"


def test_slider_moves_every_column(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    box = tab.frame.locator("#epoch").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 16)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 12 + (box["width"] - 24) * 4 / 12 + 9, box["y"] + 16, steps=7)
    tab.page.mouse.up()
    tab.ready()
    assert tab.epoch() == "epoch 4"
    for run, shape, seed in (("kernel_7", (8, 3, 5, 5), 0), ("kernel_11", (8, 3, 7, 9), 1)):
        expected = filter_grid(weights_at(4, shape, seed)).picture
        shown = tab.pixels(run)
        inside = shown[..., 3] == 255
        assert (shown[inside][:, :3] == expected[inside]).all()
        assert (expected[~inside] == 255).all()


def test_keys(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    expected = {
        "ArrowLeft": 11, "Shift+ArrowLeft": 1, "ArrowRight": 2, "Shift+ArrowRight": 12, "Home": 0, "End": 12,
    }  # fmt: skip
    for key, epoch in expected.items():
        tab.press(key)
        assert tab.epoch() == f"epoch {epoch}", key


def test_keys_belong_to_a_focused_text_field(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    tab.frame.focus(".timeline-jump input")
    tab.page.keyboard.type("4 ")
    tab.page.keyboard.press("ArrowLeft")
    assert tab.epoch() == "epoch 12"
    tab.page.keyboard.press("Enter")
    assert tab.epoch() == "epoch 4"


def test_typed_nonsense_changes_nothing(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    for text in ("nonsense", "", "  "):
        tab.frame.fill(".timeline-jump input", text)
        tab.frame.press(".timeline-jump input", "Enter")
    assert tab.epoch() == "epoch 12"
    tab.frame.fill(".timeline-jump input", "-50")
    tab.frame.press(".timeline-jump input", "Enter")
    assert tab.epoch() == "epoch 0"


def test_space_plays_to_the_end_and_stops(tab: Tab, plain: str) -> None:
    tab.open(plain, "epoch=9").ready()
    tab.press(" ")
    tab.frame.wait_for_selector(".timeline-play[aria-label=Pause]")
    tab.frame.wait_for_selector(".timeline-play[aria-label=Play]")
    assert tab.epoch() == "epoch 12"


def test_space_on_a_button_presses_it(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    tab.frame.focus("button:has-text('shared')")
    tab.page.keyboard.press(" ")
    assert tab.frame.get_attribute("button:has-text('shared')", "aria-pressed") == "true"
    assert tab.frame.get_attribute(".timeline-play", "aria-label") == "Play"


def test_help(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    tab.press("?")
    assert "ten at once" in tab.frame.inner_text("dialog")
    tab.page.keyboard.press("ArrowLeft")
    tab.page.keyboard.press("Escape")
    tab.frame.wait_for_selector("dialog", state="detached")
    assert tab.epoch() == "epoch 12"


def test_a_click_on_the_curve_goes_there(tab: Tab, plain: str) -> None:
    tab.open(plain).ready().curves(2)
    box = tab.frame.locator(".u-over").bounding_box()
    tab.page.mouse.click(box["x"] + box["width"] * 6 / 12 + 4, box["y"] + 20)
    assert tab.epoch() == "epoch 6"


def test_a_click_is_not_lost_when_the_curve_is_drawn_anew(tab: Tab, plain: str) -> None:
    tab.open(plain).ready().curves(2)
    box = tab.frame.locator(".u-over").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] * 6 / 12 + 4, box["y"] + 20)
    tab.page.mouse.down()
    tab.frame.select_option(".scalar-legend select", "accuracy")
    tab.curves(1)
    tab.page.mouse.up()
    assert tab.epoch() == "epoch 6"


def test_the_curve_is_the_training_loss_and_its_cursor_stands_at_the_epoch(tab: Tab, plain: str) -> None:
    tab.open(plain, "epoch=3").ready().curves(2)
    tab.frame.wait_for_selector(".scalar-cursor .run-mark")
    assert tab.frame.input_value(".scalar-legend select") == "train_loss"
    assert tab.frame.locator(".scalar-legend .scalar-value").all_inner_texts() == [
        "0.513",
        "0.577",
    ]  # logged at 3 epochs less a batch
    plot, cursor = (tab.frame.locator(name).bounding_box() for name in (".u-over", ".scalar-cursor"))
    thumb = tab.frame.locator("#epoch").bounding_box()
    assert cursor["x"] - plot["x"] == pytest.approx(plot["width"] * 3 / 12, abs=1.5)
    assert thumb["x"] + 12 == pytest.approx(plot["x"], abs=1)
    assert thumb["x"] + thumb["width"] - 12 == pytest.approx(plot["x"] + plot["width"], abs=1)


@pytest.mark.parametrize("width", [1280, 900, 700])
def test_slider_and_curve_share_both_edges(tab: Tab, plain: str, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 800})
    tab.open(plain).ready().curves(2)
    slider, plot = (tab.frame.locator(name).bounding_box() for name in ("#epoch", ".u-over"))
    # Half of the thumb, which is 24 px wide, reaches beyond either end.
    assert slider["x"] + 12 == pytest.approx(plot["x"], abs=0.5)
    assert slider["x"] + slider["width"] - 12 == pytest.approx(plot["x"] + plot["width"], abs=0.5)


def test_another_curve(tab: Tab, plain: str) -> None:
    tab.open(plain).ready().curves(2)
    tab.frame.select_option(".scalar-legend select", "accuracy")
    tab.frame.wait_for_function("document.querySelectorAll('.scalar-legend li').length === 1")
    assert tab.frame.inner_text(".scalar-legend li .scalar-name") == "kernel_7"


def test_a_late_answer_is_dropped(tab: Tab, plain: str) -> None:
    tab.open(plain, "epoch=8").ready()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    tab.page.route(re.compile(r"/blob\?run=kernel_7&seq=3&"), hold)  # epoch 2
    tab.frame.fill(".timeline-jump input", "2")
    tab.frame.press(".timeline-jump input", "Enter")
    tab.frame.wait_for_selector("[data-run=kernel_7] .waiting")
    tab.press("End")
    tab.ready()
    for route in held:
        route.continue_()
    tab.page.wait_for_timeout(300)
    expected = filter_grid(weights_at(12, (8, 3, 5, 5))).picture
    shown = tab.pixels("kernel_7")
    inside = shown[..., 3] == 255
    assert (shown[inside][:, :3] == expected[inside]).all()


def test_the_address_says_what_is_shown(tab: Tab, plain: str) -> None:
    tab.open(plain, host=True).ready()
    tab.press("Home")
    tab.frame.click("button:has-text('shared')")
    tab.frame.click("button[aria-label='Zoom in']")
    tab.frame.uncheck("text=kernel_11")
    tab.frame.select_option(".scalar-legend select", "a_val_loss")
    tab.page.wait_for_function("location.hash.includes('a_val_loss')")
    parts = dict(part.split("=") for part in tab.page.url.partition("#lightning_viz&")[2].split("&"))
    assert {key.removeprefix("p.lightning_viz."): value for key, value in parts.items()} == {
        "epoch": "0", "scale": "shared", "zoom": "1.5", "runs": "kernel_7", "tag": "a_val_loss",
    }  # fmt: skip


def test_a_deep_link_works_on_first_load(tab: Tab, plain: str) -> None:
    state = "epoch=4&scale=shared&zoom=2&runs=kernel_11&tag=val_loss&unit=3,features.0&view=filters"
    tab.open(plain, state, host=True).ready()
    assert tab.epoch() == "epoch 4"
    assert tab.columns() == ["kernel_11"]
    assert tab.frame.get_attribute("button:has-text('shared')", "aria-pressed") == "true"
    assert tab.frame.inner_text(".toolbar-zoom") == "2\N{MULTIPLICATION SIGN}"
    assert "filter 3" in tab.frame.inner_text(".readout")
    tab.frame.wait_for_selector(".scalar-legend select")
    assert tab.frame.input_value(".scalar-legend select") == "val_loss"


def test_a_broken_link_opens_as_usual(tab: Tab, plain: str) -> None:
    tab.open(plain, "epoch=x&scale=7&zoom=-1&runs=gone,%&tag=none&unit=a&view=none&%zz=1").ready()
    assert tab.epoch() == "epoch 12"
    assert tab.columns() == ["kernel_7", "kernel_11"]


def test_the_state_survives_a_look_at_another_tab(tab: Tab, plain: str) -> None:
    tab.open(plain, "epoch=4", host=True).ready()
    tab.press("ArrowRight")
    tab.page.click(".mat-mdc-tab:has-text('Time Series')")
    tab.frame.wait_for_function("innerHeight === 0")
    tab.page.click(".mat-mdc-tab:has-text('Lightning Viz')")
    tab.frame.wait_for_function("innerHeight > 0")
    assert tab.epoch() == "epoch 5"
