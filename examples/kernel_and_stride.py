"""Does an 11x11 kernel with stride 4 look worse than 7x7 with stride 2? Train both, and look at the filters.

Zeiler & Fergus (ECCV 2014) saw in AlexNet's first layer a mixture of extremely high and low frequencies, and aliasing
after its stride of 4; a smaller kernel and stride cured both. Here two small networks of that style learn which
photograph a 64x64 crop comes from: training crops lie in the left three quarters of each photograph, validation crops
in the right quarter.

    python examples/kernel_and_stride.py                    # 15 photographs from scikit-image and scikit-learn
    python examples/kernel_and_stride.py --data my_images   # a folder with one subfolder per class
    tensorboard --logdir runs/kernel_and_stride
"""

import argparse
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from lightning_viz import (
    ActivationMaps,
    Embedding,
    FeatureEvolution,
    FilterImages,
    GradCAM,
    Occlusion,
    Probe,
    Reconstruction,
    Saliency,
    TopPatches,
)

CROP = 64
FIRST_LAYERS = ({"kernel": 11, "stride": 4}, {"kernel": 7, "stride": 2})


class SmallAlexNet(pl.LightningModule):
    """AlexNet's plan for small images; only the first layer differs between the two runs."""

    def __init__(self, kernel: int, stride: int, classes: int, learning_rate: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel, stride, padding=kernel // 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
            nn.Conv2d(64, 128, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
            nn.Conv2d(128, 128, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(128, classes))
        nn.init.normal_(self.features[0].weight, std=0.01)  # AlexNet's; PyTorch's is 3 times noisier here

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))

    def on_train_start(self) -> None:
        self.logger.log_hyperparams(self.hparams, {"score": 0.0})

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        loss = cross_entropy(self(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, labels = batch
        scores = self(images)
        self.log("val_loss", cross_entropy(scores, labels))
        self.log("score", (scores.argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        optimizer = AdamW(self.parameters(), self.hparams.learning_rate)
        return [optimizer], [CosineAnnealingLR(optimizer, self.trainer.max_epochs)]


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


def load_data(folder: Path | None) -> tuple[Dataset, Dataset, Probe]:
    """Make training and validation data, and the images to look at. In a folder of images every fifth validates."""
    if folder is None:
        named = load_photographs()
        photographs = list(named.values())
        val = Crops(photographs, 20, train=False)
        chosen = ["coins", "grass", "gravel", "galaxies", "tissue", "rocket", "temple", "brick"]
        items = [20 * list(named).index(name) + 11 for name in chosen]
        return Crops(photographs, 240, train=True), val, side_by_side(val, items, list(named))
    normalise = [transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    train = ImageFolder(folder, transforms.Compose([transforms.Resize(80), transforms.RandomCrop(CROP), *normalise]))
    val = ImageFolder(folder, transforms.Compose([transforms.Resize(CROP), transforms.CenterCrop(CROP), *normalise]))
    fifth = Subset(val, range(0, len(val), 5))
    items = [place * (len(fifth) - 1) // 7 for place in (0, 4, 1, 5, 2, 6, 3, 7)]
    return Subset(train, [i for i in range(len(train)) if i % 5]), fifth, side_by_side(fifth, items, train.classes)


def train_one(kernel: int, stride: int, arguments: argparse.Namespace) -> float:
    """Train one network and give its score: the share of validation images that it gets right."""
    pl.seed_everything(0)
    train, val, probe = load_data(arguments.data)
    trainer = pl.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.logdir, name=f"kernel_{kernel}_stride_{stride}", default_hp_metric=False),
        callbacks=[
            FilterImages(),
            ActivationMaps(probe=probe),
            Reconstruction(layers=["features.0", "features.6"], probe=probe),
            Saliency(probe=probe),
            GradCAM(probe=probe),
            Occlusion(probe=probe, square=16, stride=8),
            TopPatches(layers=["features.0", "features.3", "features.6"], probe=probe),
            FeatureEvolution(layers=["features.0", "features.3", "features.6"], probe=probe),
            Embedding(probe=probe, every_n_epochs=1),
        ],
        log_every_n_steps=10,
        enable_checkpointing=False,
    )
    trainer.fit(
        SmallAlexNet(kernel, stride, len(probe.class_names)),
        DataLoader(train, batch_size=32, shuffle=True),
        DataLoader(val, batch_size=100),
    )
    return float(trainer.callback_metrics["score"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--logdir", default="runs/kernel_and_stride")
    arguments = parser.parse_args()
    scores = [(first, train_one(**first, arguments=arguments)) for first in FIRST_LAYERS]
    print("\nScore (share of validation crops recognised):")
    for first, score in scores:
        print(f"  first layer {first['kernel']}x{first['kernel']}, stride {first['stride']}: {score:.3f}")


if __name__ == "__main__":
    main()
