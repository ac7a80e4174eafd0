"""The page as a page: host, dark mode, accessibility, types."""

import shutil
import subprocess
from pathlib import Path

import pytest
from browser.harness import Tab

ROOT = Path(__file__).parents[2]
AXE = ROOT / "node_modules/axe-core/axe.min.js"


def address_of(request: pytest.FixtureRequest, place: str) -> str:
    """Of a fixture that serves a logdir."""
    served = request.getfixturevalue(place)
    return served if isinstance(served, str) else served[0]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("place", "state"),
    [
        ("plain", ""),
        ("wild", ""),
        ("maps", "view=images&runs=first,second&epoch=1"),
        ("maps", "view=activations&runs=first,second&epoch=1"),
        ("films", "view=patches&runs=first,failed&epoch=1"),
        ("films", "view=evolution&strip=both&epoch=1"),
        ("films", "page=unit&unit=2,0&epoch=1"),
        ("synthesised", "view=synthesis&runs=first,second&epoch=2&target=2,output"),
        ("synthesised", "view=synthesis&runs=first,failed&epoch=2&synthesis=dreams"),
        ("embedded", "view=embedding&runs=first,turned,other,layers&points=7&layer=fc"),
        ("embedded", "view=embedding&runs=first,late&look=neighbours&epoch=1"),
    ],
)
def test_axe_finds_nothing_serious(
    tab: Tab, request: pytest.FixtureRequest, place: str, state: str, dark: bool
) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is missing: npm ci")
    tab.open(address_of(request, place), state, dark=dark).ready()
    tab.frame.evaluate(AXE.read_text())
    violations = tab.frame.evaluate("axe.run().then((result) => result.violations)")
    found = [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations]
    assert not found


def test_dark_mode_follows_tensorboard(tab: Tab, plain: str) -> None:
    tab.open(plain, host=True, dark=True).ready()
    background = "getComputedStyle(document.body).backgroundColor"
    assert tab.frame.evaluate(background) == "rgb(48, 48, 48)"
    tab.page.evaluate("document.body.classList.remove('dark-mode')")
    tab.frame.wait_for_selector(":root[data-theme=light]")
    assert tab.frame.evaluate(background) == "rgb(255, 255, 255)"


def test_it_is_written_in_tensorboards_font(tab: Tab, plain: str) -> None:
    tab.open(plain, host=True).ready()
    assert tab.frame.evaluate("document.fonts.ready.then(() => document.fonts.check('13px Roboto'))")
    assert tab.frame.evaluate("[...document.fonts].some((face) => face.family === 'Roboto')")


@pytest.mark.parametrize(
    ("place", "state"),
    [
        ("plain", ""),
        ("maps", "view=images&epoch=1"),
        ("maps", "view=activations"),
        ("films", "view=patches"),
        ("films", "view=evolution"),
        ("films", "page=unit&unit=2,0"),
        ("synthesised", "view=synthesis&target=0,output"),
        ("embedded", "view=embedding&points=7"),
        ("embedded", "view=embedding&look=neighbours"),
    ],
)
def test_targets_are_large_enough(tab: Tab, request: pytest.FixtureRequest, place: str, state: str) -> None:
    other = "turned" if place == "embedded" else "second"
    tab.open(address_of(request, place), f"{state}&runs=first,{other}" if state else "").ready()
    for target in tab.frame.locator("button, select, label, input:not([type=checkbox])").all():
        box = target.bounding_box()
        assert min(box["width"], box["height"]) >= 24, target.evaluate("e => e.outerHTML")


def test_less_motion(tab: Tab, plain: str) -> None:
    tab.page.emulate_media(reduced_motion="reduce")
    tab.open(plain, "epoch=2").ready()
    tab.press(" ")
    tab.page.wait_for_timeout(700)
    assert tab.epoch() == "epoch 2"


def test_nothing_is_cut_off(tab: Tab, plain: str) -> None:
    tab.open(plain).ready()
    for width, height in ((1280, 800), (1920, 1080), (700, 500)):
        tab.page.set_viewport_size({"width": width, "height": height})
        tab.frame.wait_for_function(
            "([w, h]) => document.body.scrollWidth === w && document.body.scrollHeight === h", arg=[width, height]
        )


def test_each_part_of_the_state_has_one_owner(tab: Tab, plain: str) -> None:
    names, keys = tab.open(plain).frame.evaluate("""async () => {
        const folder = "/data/plugin/lightning_viz/static/";
        const { VIEWS } = await import(`${folder}app/views.js`);
        const { COMMON, INITIAL } = await import(`${folder}model/state.js`);
        const own = VIEWS.flatMap((view) => Object.entries(view.state ?? {}));
        const fields = [...Object.values(COMMON), ...own.map(([, field]) => field)];
        const names = [...Object.keys(INITIAL), ...own.map(([name]) => name)];
        return [names, fields.flatMap((field) => field.key ?? [])];
    }""")
    assert len(names) == len(set(names))
    assert len(keys) == len(set(keys))
    assert {"epoch", "look", "strip"} < set(keys)


def test_types() -> None:
    tsc = ROOT / "node_modules/.bin/tsc"
    if shutil.which("node") is None or not tsc.exists():
        pytest.skip("the types of the tab are checked by TypeScript: npm ci")
    found = subprocess.run([tsc, "--project", ROOT / "jsconfig.json"], capture_output=True, text=True, check=False)
    assert not found.stdout
