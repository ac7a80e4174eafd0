"""Guided backpropagation of one network written twice, with ReLU modules and with ``F.relu``: Captum's hooks and ours.

python benchmarks/functional_relu.py
"""

import torch
from captum.attr import GuidedBackprop, Saliency
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.functional.backward.rules import gradient_of, rectified_by


class Written(nn.Module):
    """Two convolutions; the rectifiers are modules or functions."""

    def __init__(self, relus: list[nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5)
        self.relus = nn.ModuleList(relus)

    def forward(self, images: Tensor) -> Tensor:
        """Score five classes."""
        first, second = self.relus or (F.relu, F.relu)
        return self.head(second(self.two(first(self.one(images)))).mean((2, 3)))


def ours(model: nn.Module, images: Tensor) -> Tensor:
    """Guided gradient of the first class."""
    leaf = images.clone().requires_grad_()
    with rectified_by("guided", model):
        return gradient_of(model(leaf)[:, 0].sum(), leaf)


def main() -> None:
    """Print how far each answer is from that for ReLU modules."""
    images = torch.randn(2, 3, 24, 32, generator=torch.Generator().manual_seed(1))
    modules, functions = Written([nn.ReLU(), nn.ReLU()]).eval(), Written([]).eval()
    truth = GuidedBackprop(modules).attribute(images, 0)
    plain = Saliency(functions).attribute(images, 0, abs=False)
    captums = GuidedBackprop(functions).attribute(images, 0)
    for name, found in (
        ("lightning_viz, modules", ours(modules, images)),
        ("lightning_viz, F.relu", ours(functions, images)),
    ):
        print(f"{name}: differs by {float((found - truth).abs().max() / truth.abs().max()):.1e} of the maximum")
    print(f"Captum, F.relu: differs by {float((captums - truth).abs().max() / truth.abs().max()):.1e} of the maximum;")
    print(f"  it is the plain gradient: {torch.equal(captums, plain)}")


if __name__ == "__main__":
    main()
