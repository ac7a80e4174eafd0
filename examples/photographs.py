"""The images that the examples learn from: photographs that come with scikit-image and scikit-learn, or one's own."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from lightning_viz import Probe

CROP = 64


class Crops(Dataset[tuple[Tensor, int]]):
    """Crops of photographs; the label is the photograph's number.

    Training crops are random, from the left three quarters. Validation crops are fixed, from the right quarter.
    """

    def __init__(self, photographs: list[Tensor], per_photograph: int, *, train: bool) -> None:
        self.photographs, self.per_photograph, self.train = photographs, per_photograph, train

    def __len__(self) -> int:
        return len(self.photographs) * self.per_photograph

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        label, number = divmod(index, self.per_photograph)
        photograph = self.photographs[label]
        _, height, width = photograph.shape
        border = width * 3 // 4
        if self.train:
            top = int(torch.randint(height - CROP + 1, ()))
            left = int(torch.randint(border - CROP + 1, ()))
        else:
            top = number * (height - CROP) // max(1, self.per_photograph - 1)
            left = border + number * 7 % (width - border - CROP + 1)
        return photograph[:, top : top + CROP, left : left + CROP], label


def side_by_side(val: Dataset, items: list[int], classes: list[str]) -> Probe:
    """Put validation images side by side, two by two, once with the label of each: what speaks for it is known."""
    images, labels = [], []
    for left, right in zip(items[::2], items[1::2], strict=True):
        images += [torch.cat([val[left][0], val[right][0]], dim=2)] * 2
        labels += [val[left][1], val[right][1]]
    return Probe((torch.stack(images), torch.tensor(labels)), mean=0.5, std=0.5, class_names=classes)


def load_photographs() -> dict[str, Tensor]:
    """Load 15 photographs that two packages ship, by name, as (3, H, W) in -1..1."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    names = ("astronaut", "brick", "camera", "coffee", "coins", "grass", "gravel", "retina", "rocket")
    arrays = {name: getattr(data, name)() for name in names}
    arrays |= {"cat": data.chelsea(), "galaxies": data.hubble_deep_field(), "tissue": data.immunohistochemistry()}
    arrays |= {"motorcycle": data.stereo_motorcycle()[0]}
    arrays |= dict(zip(["temple", "flower"], load_sample_images().images, strict=True))
    images = {name: np.array(Image.fromarray(array).convert("RGB")) for name, array in arrays.items()}
    return {name: torch.from_numpy(image).permute(2, 0, 1) / 127.5 - 1 for name, image in images.items()}


def load_folder(folder: Path) -> dict[str, Tensor]:
    """Load at most 60 images anywhere in a folder, by name, as (3, 256, 256) in -1..1."""
    endings = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)
    if not paths:
        raise SystemExit(f"There are no images in {folder}.")
    steps = [transforms.Resize(256), transforms.CenterCrop(256), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    read = transforms.Compose(steps)
    chosen = paths[:: -(-len(paths) // 60)]
    return {str(path.relative_to(folder)): read(Image.open(path).convert("RGB")) for path in chosen}


def load_dreamed(folder: Path | None) -> Probe:
    """Load one photograph to dream of, larger than those of training: a cat, or the first of a folder."""
    if folder is None:
        photograph = load_photographs()["cat"][:, 20:276, 100:420]
    else:
        photograph = next(iter(load_folder(folder).values()))
    return Probe(photograph[None], mean=0.5, std=0.5)


def load_data(folder: Path | None, crops: int = 240) -> tuple[Dataset, Dataset, Probe]:
    """Make training and validation data, and the images to look at. In a folder of images every fifth validates.

    Of the photographs that come without a folder there are so many training crops each.
    """
    if folder is None:
        named = load_photographs()
        photographs = list(named.values())
        val = Crops(photographs, 20, train=False)
        chosen = ["coins", "grass", "gravel", "galaxies", "tissue", "rocket", "temple", "brick"]
        items = [20 * list(named).index(name) + 11 for name in chosen]
        return Crops(photographs, crops, train=True), val, side_by_side(val, items, list(named))
    normalise = [transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    train = ImageFolder(folder, transforms.Compose([transforms.Resize(80), transforms.RandomCrop(CROP), *normalise]))
    val = ImageFolder(folder, transforms.Compose([transforms.Resize(CROP), transforms.CenterCrop(CROP), *normalise]))
    fifth = Subset(val, range(0, len(val), 5))
    items = [place * (len(fifth) - 1) // 7 for place in (0, 4, 1, 5, 2, 6, 3, 7)]
    return Subset(train, [i for i in range(len(train)) if i % 5]), fifth, side_by_side(fifth, items, train.classes)
