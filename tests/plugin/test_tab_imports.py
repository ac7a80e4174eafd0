"""The rooms of the tab: who may import whom."""

import re
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

from lightning_viz.plugin.backend import STATIC

# From top to bottom; what is vendored lies below all.
FLOORS = {"index.js": 5, "app": 4, "views": 3, "components": 2, "model": 1, "render": 0, "io": 0, "vendor": -1}
COMMENT = re.compile(r"/\*.*?\*/|^\s*//.*?$", re.DOTALL | re.MULTILINE)
IMPORT = re.compile(r"""\b(?:from|import)\s*\(?\s*["'](\.{1,2}/[^"']+)["']""")


def imports_of_the_tab() -> dict[str, set[str]]:
    """By module. Types are no imports: they stand in comments, and nothing runs when one is read."""
    modules = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*.js") if "vendor" not in path.parts}
    found = {}
    for name, path in modules.items():
        targets = [(path.parent / target).resolve() for target in IMPORT.findall(COMMENT.sub("", path.read_text()))]
        assert all(target.is_file() for target in targets), name
        found[name] = {target.relative_to(STATIC.resolve()).as_posix() for target in targets}
    return found


def is_allowed(module: str, target: str) -> bool:
    """Downwards, or within a room; of the views, only the registry knows what there are."""
    (room, *_), (other, *_) = Path(module).parts, Path(target).parts
    if target.endswith("/view.js"):
        return module == "views/registry.js"
    if room == other == "views":
        return Path(module).parts[:2] == Path(target).parts[:2]
    return room == other or FLOORS[other] < FLOORS[room]


def test_no_module_imports_upwards() -> None:
    imports = imports_of_the_tab()
    assert set(imports) - set(chain(*imports.values())) == {"index.js", "model/types.js"}  # all others are in use
    assert not [
        f"{module} -> {target}" for module in imports for target in imports[module] if not is_allowed(module, target)
    ]


def test_the_sheets_that_are_named_exist() -> None:
    sources = {path: path.read_text() for path in STATIC.rglob("*.js") if "vendor" not in path.parts}
    named = [
        (path.parent / sheet) for path, text in sources.items() for sheet in re.findall(r'"(\./[^"]+\.css)"', text)
    ]
    assert len(named) > 8
    assert [one for one in named if not one.is_file()] == []


def test_no_module_imports_itself_in_the_end() -> None:
    circle: list[str] = []
    try:
        TopologicalSorter(imports_of_the_tab()).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert not circle
