"""What TensorBoard imports at each start, and what it does when we are broken."""

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from importlib.metadata import entry_points

import pytest
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.core.core_plugin import CorePluginLoader

from lightning_viz.plugin.backend import LightningVizPlugin
from lightning_viz.plugin.loader import Loader


def flags(*arguments: str) -> Namespace:
    """Flags as TensorBoard parses them."""
    parser = ArgumentParser()
    CorePluginLoader().define_flags(parser)
    return parser.parse_args(["--logdir", "runs", *arguments])


def test_tensorboard_finds_the_loader():
    (entry,) = entry_points(group="tensorboard_plugins", name="lightning_viz")
    assert entry.load() is Loader


def test_importing_the_entry_point_imports_nothing_heavy():
    heavy = {"torch", "lightning", "pytorch_lightning", "numpy", "PIL", "tensorboard.plugin_util", "werkzeug"}
    code = "import sys, lightning_viz.plugin.loader as l; l.Loader(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "lightning_viz.plugin.loader" in loaded
    assert not heavy & set(loaded)


def test_the_backend_imports_neither_torch_nor_lightning():
    code = "import sys, lightning_viz.plugin.backend; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "lightning_viz.plugin.backend" in loaded
    assert not {"torch", "lightning", "pytorch_lightning", "PIL", "sklearn"} & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "samples"),
    [
        ([], {"images": 1000}),
        (["--samples_per_plugin", "scalars=5"], {"scalars": 5, "images": 1000}),
        (["--samples_per_plugin", "images=7,scalars=5"], {"images": 7, "scalars": 5}),
        (["--samples_per_plugin", "images=0"], {"images": 0}),
    ],
)
def test_images_are_kept_unless_the_user_said_how_many(arguments, samples):
    parsed = flags(*arguments)
    Loader().fix_flags(parsed)
    assert parsed.samples_per_plugin == samples


def test_flags_of_another_tensorboard_are_left_alone(caplog):
    parsed = Namespace()
    Loader().fix_flags(parsed)
    assert vars(parsed) == {}
    assert "TensorBoard keeps only 10 images of a tag" in caplog.text


def test_the_plugin_is_loaded():
    assert isinstance(Loader().load(TBContext(logdir="runs")), LightningVizPlugin)


def test_a_broken_backend_is_a_warning(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "lightning_viz.plugin.backend", None)
    assert Loader().load(TBContext(logdir="runs")) is None
    assert "the tab could not be loaded; TensorBoard goes on without it" in caplog.text
    assert "ModuleNotFoundError" in caplog.text
