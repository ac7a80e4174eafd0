from collections.abc import Iterator
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the tests of the tab need Playwright")
from browser.embeddings import Embedded, write_embeddings  # noqa: E402
from browser.films import Films, write_films  # noqa: E402
from browser.harness import CHROMIUM, FLAGS, Run, Tab, serve, train, weights_at  # noqa: E402
from browser.maps import Drawn, write_maps  # noqa: E402
from browser.synthesis import Synthesised, write_synthesis  # noqa: E402

from lightning_viz.render import filter_grid, heat_map  # noqa: E402
from lightning_viz.trainer.drawing import Drawing  # noqa: E402

HOSTILE = "<img src=x onerror=document.title=1>"


@pytest.fixture(scope="session")
def chromium() -> Iterator["sync_api.Browser"]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"the tests of the tab need {CHROMIUM}: apt-get install chromium fonts-dejavu-core")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture
def tab(chromium: "sync_api.Browser") -> Iterator[Tab]:
    """A fresh page; the console must stay clean."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))  # TensorBoard has none
    tab = Tab(page)
    page.on("console", lambda message: tab.faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: tab.faults.append(str(error)))
    yield tab
    context.close()
    assert not tab.faults


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two runs with filters, one of them only at even epochs, and a method of a user's own."""
    logdir = tmp_path_factory.mktemp("plain") / "logs"
    every = train(logdir, "kernel_7", kernel=7, rate=0.1)
    train(logdir, "kernel_11", range(0, 13, 2), (8, 3, 7, 9), seed=1, kernel=11, rate=0.1)
    norms = weights_at(12, (8, 3, 5, 5)).sum((1, 2, 3))
    own = Drawing("features.0", {"norm": norms}, [heat_map(norms)], ["The norm of each filter"])
    every.draw(own, 12, method="filter_norms")
    every.log(12, accuracy=0.1, a_val_loss=1.0)
    with serve(logdir) as address:
        yield address


@pytest.fixture(scope="session")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a logdir may hold besides: hostile names, a failed drawing, a run without a store, unreadable files."""
    logdir = tmp_path_factory.mktemp("wild") / "logs"
    filters = weights_at(1, (8, 3, 5, 5))
    hostile = Run(logdir, HOSTILE, {"name": HOSTILE})
    hostile.draw_filters(filters, 0, layer=HOSTILE)
    hostile.draw(Drawing(HOSTILE, pictures=[heat_map(filters[0, 0])], captions=[HOSTILE]), 0, HOSTILE, probe="aaaa")
    hostile.log(1, **{HOSTILE: 1.0})

    failed = Run(logdir, "failed", {"name": "other"})
    failed.draw_filters(filters, 0)
    failed.fail(1, "ValueError: the weights are gone")
    failed.draw(Drawing(HOSTILE, pictures=[heat_map(filters[0, 0])]), 0, HOSTILE, probe="bbbb")
    (failed.store.folder / "records" / "000099-filters.json").write_text('{"schema": 1')

    copied = train(logdir, "copied", range(3))
    for epoch in range(4):
        picture = filter_grid(weights_at(epoch, (8, 3, 5, 5))).picture
        copied.writer.add_image("viz/filters/features.0", picture, 10 * epoch, dataformats="HWC")
        copied.writer.add_scalar("epoch", epoch, 10 * epoch + 9)
    copied.writer.flush()
    copied.store.folder.rename(logdir.parent / "the store was not copied")
    with serve(logdir) as address:
        yield address


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Runs with maps of images; see ``write_maps``."""
    return write_maps(tmp_path_factory.mktemp("maps") / "logs")


@pytest.fixture(scope="session")
def maps(drawn: Drawn) -> Iterator[str]:
    with serve(drawn.logdir) as address:
        yield address


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Films]]:
    """Runs with strongest patches; see ``write_films``."""
    written = write_films(tmp_path_factory.mktemp("films") / "logs")
    with serve(written.logdir) as address:
        yield address, written


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Embedded]]:
    """Runs with embeddings; see ``write_embeddings``."""
    written = write_embeddings(tmp_path_factory.mktemp("embeddings") / "logs")
    with serve(written.logdir) as address:
        yield address, written


@pytest.fixture(scope="session")
def synthesised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Synthesised]]:
    """Runs with class models and dreams; see ``write_synthesis``."""
    written = write_synthesis(tmp_path_factory.mktemp("synthesis") / "logs")
    with serve(written.logdir) as address:
        yield address, written
