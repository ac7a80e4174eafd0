"""Where does a vision transformer look, and what of it speaks for a class?

A small ViT of timm learns which photograph a 64x64 crop comes from. Then it is shown two crops side by side, once with
the label of each: the attention of its class token is the same for both, as it knows no class; Grad-CAM is not.

    pip install timm
    python examples/vision_transformer.py                    # 15 photographs, about a minute
    python examples/vision_transformer.py --data my_images   # a folder with one subfolder per class
    tensorboard --logdir runs/vision_transformer
"""

import argparse
from pathlib import Path

import pytorch_lightning as pl
import timm
from photographs import CROP, load_data
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader

from lightning_viz import AttentionMaps, FilterImages, GradCAM


class SmallViT(pl.LightningModule):
    """Four blocks of three heads on patches of 8x8."""

    def __init__(self, classes: int, learning_rate: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = timm.create_model(
            "vit_tiny_patch16_224",
            img_size=CROP,
            patch_size=8,
            embed_dim=96,
            depth=4,
            num_classes=classes,
            dynamic_img_size=True,  # two crops side by side are 64x128
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        loss = cross_entropy(self(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, labels = batch
        scores = self(images)
        self.log("val_loss", cross_entropy(scores, labels))
        self.log("accuracy", (scores.argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> Optimizer:
        return AdamW(self.parameters(), self.hparams.learning_rate, weight_decay=0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("--crops", type=int, default=60, help="training crops of each photograph, per epoch")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--logdir", default="runs/vision_transformer")
    arguments = parser.parse_args()
    pl.seed_everything(0)
    train, val, probe = load_data(arguments.data, arguments.crops)
    trainer = pl.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.logdir, name="vit", default_hp_metric=False),
        callbacks=[
            FilterImages(),  # the embedding of the patches is a convolution
            GradCAM(probe=probe),
            AttentionMaps(layers=["network.blocks.*"], probe=probe),
        ],
        log_every_n_steps=10,
        enable_checkpointing=False,
    )
    trainer.fit(
        SmallViT(len(probe.class_names)),
        DataLoader(train, batch_size=32, shuffle=True),
        DataLoader(val, batch_size=100),
    )
    print(f"\nShare of validation images recognised: {float(trainer.callback_metrics['accuracy']):.3f}")


if __name__ == "__main__":
    main()
