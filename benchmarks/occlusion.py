"""Occlusion maps of one photograph, against Captum at its best of `perturbations_per_eval` 1, 8, 32, 64.

Prints a table. One thread, process time, rounds interleaved, the median of each. "plain" is the model's own forward
pass in batches (the best of 8 and 32); "multiplications" is how many times fewer are done than by a forward pass per
place, the bound of what computing less can give; "memory" is the peak of the process above what it held before, in
a fresh process each, against Captum at its best. Random weights with calibrated BatchNorm: fine for time and exactness.

    python benchmarks/occlusion.py
    python benchmarks/occlusion.py --rounds 1 --only resnet18
"""

import argparse
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torchvision
from captum.attr import Occlusion
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_viz.functional import occlusion_map

CASES = [
    ("resnet18", 224, 32, 8),
    ("alexnet", 224, 32, 8),
    ("vgg16", 224, 32, 24),
    ("mobilenet_v2", 224, 32, 16),
    ("small net", 28, 5, 1),
    ("densenet121", 224, 32, 16),
    ("squeezenet1_1", 224, 32, 16),
    ("googlenet", 224, 32, 16),
    ("efficientnet_b0", 224, 32, 16),
    ("convnext_tiny", 224, 32, 32),
    ("vit_b_32", 224, 32, 32),
]
EVALS = (1, 8, 32, 64)


def photograph(size: int) -> Tensor:
    """A photograph that scikit-learn ships, normalised."""
    from sklearn.datasets import load_sample_images

    image = torch.tensor(load_sample_images().images[0]).permute(2, 0, 1)[None] / 127.5 - 1
    return nn.functional.interpolate(image[..., :427, 100:527], (size, size), mode="area")


def network(name: str, image: Tensor) -> nn.Module:
    """A torchvision network with calibrated normalisation, or a small one."""
    torch.manual_seed(0)
    if name == "small net":
        layers: list[nn.Module] = []
        for before, after in ((3, 32), (32, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()] + [nn.MaxPool2d(2)] * (after == 32 == before)
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).eval()
    options = {"init_weights": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(weights=None, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.cat([image, image.flip(3), 0.5 * image, image.flip(2)]))
    return model.eval()


def timed(run: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Process time and result."""
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def captum_map(model: nn.Module, image: Tensor, square: int, stride: int, evals: int) -> Tensor:
    """Captum's map of the first class's probability."""

    def score(images: Tensor) -> Tensor:
        return model(images).softmax(1)

    with torch.no_grad():
        shapes = {"sliding_window_shapes": (3, square, square), "strides": (3, stride, stride)}
        return Occlusion(score).attribute(image, target=0, perturbations_per_eval=evals, **shapes)


def plain_map(model: nn.Module, image: Tensor, square: int, stride: int, batch: int) -> Tensor:
    """The probability at each place by the plain model, in batches."""
    places = range(0, image.shape[2] - square + 1, stride)
    hidden = []
    for top in places:
        for left in places:
            hidden.append((top, left))
    shares = []
    with torch.no_grad():
        for first in range(0, len(hidden), batch):
            part = hidden[first : first + batch]
            images = image.repeat(len(part), 1, 1, 1)
            for one, (top, left) in zip(images, part, strict=True):
                one[:, top : top + square, left : left + square] = 0
            shares.append(model(images).softmax(1)[:, 0])
    return torch.cat(shares).reshape(len(places), len(places))


def ours(model: nn.Module, image: Tensor, square: int, stride: int) -> Tensor:
    """Our map of the first class's probability."""
    return occlusion_map(model, image, classes=0, square=square, stride=stride).probability[0]


def multiplications(run: Callable[[], object]) -> int:
    """How many a function does, in convolutions and products of matrices."""
    mine = {torch.ops.mkldnn._linear_pointwise: lambda rows, weight, *_, **__: 2 * math.prod(rows) * weight[0]}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # what is done in it is not counted
    with FlopCounterMode(display=False, custom_mapping=mine) as counter, torch.no_grad():
        run()
    torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops() // 2


def peak(name: str, way: str) -> int:
    """Peak memory in MB of a fresh process above what it holds before."""
    command = [sys.executable, "-W", "ignore", __file__, "--only", name, "--peak", way]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(name: str, way: str) -> None:
    """Do one map and print how much memory that took."""
    _, size, square, stride = next(case for case in CASES if case[0] == name)
    image = photograph(size)
    model = network(name, image)
    with torch.no_grad():
        model(image)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = memory("VmRSS")
    if way == "ours":
        ours(model, image, square, stride)
    else:
        captum_map(model, image, square, stride, int(way))
    print((memory("VmHWM") - before) // 1024)


def memory(kind: str) -> int:
    """What the process holds, or held at most, in KiB (Linux)."""
    return int(re.search(rf"{kind}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def measure(name: str, size: int, square: int, stride: int, rounds: int) -> str:
    """Give one line of the table."""
    image = photograph(size)
    model = network(name, image)
    ways: dict[str, Callable[[], Tensor]] = {"ours": lambda: ours(model, image, square, stride)}
    ways |= {f"Captum {n}": lambda n=n: captum_map(model, image, square, stride, n) for n in EVALS}
    ways |= {f"plain {n}": lambda n=n: plain_map(model, image, square, stride, n) for n in (8, 32)}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            times[way].append(timed(run)[0])
    captum, best = min((median(taken), way) for way, taken in times.items() if way.startswith("Captum"))
    plain = min(median(taken) for way, taken in times.items() if way.startswith("plain"))
    own, expected = median(times["ours"]), plain_map(model, image, square, stride, 8)
    found = ways["ours"]()
    fewer = found.numel() * multiplications(lambda: model(image)) / multiplications(ways["ours"])
    off = float((found[: len(expected), : len(expected)] - expected).abs().max())
    return (
        f"| {name} {size}x{size}, {square}/{stride} | {found.numel()} | {own:.2f} s | **{captum / own:.1f}** ({best}) "
        f"| {plain / own:.1f} | {fewer:.1f} | {peak(name, 'ours')} MB / {peak(name, best.split()[1])} MB | {off:.0e} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="one network")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    rounds, only, way = vars(parser.parse_args()).values()
    torch.set_num_threads(1)
    if way:
        print_peak(only, way)
        return
    print(
        "| network, square/stride | places | ours | x Captum's best | x plain | multiplications | memory | difference |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case in CASES:
        if only in (None, case[0]):
            print(measure(*case, rounds), flush=True)


if __name__ == "__main__":
    main()
