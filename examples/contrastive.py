"""Does a network that is never told a class come to tell photographs apart?

As in SimCLR (Chen et al., ICML 2020) it sees two views of a crop, turned, coloured and cut at random, and learns to
find the one by the other among all views of the batch. Its module has no ``forward``: the callbacks see how its steps
call encoder and head. The map of the embedding is coloured by the photograph a crop comes from, and ``knn_accuracy``
says how often a crop's nearest neighbours come from the same.

    python examples/contrastive.py                    # 15 photographs, about a minute
    python examples/contrastive.py --data my_images   # any folder of images
    tensorboard --logdir runs/contrastive
"""

import argparse
from pathlib import Path

import pytorch_lightning as pl
import torch
from photographs import CROP, Crops, load_folder, load_photographs
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lightning_viz import ActivationMaps, Embedding, FilterImages, Probe

Views = tuple[list[Tensor], int]


class TwoViews(Dataset[Views]):
    """Two views of each crop, and a label that only the pictures use: at random, or the crop and its mirror image."""

    def __init__(self, photographs: list[Tensor], per_photograph: int, *, train: bool) -> None:
        self.crops = Crops(photographs, per_photograph, train=train)
        self.train = train
        self.view = transforms.Compose(
            [
                transforms.RandomResizedCrop(CROP, scale=(0.3, 1.0), antialias=True),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(0.4, 0.4, 0.4, 0.1),
                transforms.RandomGrayscale(0.2),
                transforms.Normalize(0.5, 0.5),
            ]
        )

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> Views:
        crop, label = self.crops[index]
        if not self.train:
            return [crop, crop.flip(2)], label
        bright = crop / 2 + 0.5
        return [self.view(bright), self.view(bright)], label


class SimCLR(pl.LightningModule):
    """An encoder, whose features are kept, and a head, in whose space views are compared."""

    def __init__(self, temperature: float = 0.2, learning_rate: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 32, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64))

    def loss(self, batch: tuple[list[Tensor], Tensor]) -> Tensor:
        views, _ = batch
        features = torch.cat([normalize(self.head(self.encoder(images))) for images in views])
        count = len(features)
        alike = features @ features.T / self.hparams.temperature
        alike = alike.masked_fill(torch.eye(count, dtype=torch.bool, device=alike.device), -torch.inf)
        others = torch.arange(count, device=alike.device).roll(count // 2)
        return cross_entropy(alike, others)  # their equation 1

    def training_step(self, batch: tuple[list[Tensor], Tensor], _: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[list[Tensor], Tensor], _: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> Optimizer:
        return AdamW(self.parameters(), self.hparams.learning_rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="any folder of images")
    parser.add_argument("--crops", type=int, default=60, help="training crops of each photograph, per epoch")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--logdir", default="runs/contrastive")
    arguments = parser.parse_args()
    pl.seed_everything(0)
    named = load_folder(arguments.data) if arguments.data else load_photographs()
    train = TwoViews(list(named.values()), arguments.crops, train=True)
    val = TwoViews(list(named.values()), 20, train=False)
    probe = Probe(dataset=val, mean=0.5, std=0.5, class_names=list(named))
    trainer = pl.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.logdir, name="simclr", default_hp_metric=False),
        callbacks=[
            FilterImages(),
            ActivationMaps(probe=probe),
            Embedding(layers="encoder", probe=probe, every_n_epochs=1),
        ],
        log_every_n_steps=5,
        enable_checkpointing=False,
    )
    trainer.fit(
        SimCLR(),
        DataLoader(train, batch_size=64, shuffle=True),
        DataLoader(val, batch_size=100),
    )
    print(f"\nLoss of the validation views: {float(trainer.callback_metrics['val_loss']):.3f}")


if __name__ == "__main__":
    main()
