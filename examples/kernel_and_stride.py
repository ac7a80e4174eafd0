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

import pytorch_lightning as pl
from photographs import load_data, load_dreamed
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader

from lightning_viz import (
    ActivationMaps,
    ClassModel,
    DeepDream,
    Embedding,
    FeatureEvolution,
    FilterImages,
    GradCAM,
    Occlusion,
    Reconstruction,
    Saliency,
    TopPatches,
)

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
            ClassModel(probe=probe),
            ClassModel(probe=probe, regularisation="maco"),
            ClassModel(layers="features.6", probe=probe),
            DeepDream(probe=load_dreamed(arguments.data), epochs=[0, 2, 5]),
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
