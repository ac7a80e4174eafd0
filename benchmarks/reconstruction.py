"""DeconvNet and guided backpropagation of many units, against Captum's loop over units.

For each unit its 9 strongest of 64 photograph crops. One thread, process time, rounds interleaved, the median of each,
and the ratio. Random weights with calibrated BatchNorm: fine for time and exactness.

    python benchmarks/reconstruction.py
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
import torchvision
from captum.attr import NeuronDeconvolution, NeuronGuidedBackprop
from torch import Tensor, nn

from lightning_viz.functional import activation_maps, reconstruct

CASES = [("alexnet", "features.11", 128), ("resnet18", "layer3", 64)]
METHODS = {"deconvnet": NeuronDeconvolution, "guided": NeuronGuidedBackprop}
BEST = 9


def photographs(count: int, size: int) -> Tensor:
    """Crops of photographs that scikit-learn ships, normalised."""
    from sklearn.datasets import load_sample_images

    generator = torch.Generator().manual_seed(0)
    crops = []
    for number in range(count):
        image = torch.from_numpy(load_sample_images().images[number % 2]).permute(2, 0, 1) / 127.5 - 1
        top, left = (int(torch.randint(image.shape[axis] - size, (), generator=generator)) for axis in (1, 2))
        crops.append(image[:, top : top + size, left : left + size])
    return torch.stack(crops)


def network(name: str, images: Tensor) -> nn.Module:
    """A torchvision network as Captum needs it: ReLU modules that are not in place and not shared."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None)
    for module in list(model.modules()):
        for child_name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(module, child_name, nn.ReLU())
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    if name.startswith("resnet"):
        _own_relus(model)
    with torch.no_grad():
        model.train()(images[:8])
    return model.eval()


def _own_relus(model: nn.Module) -> None:
    """Captum's hooks miss a ReLU that is used twice: give each use of a BasicBlock its own."""

    def forward(block: nn.Module, x: Tensor) -> Tensor:
        out = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
        return block.relu2(out + (x if block.downsample is None else block.downsample(x)))

    for block in model.modules():
        if isinstance(block, torchvision.models.resnet.BasicBlock):
            block.relu2 = nn.ReLU()
            block.forward = forward.__get__(block)


def main() -> None:
    """Print one line per network and rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--units", type=int, help="fewer units, for a quick look")
    rounds, fewer = vars(parser.parse_args()).values()
    torch.set_num_threads(1)
    images = photographs(64, 224)
    for name, layer, all_units in CASES:
        units = min(all_units, fewer or all_units)
        model = network(name, images)
        maps = torch.cat([activation_maps(model, layer, part) for part in images.split(8)])
        best = maps.flatten(2).amax(2).topk(BEST, dim=0).indices[:, :units].T  # (units, 9)
        for rule in METHODS:
            ours, captums = _both(model, layer, images, maps, best, rule)
            times: dict[str, list[float]] = {"ours": [], "Captum": []}
            for _ in range(rounds):
                times["ours"].append(_timed(ours)[0])
                spent, expected = _timed(captums)
                times["Captum"].append(spent)
            worst = float(
                (ours() - expected).abs().amax((1, 2, 3)).div(expected.abs().amax((1, 2, 3))).nan_to_num().max()
            )
            here, there = median(times["ours"]), median(times["Captum"])
            print(
                f"{name} {layer}, {rule}, {units} units x {BEST} images: {here:.1f} s, Captum {there:.1f} s, "
                f"{there / here:.1f} times faster; largest difference {worst:.1e} of a map's maximum"
            )


def _both(
    model: nn.Module, layer: str, images: Tensor, maps: Tensor, best: Tensor, rule: str
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    ids, units = best.flatten(), torch.arange(len(best)).repeat_interleave(BEST)
    values, places = maps.flatten(2)[ids, units].max(1)

    def ours() -> Tensor:
        return reconstruct(model, layer, images, units=units, image_ids=ids, rule=rule)

    def captums() -> Tensor:
        method = METHODS[rule](model, model.get_submodule(layer))
        results = []
        for unit, chosen in enumerate(best):
            own = places[unit * BEST : (unit + 1) * BEST]
            results.append(method.attribute(images[chosen], _selector(unit, own, maps.shape[3])))
        return torch.cat(results) * values[:, None, None, None]

    return ours, captums


def _selector(unit: int, places: Tensor, width: int) -> Callable[[Tensor], Tensor]:
    rows = torch.arange(len(places))
    return lambda output: output[rows, unit, places // width, places % width]


def _timed(run: Callable[[], Tensor]) -> tuple[float, Tensor]:
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


if __name__ == "__main__":
    main()
