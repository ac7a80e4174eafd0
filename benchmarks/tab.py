"""How fast the tab is, in Chromium: 2 runs x 200 epochs x 2 layers (64 filters of 3x7x7 and of 32x5x5; 98 MB).

    python benchmarks/tab.py

Prints medians: from the click on the tab (a fresh page each time) to the first picture; from a key to the picture of
the next epoch, with neighbours fetched ahead and without (jumps across the run); and the resident memory of the page's
process before and after playing all 200 epochs three times: it grows until its caches are full. Needs Playwright and
Debian's chromium.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser.harness import CHROMIUM, FLAGS, Tab, serve, train, weights_at

EPOCHS = 200
FIRST, SECOND = (64, 3, 7, 7), (64, 32, 5, 5)
OPENINGS, STEPS, JUMPS = 9, 50, 20
BOUND_OPEN_MS, BOUND_STEP_MS = 1000, 100

# Resolves when the picture differs from the one before and no cell waits for its own.
STEP = """(key) => new Promise((done) => {
    const canvases = () => [...document.querySelectorAll('.comparison-cell canvas')];
    const look = () => canvases().map((c) => c.toDataURL()).join();
    const before = look();
    const start = performance.now();
    key.shift = key.shift ?? false;
    document.dispatchEvent(new KeyboardEvent('keydown', { key: key.key, shiftKey: key.shift }));
    const check = () => {
        if (!document.querySelector('.waiting') && look() !== before) done(performance.now() - start);
        else requestAnimationFrame(check);
    };
    requestAnimationFrame(check);
})"""


def open_ms(new_page: Callable[[], Page], address: str) -> float:
    """From the click on our tab to the first picture, in a fresh page of TensorBoard."""
    page = new_page()
    page.goto(f"{address}#timeseries")
    page.wait_for_selector("text=Lightning Viz")
    page.wait_for_load_state("networkidle")
    start = page.evaluate("performance.timeOrigin + performance.now()")
    page.click("text=Lightning Viz")
    tab = Tab(page)
    tab.frame = page.wait_for_selector("iframe[src*=plugin_entry]").content_frame()
    tab.frame.wait_for_function(
        "document.querySelector('.comparison-cell canvas') && !document.querySelector('.waiting')"
    )
    end: float = tab.frame.evaluate("performance.timeOrigin + performance.now()")
    page.context.close()
    return end - start


def step_ms(tab: Tab, keys: list[dict[str, Any]], pause: int) -> list[float]:
    """From each key to the picture."""
    times = []
    for key in keys:
        times.append(tab.frame.evaluate(STEP, key))
        tab.page.wait_for_timeout(pause)
    return times


def resident_mb(page: Page) -> float:
    """Resident memory of the largest renderer (the page without TensorBoard around it) after collecting garbage."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.detach()
    page.wait_for_timeout(500)
    processes = page.context.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    statuses = [Path(f"/proc/{one['id']}/status").read_text() for one in processes if one["type"] == "renderer"]
    return max(int(status.partition("VmRSS:")[2].split()[0]) for status in statuses) / 1024


def play_mb(tab: Tab, address: str) -> list[float]:
    """Memory at the start, and after playing all epochs once, twice, three times."""
    tab.open(address, "epoch=0").ready()
    used = [resident_mb(tab.page)]
    for _ in range(3):
        tab.press("Home", " ")
        tab.frame.wait_for_selector(".timeline-play[aria-label=Play]", timeout=120_000)
        used.append(resident_mb(tab.page))
    return used


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        logdir = Path(folder) / "logs"
        for seed, name in enumerate(["one", "two"]):
            run = train(logdir, name, range(EPOCHS + 1), FIRST, seed)
            for epoch in range(EPOCHS + 1):
                run.draw_filters(weights_at(epoch, SECOND, seed), epoch, "features.3")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with serve(logdir) as address:
            new_page = lambda: browser.new_context(viewport={"width": 1280, "height": 800}).new_page()  # noqa: E731
            opened = median(open_ms(new_page, address) for _ in range(OPENINGS))
            print(f"first picture      {opened:7.0f} ms after the click on the tab (median of {OPENINGS})")

            tab = Tab(new_page()).open(address, "epoch=100").ready()
            tab.page.wait_for_timeout(500)
            steps = median(step_ms(tab, [{"key": "ArrowRight"}] * STEPS, 50))
            print(f"step               {steps:7.0f} ms (median of {STEPS})")
            fresh = Tab(new_page()).open(address).ready()
            jumps = median(step_ms(fresh, [{"key": "ArrowLeft", "shift": True}] * JUMPS, 50))
            fresh.page.context.close()
            print(f"jump               {jumps:7.0f} ms (median of {JUMPS}, nothing fetched ahead)")

            used = play_mb(tab, address)
            print(
                f"memory             {', '.join(f'{one:.0f}' for one in used)} MB (before, then after each of 3 times)"
            )
        browser.close()
    failed = opened > BOUND_OPEN_MS or max(steps, jumps) > BOUND_STEP_MS or used[-1] > 1.05 * used[-2]
    sys.exit("Slower or larger than promised." if failed else 0)


if __name__ == "__main__":
    main()
