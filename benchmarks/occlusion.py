"""Occlusion maps of one photograph, against Captum at its best of `perturbations_per_eval` 1, 8, 32, 64.

One thread, process time, rounds interleaved, the median of each, and the ratio; also against the plain forward pass in
batches (the best of 8 and 32), and the largest difference of the probabilities. Random weights with calibrated
BatchNorm: fine for time and exactness.

    python benchmarks/occlusion.py
    python benchmarks/occlusion.py --rounds 1 --only resnet18
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
import torchvision
from captum.attr import Occlusion
from torch import Tensor, nn

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

    image = torch.from_numpy(load_sample_images().images[0]).permute(2, 0, 1)[None] / 127.5 - 1
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


def measure(name: str, size: int, square: int, stride: int, rounds: int) -> str:
    """Give one line of the table."""
    image = photograph(size)
    model = network(name, image)
    evals = EVALS if rounds > 1 or name == "small net" else (8, 32)

    def ours() -> Tensor:
        return occlusion_map(model, image, classes=0, square=square, stride=stride).probability[0]

    ways: dict[str, Callable[[], Tensor]] = {"ours": ours}
    ways |= {f"Captum {n}": lambda n=n: captum_map(model, image, square, stride, n) for n in evals}
    ways |= {f"plain {n}": lambda n=n: plain_map(model, image, square, stride, n) for n in (8, 32)}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            times[way].append(timed(run)[0])
    best = {
        kind: min((median(t), way) for way, t in times.items() if way.startswith(kind)) for kind in ("Captum", "plain")
    }
    own = median(times["ours"])
    expected = plain_map(model, image, square, stride, 8)
    found = ours()[: len(expected), : len(expected)]
    faster, than_plain = best["Captum"][0] / own, best["plain"][0] / own
    return (
        f"{name} {size}x{size}, {square}/{stride}, {found.numel()} places: {own:.2f} s, {best['Captum'][1]} "
        f"{best['Captum'][0]:.2f} s: {faster:.1f} times faster; plain batches: {than_plain:.1f}; "
        f"largest difference {float((found - expected).abs().max()):.0e} of probability"
    )


def main() -> None:
    """Print one line per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="one network")
    rounds, only = vars(parser.parse_args()).values()
    torch.set_num_threads(1)
    for case in CASES:
        if only in (None, case[0]):
            print(measure(*case, rounds), flush=True)


if __name__ == "__main__":
    main()
