"""Images that excite a target most: many targets in one batch against a loop over them, and against Lucent.

One thread, process time, rounds interleaved; the median of each, and the median, the smallest and the largest ratio of
a round. Random weights with calibrated BatchNorm, units that are not dead: fine for time. Lucent 0.1.8 is given all
units in one batch (faster than one by one), as many steps of Adam, and the same frequencies of decorrelated colours;
"frozen": its user has switched off the gradients of the weights, which its documentation does not. It enlarges smaller
images to 224x224. Memory is the peak of a fresh process above what it held before.

    pip install torch-lucent                             # else its part is skipped; it changes no other package
    python benchmarks/synthesis.py
    python benchmarks/synthesis.py --rounds 1 --only batch
"""

import argparse
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torchvision
from torch import nn

from lightning_viz.functional import class_model
from lightning_viz.functional.synthesis.regularisation import Regularisation

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from kernel_and_stride import FIRST_LAYERS, SmallAlexNet

UNITS, STEPS, CLASSES = 4, 40, 15
LAYER = "layer3"
PLAIN = Regularisation("fourier", step_size=0.05)
CASES = {"resnet18": (LAYER, 16), "stride 4": (None, 32), "stride 2": (None, 32)}
"""The layer whose units are the targets (without one, the classes are), and the steps."""
MEMORY = {"resnet18": ((8, 224), (64, 64)), "stride 4": ((64, 64),), "stride 2": ((64, 64),)}
Ways = dict[str, Callable[[], object]]


def network(name: str, classes: int = 64) -> nn.Module:
    """ResNet-18 with calibrated normalisation, or one of the demo's two networks."""
    torch.manual_seed(0)
    if name != "resnet18":
        (first,) = (layer for layer in FIRST_LAYERS if name == f"stride {layer['stride']}")
        return SmallAlexNet(**first, classes=classes).eval()
    model = torchvision.models.resnet18(weights=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.rand(8, 3, 64, 64))
    return model.eval()


def alive(model: nn.Module, layer: str | None, size: int, count: int) -> list[int]:
    """The first targets that something moves."""
    images = class_model(model, range(64), layer, size=(size, size), steps=1, batch_size=8)
    return images.isfinite().all(3).all(2).all(1).nonzero()[:count, 0].tolist()


def medians(ways: Ways, rounds: int) -> tuple[dict[str, float], Callable[[str, str], str]]:
    """The time of each way, and what says how many times slower one is than another."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.process_time()
            run()
            times[way].append(time.process_time() - start)

    def ratio(slow: str, fast: str) -> str:
        each = [there / here for there, here in zip(times[slow], times[fast], strict=True)]
        return f"{median(each):.2f} times ({min(each):.2f} to {max(each):.2f})"

    return {way: median(taken) for way, taken in times.items()}, ratio


def compare_with_loop(rounds: int) -> None:
    """32 targets at 64 x 64, in one batch and one by one."""
    for name, (layer, steps) in CASES.items():
        model = network(name)
        targets = alive(model, layer, 64, 32)
        ours = partial(class_model, model, layer=layer, size=(64, 64), steps=steps)
        ways: Ways = {
            "batch": partial(ours, targets=targets),
            "loop": lambda ours=ours, targets=targets: [ours(targets=one) for one in targets],
        }
        taken, ratio = medians(ways, rounds)
        print(
            f"{name}, {layer or 'classes'}, {len(targets)} targets, 64x64, {steps} steps: {taken['batch']:.2f} s, "
            f"one by one {taken['loop']:.2f} s, {ratio('loop', 'batch')}"
        )


def compare_with_lucent(rounds: int) -> None:
    """Units of ResNet-18 at 224 x 224 and 64 x 64, without shifts and as both come."""
    try:
        from lucent.optvis import render  # noqa: F401
    except ImportError as error:
        print(f"against Lucent: skipped ({error}); pip install torch-lucent")
        return
    model = network("resnet18")
    for size, ours, what in (
        (224, PLAIN, "without shifts"),
        (224, "fourier", "shifts and scales as both come"),
        (64, "fourier", "not like for like: Lucent's network sees 224x224"),
    ):
        units = alive(model, LAYER, size, UNITS)
        ways: Ways = {"ours": partial(class_model, model, units, LAYER, None, (size, size), STEPS, ours)}
        ways |= {
            "as documented": partial(lucent, model, units, size, shifts=ours != PLAIN, frozen=False),
            "frozen": partial(lucent, model, units, size, shifts=ours != PLAIN, frozen=True),
        }
        taken, ratio = medians(ways, rounds)
        print(
            f"resnet18 {LAYER}, {UNITS} units, {size}x{size}, {STEPS} steps, {what}: {taken['ours']:.2f} s, "
            f"Lucent as documented {taken['as documented']:.2f} s, {ratio('as documented', 'ours')}; "
            f"frozen {taken['frozen']:.2f} s, {ratio('frozen', 'ours')}"
        )


def lucent(model: nn.Module, units: list[int], size: int, *, shifts: bool, frozen: bool) -> None:
    """Lucent's images of the units' centres."""
    from lucent.optvis import objectives, param, render

    model.requires_grad_(not frozen)
    render.render_vis(
        model,
        sum(objectives.neuron(LAYER, unit, batch=place) for place, unit in enumerate(units)),
        lambda: param.image(size, batch=len(units), fft=True, decorrelate=True),
        transforms=None if shifts else [],
        thresholds=(STEPS,),
        progress=False,
        show_image=False,
    )
    for module in model.modules():
        module._forward_hooks.clear()  # Lucent leaves its own there, more with each call
    model.requires_grad_(True).zero_grad()


def time_warm_drawing(rounds: int) -> None:
    """32 steps of all classes, from the images before."""
    for name in ("stride 4", "stride 2"):
        model, reference = network(name, CLASSES), torch.rand(256, 3, 64, 64) * 2 - 1
        ours = partial(class_model, model, range(CLASSES), images=reference, steps=32)
        before = ours()
        taken, _ = medians({"warm": partial(ours, init=before)}, rounds)
        print(f"{name}, a warm drawing of {CLASSES} classes, 64x64, 32 steps: {taken['warm']:.2f} s")


def measure_memory(_: int) -> None:
    """Peaks of fresh processes."""
    for name, shapes in MEMORY.items():
        for count, size in shapes:
            command = [sys.executable, "-W", "ignore", __file__, "--peak", name, str(count), str(size)]
            peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"{name}, {CASES[name][0] or 'classes'}, memory of {count} targets at {size}x{size}: {peak} MB")


def print_peak(name: str, count: int, size: int) -> None:
    """Climb, and print how much memory that took."""
    model, layer = network(name), CASES[name][0]
    targets = (alive(model, layer, 64, count) * count)[:count]
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = memory("VmRSS")
    class_model(model, targets, layer, size=(size, size), steps=4)
    print((memory("VmHWM") - before) // 1024)


def memory(kind: str) -> int:
    """What the process holds, or held at most, in KiB (Linux)."""
    return int(re.search(rf"{kind}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


PARTS = {
    "batch": compare_with_loop,
    "lucent": compare_with_lucent,
    "warm": time_warm_drawing,
    "memory": measure_memory,
}


def main() -> None:
    """Print a line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    rounds, only, peak = vars(parser.parse_args()).values()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if peak:
        print_peak(peak[0], int(peak[1]), int(peak[2]))
        return
    for name, part in PARTS.items():
        if only in (None, name):
            part(rounds)


if __name__ == "__main__":
    main()
