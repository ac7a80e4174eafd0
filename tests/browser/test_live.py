"""The page while training goes on, and when TensorBoard is gone."""

from pathlib import Path
from shutil import rmtree

from browser.harness import Tab, serve, train, weights_at


def test_grows_from_nothing_without_a_reload(tab: Tab, tmp_path: Path) -> None:
    logdir = tmp_path / "logs"
    logdir.mkdir()
    with serve(logdir) as address:
        tab.open(address, host=True)
        tab.frame.wait_for_selector(".blank-code")
        assert "callbacks=[FilterImages()]" in tab.frame.inner_text(".blank-code")

        first = train(logdir, "first", range(3))
        tab.ready()  # within the pace of the page and of TensorBoard
        assert tab.epoch() == "epoch 2"

        # Who stands at the end stays at the end.
        first.draw_filters(weights_at(3, (8, 3, 5, 5)), 3)
        tab.frame.wait_for_function("document.querySelector('output').innerText === 'epoch 3'")

        # Who looks at an epoch goes on looking at it; a new run comes with TensorBoard's reload button, too.
        tab.press("ArrowLeft")
        first.draw_filters(weights_at(4, (8, 3, 5, 5)), 4)
        train(logdir, "second", range(6), seed=1)
        tab.page.wait_for_timeout(1500)  # TensorBoard looks at the folder once a second
        tab.page.click("app-header-reload button")
        tab.frame.wait_for_function("document.querySelector('#epoch').max === '5'")
        assert tab.epoch() == "epoch 2"
        assert tab.columns() == ["first", "second"]
        tab.page.goto("about:blank")  # before TensorBoard ends


def test_a_run_that_is_written_anew_is_shown_anew(tab: Tab, tmp_path: Path) -> None:
    logdir = tmp_path / "logs"
    train(logdir, "run", range(3))
    with serve(logdir) as address:
        tab.open(address).ready()
        assert tab.epoch() == "epoch 2"
        rmtree(logdir / "run" / "plugins")
        train(logdir, "run", range(0, 41, 10), seed=1)  # as many files, and more
        tab.frame.wait_for_function("document.querySelector('#epoch').max === '40'")
        tab.press("Home", "ArrowRight")
        assert tab.epoch() == "epoch 10"
        tab.page.goto("about:blank")


def test_no_answer(tab: Tab, plain: str) -> None:
    tab.page.clock.install()
    tab.page.route("**/lightning_viz/runs", lambda route: route.abort())
    tab.open(plain)
    tab.frame.wait_for_selector("text=No answer from TensorBoard")
    tab.page.unroute("**/lightning_viz/runs")
    tab.page.clock.fast_forward(6000)  # it asks again
    tab.ready()
    tab.faults.clear()  # the browser notes each failure


def test_what_is_there_stays_when_the_link_is_lost(tab: Tab, plain: str) -> None:
    tab.page.clock.install()
    tab.open(plain).ready()
    tab.page.route("**/lightning_viz/runs", lambda route: route.abort())
    tab.page.clock.fast_forward(6000)
    tab.frame.wait_for_selector(".notice[role=alert]")
    assert tab.frame.locator(".comparison-cell canvas").count() == 2
    tab.faults.clear()
