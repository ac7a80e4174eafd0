"""Which digits look alike? Two branches with shared weights learn it from pairs; watch the classes come apart.

A Siamese network (Hadsell, Chopra & LeCun, CVPR 2006) is never told a class: it sees two handwritten digits, and
whether they are the same. Its batches are pairs, so the callback gets a function that embeds with one branch, and a
data set of single digits with labels to colour them.

    python examples/siamese_digits.py                     # the 1,797 digits of scikit-learn, half a minute
    python examples/siamese_digits.py --data FOLDER       # your own images, one subfolder per class
    tensorboard --logdir runs/siamese_digits
"""

import argparse

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Grayscale, Normalize, Resize, ToTensor

from lightning_viz import Embedding, Probe

Pair = tuple[tuple[Tensor, Tensor], Tensor]


class Pairs(Dataset[Pair]):
    """Each digit beside another of its class, or of any other class, by turns of chance that never change."""

    def __init__(self, images: Tensor, labels: Tensor, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.images = images
        self.same = torch.rand(len(images), generator=generator) < 0.5
        fits = (labels[:, None] == labels) == self.same[:, None]
        self.partners = torch.multinomial(fits.float(), 1, generator=generator)[:, 0]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Pair:
        return (self.images[index], self.images[self.partners[index]]), self.same[index]


class Siamese(pl.LightningModule):
    """The contrastive loss draws equal digits together, and pushes others a margin apart."""

    def __init__(self, features: int = 16, margin: float = 1.0, learning_rate: float = 2e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.branch = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 128),
            nn.ReLU(),
            nn.Linear(128, features),
        )

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        first, second = (self.branch(images) for images in pair)
        return nn.functional.pairwise_distance(first, second)

    def loss(self, batch: Pair) -> Tensor:
        pair, same = batch
        distance = self(pair)
        apart = (self.hparams.margin - distance).clamp(min=0)
        return torch.where(same, distance, apart).square().mean() / 2  # their equation 4

    def training_step(self, batch: Pair, _: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Pair, _: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> Optimizer:
        return AdamW(self.parameters(), self.hparams.learning_rate)


def embed_one_branch(model: Siamese, images: Tensor) -> Tensor:
    """The features of single digits."""
    return model.branch(images)


@torch.no_grad()
def neighbours_agree(model: Siamese, digits: TensorDataset) -> float:
    """The share of digits that their 5 nearest neighbours classify correctly."""
    images, labels = digits.tensors
    others = NearestNeighbors(n_neighbors=5).fit(embed_one_branch(model, images)).kneighbors(return_distance=False)
    return float((labels[others].mode().values == labels).float().mean())


def read_digits() -> tuple[Tensor, Tensor, list[str]]:
    """Images ``(N, 1, 8, 8)`` from -1 to 1, labels, names."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    return images, torch.tensor(digits.target), [str(name) for name in digits.target_names]


def read_folder(folder: str) -> tuple[Tensor, Tensor, list[str]]:
    """The same of one's own images, in grey and at 32 x 32 pixels."""
    steps = [Grayscale(), Resize(32), CenterCrop(32), ToTensor(), Normalize(0.5, 0.5)]
    found = ImageFolder(folder, Compose(steps))
    images, labels = zip(*found, strict=True)
    return torch.stack(images), torch.tensor(labels), found.classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--logdir", default="runs/siamese_digits")
    parser.add_argument("--data", help="a folder of images, one subfolder per class")
    arguments = parser.parse_args()
    pl.seed_everything(0)
    images, labels, names = read_folder(arguments.data) if arguments.data else read_digits()
    train, val, train_labels, val_labels = train_test_split(
        images, labels, test_size=1 / 3, stratify=labels, random_state=0
    )
    validation_digits = TensorDataset(val, val_labels)
    model = Siamese()
    before = neighbours_agree(model, validation_digits)
    trainer = pl.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.logdir, name="siamese", default_hp_metric=False),
        callbacks=[
            Embedding(
                # A batch of pairs says nothing about pictures of single digits.
                probe=Probe(validation_digits[:16], mean=0.5, std=0.5, class_names=names),
                every_n_epochs=1,
                features=embed_one_branch,
                data=validation_digits,
            )
        ],
        log_every_n_steps=10,
        enable_checkpointing=False,
    )
    trainer.fit(
        model,
        DataLoader(Pairs(train, train_labels), batch_size=64, shuffle=True),
        DataLoader(Pairs(val, val_labels), batch_size=200),
    )
    after = neighbours_agree(model, validation_digits)
    print(f"\nImages that their 5 nearest neighbours recognise: {before:.3f} untrained, {after:.3f} trained.")


if __name__ == "__main__":
    main()
