"""The house: each room imports only rooms below it, in no circle, and only packages that are declared."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import lightning_viz

PACKAGE = Path(lightning_viz.__file__).parent

BELOW = {
    "callbacks": {"trainer", "functional", "export", "data", "introspection", "render", "store"},
    "trainer": {"export", "data", "introspection", "render", "store"},
    "functional": {
        "functional.incremental",
        "functional.synthesis",
        "functional.backward",
        "functional.aten",
        "data",
        "introspection",
    },
    "functional.incremental": {"functional.aten", "introspection"},
    "functional.synthesis": {"functional.backward", "introspection"},
    "functional.backward": {"functional.aten", "introspection"},
    "functional.aten": {"introspection"},
    "export": {"render", "store"},
    "data": {"introspection"},
    "introspection": set[str](),
    "plugin": {"store"},
    "cli": {"diagnosis", "store"},
    "diagnosis": {"store"},
    "render": set[str](),
    "store": set[str](),
}
"""Each room, and what it may import; nobody but the users imports callbacks, cli and plugin. A diagnosis of what a
store holds is still to come."""

NEEDS = {
    "callbacks": {"numpy", "torch"},
    "trainer": {"numpy", "torch", "pytorch_lightning"},
    "functional": {"numpy", "openTSNE", "scipy", "sklearn", "threadpoolctl", "torch", "torchvision"},
    "functional.incremental": {"numpy", "torch"},
    "functional.synthesis": {"numpy", "scipy", "torch"},
    "functional.backward": {"torch"},
    "functional.aten": {"torch"},
    "export": {"filelock", "google", "numpy", "tensorboard"},
    "data": {"numpy", "torch", "tqdm"},
    "introspection": {"numpy", "torch"},
    "plugin": {"numpy", "tensorboard", "werkzeug"},
    "cli": set(),
    "diagnosis": {"numpy"},
    "render": {"numpy", "PIL"},
    "store": {"numpy"},
}
"""The packages of others, by room. ``trainer`` finds the second Lightning package by its name."""


def room_of(module: str) -> str:
    """``lightning_viz.functional.aten.boxes`` lies in ``functional.aten``; the package itself in no room."""
    parts = module.split(".")[1:]
    return next((room for end in (2, 1) if (room := ".".join(parts[:end])) in BELOW), "")


def modules() -> dict[str, Path]:
    paths = PACKAGE.rglob("*.py")
    return {
        ".".join(("lightning_viz", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in paths
    }


def imports(source: str) -> Iterator[str]:
    """What a module imports, wherever in it; of ``from x import y`` both may be modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Of each module the modules of this package that it imports."""
    return {
        name: {one for one in imports(source) if one in sources and one not in ("lightning_viz", name)}
        for name, source in sources.items()
    }


def faults(sources: dict[str, str]) -> list[str]:
    """What is wrong with the imports of a package."""
    found = []
    inside = graph(sources)
    for name, targets in inside.items():
        room = room_of(name)
        upward = {one for one in targets if room_of(one) != room and room_of(one) not in BELOW.get(room, set())}
        found += [f"{name} imports {one}" for one in sorted(upward)]
    for name, source in sources.items():
        packages = {one.split(".")[0] for one in imports(source)} - {"lightning_viz"} - set(sys.stdlib_module_names)
        extra = packages - NEEDS.get(room_of(name), {"lazy_loader"})
        found += [f"{name} imports {one}" for one in sorted(extra)]
    try:
        TopologicalSorter(_without_packages(inside)).prepare()
    except CycleError as error:
        found.append("a circle: " + " <- ".join(error.args[1]))
    return found


def _without_packages(inside: dict[str, set[str]]) -> dict[str, set[str]]:
    """A room's ``__init__`` only passes on what its modules offer; those don't import it."""
    packages = {name for name in inside for other in inside if other.startswith(f"{name}.")}
    return {name: targets - packages for name, targets in inside.items() if name not in packages}


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return {name: path.read_text() for name, path in modules().items()}


def test_rooms_import_only_what_is_below_them(sources: dict[str, str]) -> None:
    assert len(sources) > 60
    assert faults(sources) == []


def test_every_module_lies_in_a_room(sources: dict[str, str]) -> None:
    assert [name for name in sources if not room_of(name)] == ["lightning_viz"]


@pytest.mark.parametrize(
    ("module", "line", "fault"),
    [
        ("lightning_viz.data.probe", "from lightning_viz.functional.filters import conv_filters", "functional.filters"),
        ("lightning_viz.functional.filters", "from lightning_viz import render", "lightning_viz.render"),
        ("lightning_viz.functional.aten.boxes", "import lightning_viz.functional.backward.ops", "backward.ops"),
        ("lightning_viz.trainer.base", "from lightning_viz.functional import occlusion", "functional.occlusion"),
        ("lightning_viz.store.schema", "def late():\n    import torch", "store.schema imports torch"),
        ("lightning_viz.functional.aten.boxes", "from lightning_viz.functional.aten import windows", "a circle"),
    ],
)
def test_what_runs_up_is_found(sources: dict[str, str], module: str, line: str, fault: str) -> None:
    found = faults({**sources, module: f"{sources[module]}\n{line}\n"})
    assert any(fault in one for one in found), found


def test_what_is_imported_is_declared_and_what_is_declared_is_imported(sources: dict[str, str]) -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    optional = {name for extra in ("tsne", "lightning") for name in project["optional-dependencies"][extra]}
    declared = {re.split(r"[<>=\[]", name)[0].lower() for name in (*project["dependencies"], *optional)}
    names = {one.split(".")[0] for source in sources.values() for one in imports(source)} - set(sys.stdlib_module_names)
    whose = packages_distributions() | {"google": ["protobuf"]}  # many share this name
    imported = {whose[name][0].lower().replace("_", "-") for name in names - {"lightning_viz"}}
    assert imported == declared - {"lightning"}  # found by its name
