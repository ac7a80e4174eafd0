"""What is drawn, and what is said where nothing can be drawn."""

import json

import numpy as np
import pytest
from browser.conftest import HOSTILE
from browser.harness import Tab, weights_at

from lightning_viz.render import filter_grid
from lightning_viz.render.scaling import to_bytes


def test_shared_scale_spans_runs_and_epochs(tab: Tab, plain: str) -> None:
    tab.open(plain, "epoch=2").ready()
    tab.frame.click("button:has-text('shared')")
    tab.ready()
    runs = {"kernel_7": (range(13), (8, 3, 5, 5), 0), "kernel_11": (range(0, 13, 2), (8, 3, 7, 9), 1)}
    every = [weights_at(epoch, shape, seed).ravel() for epochs, shape, seed in runs.values() for epoch in epochs]
    low, high = np.concatenate(every).min(), np.concatenate(every).max()
    for run, (_, shape, seed) in runs.items():
        expected = to_bytes(weights_at(2, shape, seed), low, high)
        shown = tab.pixels(run)[: shape[2], : shape[3], :3]
        assert (shown == expected[0].transpose(1, 2, 0)).all()
        assert f"{low:.3g}".replace("-", "\N{MINUS SIGN}") in tab.frame.inner_text(f"[data-run={run}] .readout")


def test_hovering_a_filter_reads_it_out(tab: Tab, plain: str) -> None:
    tab.open(plain, "epoch=5").ready()
    tab.hover_pixel("kernel_7", 6 + 2, 6 + 1)  # row 1, column 1 of 4: filter 5, y 1, x 2
    weights = weights_at(5, (8, 3, 5, 5))[5]
    text = tab.frame.inner_text("[data-run=kernel_7] .readout").replace("\N{MINUS SIGN}", "-")
    assert text.startswith("filter 5: ")
    low, high = text.removeprefix("filter 5: ").partition(",")[0].split(" to ")
    here = text.partition("here ")[2].split(", ")
    assert [float(low), float(high)] == pytest.approx([weights.min(), weights.max()], rel=0.01)
    assert [float(value) for value in here] == pytest.approx(weights[:, 1, 2].tolist(), rel=0.01)
    tab.hover_pixel("kernel_7", 5, 5)
    assert tab.frame.inner_text("[data-run=kernel_7] .readout").startswith("black to white")


def test_a_clicked_filter_stays_marked_in_all_runs(tab: Tab, plain: str) -> None:
    tab.open(plain, "epoch=4").ready()
    tab.hover_pixel("kernel_7", 0, 0, click=True)
    tab.press("ArrowRight", "ArrowRight")
    texts = tab.frame.locator(".readout").all_inner_texts()
    assert len(texts) == 2
    assert all(text.startswith("filter 0: ") for text in texts)
    tab.hover_pixel("kernel_7", 0, 0, click=True)
    tab.frame.hover(".toolbar")
    assert all(text.startswith("black") for text in tab.frame.locator(".readout").all_inner_texts())


def test_a_missing_epoch_is_shown_as_missing(tab: Tab, plain: str) -> None:
    tab.open(plain, "epoch=4").ready()
    before = tab.frame.locator("[data-run=kernel_11] .picture-window").bounding_box()
    tab.press("ArrowRight")
    gap = tab.frame.locator("[data-run=kernel_11] .gap")
    assert "No picture at epoch 5." in gap.inner_text()
    assert gap.bounding_box() == pytest.approx(before, abs=2)
    assert tab.frame.locator("[data-run=kernel_7] canvas").count() == 1
    gap.get_by_text("epoch 6").click()
    assert tab.epoch() == "epoch 6"


def test_zoomed_pictures_move_together(tab: Tab, plain: str) -> None:
    tab.open(plain, "zoom=4").ready()
    first, second = (tab.frame.locator(f"[data-run={run}] .picture-window") for run in ("kernel_7", "kernel_11"))
    first.hover()
    tab.page.mouse.wheel(5000, 0)
    tab.frame.wait_for_function("document.querySelector('[data-run=kernel_11] .picture-window').scrollLeft > 0")
    assert second.evaluate("w => w.scrollLeft + w.clientWidth >= w.scrollWidth - 2")


def test_runs_are_chosen(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    tab.frame.uncheck("text=kernel_7")
    assert tab.columns() == ["kernel_11"]
    tab.frame.hover("li:has-text('kernel_7')")
    tab.frame.click("button[aria-label='Only kernel_7']")
    assert tab.columns() == ["kernel_7"]
    tab.frame.uncheck("text=kernel_7")
    assert "No run is chosen" in tab.frame.inner_text(".blank")
    tab.frame.click(".run-list-all")
    assert tab.columns() == ["kernel_7", "kernel_11"]


def test_a_run_has_one_colour_and_shape_everywhere(tab: Tab, plain: str) -> None:
    tab.open(plain, "runs=kernel_11").ready()
    tab.frame.wait_for_selector(".scalar-cursor .run-mark")
    looks = "ms => [...new Set(ms.map((m) => m.innerHTML.replace(/stroke[^ ]*/, '')))]"
    for where in (".run-list li:has-text('kernel_11')", ".run-head", ".scalar-legend", ".scalar-cursor"):
        assert tab.frame.locator(f"{where} .run-mark").evaluate_all(looks) == tab.frame.locator(
            ".run-head .run-mark"
        ).evaluate_all(looks)
    assert len(tab.frame.locator(".run-list .run-mark").evaluate_all(looks)) == 2


def test_only_hyper_parameters_that_differ_are_shown(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    assert tab.frame.locator(".run-head .run-parameters").all_inner_texts() == ["kernel 7", "kernel 11"]


def test_another_method_is_shown_by_its_pictures(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    tab.frame.click("text=Filter norms")
    tab.ready()
    assert "The norm of each filter" in tab.frame.inner_text("figcaption")
    assert tab.pixels("kernel_7").shape == (3, 7, 4)
    assert "This run has nothing of features.0." in tab.frame.inner_text("[data-run=kernel_11]")


def test_text_from_a_logdir_is_text(tab: Tab, wild: str) -> None:
    tab.open(wild, host=True).ready()
    for view in tab.frame.locator(".view-tab").all():
        view.click()
        tab.ready()
        for place in (".run-list", ".run-head h2 >> nth=0", ".comparison-row h3 >> nth=0"):
            assert HOSTILE in tab.frame.inner_text(place)
    assert HOSTILE in tab.frame.inner_text("figcaption")
    assert tab.frame.locator("img").count() == 0
    assert tab.frame.evaluate("document.title") == "Lightning Viz"
    assert HOSTILE in tab.frame.inner_text(".scalar-legend select")


def test_different_probes_are_mentioned(tab: Tab, wild: str) -> None:
    tab.open(wild).ready()
    assert tab.frame.locator(".notice").count() == 0
    tab.frame.locator(".view-tab").last.click()
    assert "not drawn from the same probe" in tab.frame.inner_text(".notice")


def test_a_failed_drawing_says_why(tab: Tab, wild: str) -> None:
    tab.open(wild, "epoch=1&runs=failed")
    tab.frame.wait_for_selector(".gap .failed")
    text = tab.frame.inner_text("[data-run=failed] .gap")
    assert "Drawing failed at epoch 1." in text
    assert "ValueError: the weights are gone" in text


def test_files_that_were_left_out_are_listed(tab: Tab, wild: str) -> None:
    tab.open(wild).ready()
    tab.frame.click("text=1 file left out")
    assert "failed: records/000099-filters.json: not whole JSON" in tab.frame.inner_text(".skipped-files")


def test_a_run_without_a_store_shows_what_tensorboard_kept(tab: Tab, wild: str) -> None:
    tab.open(wild, "runs=copied").ready()
    assert tab.frame.inner_text(".kept-badge summary") == "No store: 4 images kept by TensorBoard, up to step 30"
    tab.frame.click(".kept-badge summary")
    assert "plugins/lightning_viz" in tab.frame.inner_text(".kept-badge p")
    assert tab.epoch() == "epoch 3.1"  # Lightning's own epoch scalar says that epoch 3 ended at step 29
    tab.press("Home")
    tab.ready()
    expected = filter_grid(weights_at(0, (8, 3, 5, 5))).picture
    shown = tab.pixels("copied")
    assert (np.where(shown[..., 3:] == 0, 255, shown[..., :3]) == expected).all()


def test_a_broken_file_is_named(tab: Tab, plain: str) -> None:
    refusal = {"status": 404, "body": json.dumps({"error": "The file is missing."}), "content_type": "application/json"}
    tab.page.route("**/blob?run=kernel_7&*", lambda route: route.fulfill(**refusal))
    tab.open(plain)
    tab.frame.wait_for_selector("[data-run=kernel_7] .failed")
    assert tab.frame.inner_text("[data-run=kernel_7] .failed") == "The file is missing."
    tab.faults.clear()  # the browser notes each 404
