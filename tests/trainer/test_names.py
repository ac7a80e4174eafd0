"""Two callbacks of one class in one Trainer: the records of both can be seen, under names that last."""

import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import PACKAGES, all_callbacks, contents, fit, store_of

from lightning_viz import (
    ActivationMaps,
    ClassModel,
    Context,
    Drawing,
    FilterImages,
    GradCAM,
    Occlusion,
    Probe,
    Reconstruction,
    Saliency,
    TopPatches,
    VizCallback,
)
from lightning_viz.store import read_values
from lightning_viz.trainer.names import record_names

FIRST, SECOND = torch.rand(2, 2, 3, 12, 20, generator=torch.Generator().manual_seed(0))


class Brightness(VizCallback):
    """The mean of the probe, and of it before."""

    def draw(self, context: Context) -> Iterator[Drawing]:
        before = context.before.get("net.0")
        mean = context.probe.images.mean()
        yield Drawing("net.0", {"mean": mean}, scalars={"before": before.scalars["now"] if before else -1, "now": mean})


class Fails(Brightness):
    method = "brightness"

    def draw(self, context: Context) -> Iterator[Drawing]:
        raise ArithmeticError("no picture today")


@pytest.mark.parametrize(
    ("callbacks", "names"),
    [
        ([GradCAM(), Saliency()], ["grad_cam", "saliency"]),
        ([GradCAM(probe=Probe(FIRST)), GradCAM(probe=Probe(SECOND))], ["grad_cam", "grad_cam 2"]),
        (
            [GradCAM(), GradCAM(layers="conv1"), GradCAM(layers="conv2")],
            ["grad_cam", "grad_cam conv1", "grad_cam conv2"],
        ),
        ([GradCAM(layers=["a", "b"]), GradCAM(layers="a*")], ["grad_cam a b", "grad_cam a"]),
        (
            [Reconstruction(rule="guided"), Reconstruction(rule="gradient")],
            ["reconstruction guided", "reconstruction gradient"],
        ),
        ([Occlusion(square=5), Occlusion(square=7, stride=3)], ["occlusion square 5", "occlusion square 7 stride 3"]),
        (
            [ClassModel(), ClassModel(regularisation="maco"), ClassModel(layers="a")],
            ["class_model", "class_model maco", "class_model a"],
        ),
        ([FilterImages(), FilterImages(every_n_epochs=2)], ["filters", "filters 2"]),
        ([FilterImages(), FilterImages(on_error="raise")], ["filters", "filters 2"]),
        ([FilterImages(), FilterImages(name="filters 2"), FilterImages()], ["filters", "filters 2", "filters 3"]),
        ([FilterImages(), Saliency(name="filters")], ["filters 2", "filters"]),
        ([FilterImages(layers="x" * 99), FilterImages(layers="y")], ["filters", "filters y"]),
        ([TopPatches(k=4), TopPatches(k=9, name="nine")], ["patches", "nine"]),
        ([GradCAM()] * 2, ["grad_cam", "grad_cam 2"]),
    ],
)
def test_names_say_what_differs(callbacks: list[VizCallback], names: list[str]) -> None:
    assert record_names(callbacks) == names
    assert record_names(callbacks) == names


@pytest.mark.parametrize("name", ["", " ", "a/b", "a ", " a", "../a", "a\n", "x" * 65, 3, ["a"], "a\x00", "-a", "a?"])
@pytest.mark.parametrize("callback", all_callbacks())
def test_a_name_that_fits_nowhere_is_refused(callback: type[VizCallback], name: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{callback.__name__}\(name=.*must be a text of 1 to 64 letters"):
        callback(name=name)


@pytest.mark.parametrize("name", ["a", "7", "Größe 3.5: x-y_z", "x" * 64])
@pytest.mark.parametrize("callback", all_callbacks())
def test_every_callback_takes_a_name(callback: type[VizCallback], name: str) -> None:
    assert callback(name=name).name == name


@pytest.mark.parametrize("package", PACKAGES)
def test_the_same_name_twice_is_refused_before_the_first_batch(package: str, tmp_path: Path) -> None:
    both = [GradCAM(name="mine"), Saliency(name="mine")]
    with pytest.raises(ValueError, match="GradCAM and Saliency in one Trainer have the same name='mine'"):
        fit(package, tmp_path, both)
    assert not list(tmp_path.rglob("records"))


@pytest.mark.parametrize("names", [(None, None), ("one", "two"), ("Größe: a.b", None)])
def test_both_probes_of_two_callbacks_are_drawn_and_kept(
    names: tuple[str | None, str | None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = [
        Brightness(probe=Probe(images), name=name, on_error="raise")
        for images, name in zip((FIRST, SECOND), names, strict=True)
    ]
    with caplog.at_level(logging.WARNING, "lightning_viz"):
        trainer = fit("pytorch_lightning", tmp_path, both)
    called = record_names(both)
    found: dict[str, list[float]] = {}
    for record in contents(trainer).records:
        (item,) = record.items
        found.setdefault(record.name, []).append(read_values((store_of(trainer) / item.file).read_bytes()).item())
        assert record.method == "brightness"
    means = [float(images.mean()) for images in (FIRST, SECOND)]
    assert found == {called[0]: [means[0]] * 3, called[1]: [means[1]] * 3}
    assert caplog.text.count("name=...") == (names == (None, None))
    events = import_module("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(trainer.log_dir)
    events.Reload()
    for name, mean in zip(called, means, strict=True):
        assert [one.value for one in events.Scalars(f"viz/{name}/net.0/now")] == [mean] * 3


@pytest.mark.parametrize("names", [(None, None), ("one", "two")])
def test_a_resumed_run_goes_on_under_each_name(names: tuple[str | None, str | None], tmp_path: Path) -> None:
    loggers, callbacks = import_module("pytorch_lightning.loggers"), import_module("pytorch_lightning.callbacks")

    def go_on(epochs: int, ckpt_path: str | None = None) -> Any:
        made = [
            Brightness(probe=Probe(images), name=name, on_error="raise")
            for images, name in zip((FIRST, SECOND), names, strict=True)
        ]
        saving = callbacks.ModelCheckpoint(tmp_path / "saved", save_last=True)
        options = {"enable_checkpointing": True, "logger": loggers.CSVLogger(tmp_path, version=0)}
        return fit("pytorch_lightning", tmp_path, [*made, saving], ckpt_path=ckpt_path, max_epochs=epochs, **options)

    go_on(1)
    records = contents(go_on(2, str(tmp_path / "saved/last.ckpt"))).records
    assert len(records) == 6
    for name, images in zip(names if names[0] else ("brightness", "brightness 2"), (FIRST, SECOND), strict=True):
        own = [record for record in records if record.name == name]
        assert [record.epoch for record in own] == [0, 1, 2]
        assert [record.scalars["before"] for record in own[1:]] == [pytest.approx(float(images.mean()))] * 2


def test_failures_carry_the_name(tmp_path: Path) -> None:
    records = contents(fit("pytorch_lightning", tmp_path, [Fails(), Fails(name="other"), Brightness()])).records
    failed = [(record.name, record.batches) for record in records if record.error]
    assert failed == [(name, batches) for name in ("brightness", "other") for batches in (0, 6, 12)]
    assert {record.name for record in records if not record.error} == {"brightness 2"}


def test_two_callbacks_of_other_layers_keep_both(tmp_path: Path) -> None:
    both = [FilterImages(layers="net.0"), ActivationMaps(layers="net.0"), FilterImages(layers="net.3")]
    trainer = fit("pytorch_lightning", tmp_path, both, max_epochs=1)
    weights = {"net.0": trainer.lightning_module.net[0].weight, "net.3": trainer.lightning_module.net[3].weight}
    last = {one.layer: one for one in contents(trainer).records if one.epoch == 1 and one.method == "filters"}
    assert last.keys() == weights.keys()
    for layer, record in last.items():
        (file,) = [item.file for item in record.items if item.kind == "values"]
        kept = read_values((store_of(trainer) / file).read_bytes())
        assert np.array_equal(kept, weights[layer].detach().numpy())
