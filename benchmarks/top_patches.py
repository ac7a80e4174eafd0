"""What it costs to watch all convolutions of a network for the strongest patches, and how much memory it takes.

512 images of 224x224. The time in the hooks, and the rest of the same pass: one thread, process time, the median of
interleaved rounds. Random weights with calibrated BatchNorm. Peak memory in a process of its own: 10,000 images and
1,000 units, against the same process without images.

    python benchmarks/top_patches.py
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from lightning_viz.functional import patches, top_patches

NETWORKS = ["resnet18", "alexnet"]
IMAGES, SIZE, BATCH = 512, 224, 32
MANY, UNITS = 10_000, 1_000
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def photographs(count: int, size: int) -> Tensor:
    """Crops of photographs that scikit-learn ships, normalised."""
    from sklearn.datasets import load_sample_images

    generator, crops = torch.Generator().manual_seed(0), []
    photos = [torch.tensor(photo).permute(2, 0, 1) / 127.5 - 1 for photo in load_sample_images().images]
    for number in range(count):
        image = photos[number % 2]
        top, left = (int(torch.randint(image.shape[axis] - size, (), generator=generator)) for axis in (1, 2))
        crops.append(image[:, top : top + size, left : left + size])
    return torch.stack(crops)


def network(name: str, images: Tensor) -> nn.Module:
    """A torchvision network whose activations have the scale of a trained one."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(images[:8])
    return model.eval()


class Clock:
    """Adds up the time that a function takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.spent = function, 0.0

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.process_time()
            result = self.function(instance, *arguments)
            self.spent += time.process_time() - start
            return result

        return timed


def watched(model: nn.Module, layers: list[str], images: Tensor) -> tuple[float, float]:
    """Give the seconds in the hooks, and those of the whole call."""
    clock = Clock(patches._Best.__dict__["look"])
    patches._Best.look = clock
    try:
        start = time.process_time()
        top_patches(model, layers, images, batch_size=BATCH)
        return clock.spent, time.process_time() - start
    finally:
        patches._Best.look = clock.function


def plain(model: nn.Module, images: Tensor) -> float:
    """Give the seconds of the forward pass alone."""
    start = time.process_time()
    with torch.no_grad():
        for batch in images.split(BATCH):
            model(batch)
    return time.process_time() - start


def measure_time(rounds: int, count: int) -> None:
    """Print one line per network and memory format."""
    images = photographs(count, SIZE)
    for name in NETWORKS:
        for layout, memory_format in LAYOUTS.items():
            model = network(name, images).to(memory_format=memory_format)
            given = images.contiguous(memory_format=memory_format)
            layers = [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)]
            watched(model, layers, given[:BATCH])  # warm up
            times: dict[str, list[float]] = {"hooks": [], "call": [], "plain": []}
            for _ in range(rounds):
                hooks, call = watched(model, layers, given)
                times["hooks"].append(hooks)
                times["call"].append(call)
                times["plain"].append(plain(model, given))
            same_pass = median(h / (c - h) for h, c in zip(times["hooks"], times["call"], strict=True))
            hooks, call, alone = (median(times[part]) for part in ("hooks", "call", "plain"))
            print(
                f"{name} {layout}, {len(layers)} convolutions, {count} images: {hooks:.2f} s in the hooks, "
                f"{100 * same_pass:.1f} % of the rest of the same pass; whole call {call:.1f} s, "
                f"plain forward {alone:.1f} s ({100 * (call / alone - 1):+.1f} %)"
            )


def batches(count: int) -> Iterator[Tensor]:
    """Small images that are made when they are wanted."""
    generator = torch.Generator().manual_seed(0)
    for first in range(0, count, 100):
        yield torch.rand(min(100, count - first), 3, 16, 16, generator=generator)


def peak(count: int) -> float:
    """Watch so many images, and give the peak memory of this process in MB; 0 for the model and its passes alone."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, UNITS, 5, 2), nn.ReLU()).eval()
    with torch.no_grad():
        model(next(batches(100)))
    if count:
        top_patches(model, ["0", "1"], batches(count))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory() -> None:
    """Print the peak of fresh processes."""
    without, few, many = (
        float(
            subprocess.run([sys.executable, __file__, "--peak", str(count)], stdout=subprocess.PIPE, check=True).stdout
        )
        for count in (0, MANY // 10, MANY)
    )
    print(
        f"{UNITS} units in two layers: {many - without:.0f} MB above the model and its passes with {MANY} images, "
        f"{few - without:.0f} MB with {MANY // 10}"
    )


def main() -> None:
    """Print the time, then the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=IMAGES, help="fewer, for a quick look")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    rounds, count, of_process = vars(parser.parse_args()).values()
    torch.set_num_threads(1)
    if of_process is not None:
        print(peak(of_process))
        return
    measure_memory()
    measure_time(rounds, count)


if __name__ == "__main__":
    main()
