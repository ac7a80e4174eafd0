"""G8, G9, G18: accepted everywhere, carries no state, costs nothing to import."""

import importlib
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from contract.harness import (
    all_callbacks,
    check_drawn,
    contents,
    fit,
    image_tags,
    layer_for,
    loaders,
    make_trainer,
    module_class,
    pictures,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_viz import Probe, VizCallback
from lightning_viz.store import read_store


def test_there_are_callbacks_to_test() -> None:
    assert "FilterImages" in [callback.__name__ for callback in all_callbacks()]


def test_it_is_accepted_bare(package: str, callback: type[VizCallback], tmp_path: Path) -> None:
    trainer = fit(package, tmp_path, callback(on_error="raise"), max_epochs=1)
    check_drawn(contents(trainer).records, [0, 6], [callback])


@pytest.mark.parametrize("logger_package", ["pytorch_lightning", "lightning.pytorch"])
def test_they_know_the_loggers_of_both_packages(
    package: str, logger_package: str, every: list[type[VizCallback]], tmp_path: Path
) -> None:
    logger = importlib.import_module(f"{logger_package}.loggers").TensorBoardLogger(tmp_path, name="run", version="")
    fit(package, tmp_path, [callback(on_error="raise") for callback in every], logger=logger, max_epochs=1)
    records = read_store(str(tmp_path / "run/plugins/lightning_viz")).records
    check_drawn(records, [0, 6], every)
    events = EventAccumulator(str(tmp_path / "run"), {"images": 0})
    events.Reload()
    assert {tag for tag in events.Tags()["images"] if tag.startswith("viz/")} == {
        tag for record in records for tag in image_tags(record)
    }


def test_lightning_cli_takes_all_of_them_and_gives_their_arguments_back(package: str, tmp_path: Path) -> None:
    cli_class = importlib.import_module(f"{package}.cli").LightningCLI
    probe = {"mean": [0.5], "std": [0.25], "class_names": ["a"]}
    given = {
        "layers": ["net.0"],
        "every_n_epochs": 2,
        "on_error": "raise",
        "probe": {"class_path": "lightning_viz.Probe", "init_args": probe},
    }
    callbacks = [{"class_path": f"lightning_viz.{one.__name__}", "init_args": given} for one in all_callbacks()]
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"trainer": {"callbacks": callbacks, "accelerator": "cpu", "logger": False}}))
    cli = cli_class(
        module_class(package),
        args=[f"--config={config}"],
        run=False,
        save_config_callback=None,
        seed_everything_default=0,
    )
    made = [callback for callback in cli.trainer.callbacks if isinstance(callback, VizCallback)]
    assert [type(callback) for callback in made] == all_callbacks()
    assert all(callback.layers == ["net.0"] and callback.probe.mean == [0.5] for callback in made)
    dumped = json.loads(cli.parser.dump(cli.config, format="json"))["trainer"]["callbacks"]
    for one in dumped:
        assert one["init_args"]["every_n_epochs"] == 2
        assert one["init_args"]["probe"]["init_args"]["class_names"] == ["a"]
    assert cli.parser.parse_string(cli.parser.dump(cli.config)).trainer.callbacks is not None


def test_lightning_cli_names_a_misspelt_argument(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli_class = importlib.import_module(f"{package}.cli").LightningCLI
    arguments = ["--trainer.callbacks+=lightning_viz.FilterImages", "--trainer.callbacks.every_epoch=2"]
    with pytest.raises(SystemExit):
        cli_class(module_class(package), args=arguments, run=False, save_config_callback=None)
    assert "every_epoch" in capsys.readouterr().err


def test_it_can_be_pickled(callback: type[VizCallback]) -> None:
    one = callback(layers="net.0", every_n_epochs=2, probe=Probe(torch.zeros(1, 3, 4, 5), class_names=["a"]))
    again = pickle.loads(pickle.dumps(one))
    assert (again.layers, again.schedule, again.on_error) == (one.layers, one.schedule, one.on_error)
    assert torch.equal(again.probe.images, one.probe.images)


def test_a_checkpoint_holds_nothing_of_them(package: str, every: list[type[VizCallback]], tmp_path: Path) -> None:
    sizes = {}
    watching = [callback(on_error="raise") for callback in every] + [callback(layers="net.3") for callback in every]
    for name, callbacks in (("without", []), ("with", watching)):
        trainer = fit(package, tmp_path / name, callbacks, max_epochs=1)
        trainer.save_checkpoint(tmp_path / f"{name}.ckpt")
        sizes[name] = (tmp_path / f"{name}.ckpt").stat().st_size
    checkpoint = torch.load(tmp_path / "with.ckpt", weights_only=False)
    assert not checkpoint["callbacks"]
    assert abs(sizes["with"] - sizes["without"]) < 1024


def test_two_of_a_class_coexist(every: list[type[VizCallback]], tmp_path: Path) -> None:
    two_layers = [callback for callback in every if layer_for(callback, "net.0") == "net.0"]

    def drawn(folder: str, *both: tuple[str, int]) -> set[tuple[str, str, int]]:
        watching = [
            callback(layers=layer, every_n_epochs=epochs, on_error="raise")
            for callback in two_layers
            for layer, epochs in both
        ]
        return {record.identity for record in contents(fit("pytorch_lightning", tmp_path / folder, watching)).records}

    one, other = ("net.0", 1), ("net.3", 2)
    first, second = drawn("first", one), drawn("second", other)
    named = {(f"{name} net.0", layer, batches) for name, layer, batches in first}
    named |= {(f"{name} net.3", layer, batches) for name, layer, batches in second}
    assert drawn("both", one, other) == named
    # A method of the output draws no layer.
    assert {(layer, batches) for _, layer, batches in first} >= {("net.0", batches) for batches in (0, 6, 12)}
    assert {(layer, batches) for _, layer, batches in second} >= {("net.3", batches) for batches in (0, 12)}
    for callback in two_layers:
        assert {batches for method, _, batches in first if method == callback.method} == {0, 6, 12}, callback
        assert {batches for method, _, batches in second if method == callback.method} == {0, 12}, callback


def test_the_same_objects_serve_two_trainers(every: list[type[VizCallback]], tmp_path: Path) -> None:
    watching = [callback(on_error="raise") for callback in every]
    drawn = []
    for name in ("first", "second"):
        trainer = fit("pytorch_lightning", tmp_path / name, watching)
        check_drawn(contents(trainer).records, [0, 6, 12], every)
        drawn.append(pictures(trainer))
    assert drawn[0] == drawn[1]


def test_fitting_again_goes_on_in_the_same_store(every: list[type[VizCallback]], tmp_path: Path) -> None:
    watching = [callback(on_error="raise") for callback in every]
    trainer = make_trainer("pytorch_lightning", tmp_path, watching, max_epochs=1)
    model = module_class("pytorch_lightning")()
    trainer.fit(model, **loaders())
    trainer.fit_loop.max_epochs = 2
    trainer.fit(model, **loaders())
    check_drawn(contents(trainer).records, [0, 6, 12], every)


def _in_a_fresh_interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def test_importing_the_package_loads_neither_torch_nor_lightning() -> None:
    code = "import sys, lightning_viz; dir(lightning_viz); print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = _in_a_fresh_interpreter(code)
    for package in ("torch", "lightning", "pytorch_lightning", "numpy", "PIL", "tensorboard"):
        assert f"'{package}'" not in loaded


def test_the_shared_arguments_are_the_same_everywhere() -> None:
    """LightningCLI reads names and types from each signature, so that they stand in each; they must not part."""
    shared = list(inspect.signature(VizCallback).parameters.values())
    assert [one.name for one in shared][:2] == ["layers", "probe"]
    for callback in all_callbacks():
        own = list(inspect.signature(callback).parameters.values())
        assert own[: len(shared)] == shared, callback


def test_without_lightning_the_functions_work_and_the_callbacks_say_what_to_install() -> None:
    hide = """
import sys
sys.modules.update({"lightning": None, "pytorch_lightning": None})
import torch, lightning_viz
print(lightning_viz.functional.conv_filters(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5)), "0").shape)
lightning_viz.FilterImages
"""
    said = _in_a_fresh_interpreter(hide)
    assert "torch.Size([4, 3, 5, 5])" in said
    assert "ImportError" in said
    assert "pip install pytorch-lightning" in said
