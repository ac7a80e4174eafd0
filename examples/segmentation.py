"""What makes a pixel part of a coin? A U-Net learns it; Grad-CAM asks about a class, saliency about one pixel.

The photographs show coins, galaxies, cells and letters; their masks are made by thresholds. The network gives a score
per class and pixel. A callback asks about the mean of a channel, here that of the label's class; for one pixel the
probe is given a function: ``Probe(output=...)``.

    pip install segmentation-models-pytorch
    python examples/segmentation.py                    # 4 photographs, about a minute
    python examples/segmentation.py --data my_images   # any folder of images: what is brighter than its surroundings
    tensorboard --logdir runs/segmentation
"""

import argparse
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import segmentation_models_pytorch as smp
import torch
from photographs import CROP, Crops, load_folder
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from skimage import color, data, filters
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader, Dataset

from lightning_viz import ActivationMaps, FilterImages, GradCAM, Probe, Saliency

ROW = COLUMN = CROP // 2
"""The pixel that is asked about."""


class MaskedCrops(Dataset[tuple[Tensor, Tensor]]):
    """Crops of photographs whose fourth channel is the class of each pixel."""

    def __init__(self, photographs: list[Tensor], per_photograph: int, *, train: bool) -> None:
        self.crops = Crops(photographs, per_photograph, train=train)

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        crop, _ = self.crops[index]
        return crop[:3], crop[3].long()


class SmallUnet(pl.LightningModule):
    """A U-Net whose way down is a ResNet-18."""

    def __init__(self, classes: int, learning_rate: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = smp.Unet(
            "resnet18", encoder_weights=None, classes=classes, encoder_depth=4, decoder_channels=(128, 64, 32, 16)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, masks = batch
        loss = cross_entropy(self(images), masks)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, masks = batch
        scores = self(images)
        self.log("val_loss", cross_entropy(scores, masks))
        self.log("pixels_right", (scores.argmax(1) == masks).float().mean())

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        optimizer = AdamW(self.parameters(), self.hparams.learning_rate)
        return [optimizer], [CosineAnnealingLR(optimizer, self.trainer.max_epochs)]


def read_photographs() -> tuple[list[Tensor], list[str]]:
    """Photographs ``(4, H, W)``: colours from -1 to 1, then the class of each pixel; the names of the classes."""
    coins, galaxies, cells, letters = data.coins(), data.hubble_deep_field(), data.immunohistochemistry(), data.page()
    brown = color.rgb2hed(cells)[..., 2]
    bright = color.rgb2gray(galaxies)
    found = {
        "coin": (coins, coins > filters.threshold_otsu(coins)),
        "galaxy": (galaxies, bright > filters.threshold_otsu(bright)),
        "cell": (cells, brown > filters.threshold_otsu(brown)),
        "letter": (letters, letters < filters.threshold_local(letters, 51, offset=15)),
    }
    photographs = []
    for number, (array, mask) in enumerate(found.values(), start=1):
        image = np.array(Image.fromarray(array).convert("RGB"))
        colours = torch.from_numpy(image).permute(2, 0, 1) / 127.5 - 1
        photographs.append(torch.cat([colours, torch.from_numpy(mask * number)[None].float()]))
    return photographs, ["background", *found]


def mask_folder(folder: Path) -> tuple[list[Tensor], list[str]]:
    """The same of one's own images, with what is brighter than its surroundings as the only class."""
    photographs = []
    for image in load_folder(folder).values():
        grey = image.mean(0)
        bright = torch.from_numpy(grey.numpy() > filters.threshold_local(grey.numpy(), 51))
        photographs.append(torch.cat([image, bright[None].float()]))
    return photographs, ["background", "bright"]


def side_by_side(photographs: list[Tensor], classes: list[str]) -> tuple[Tensor, Tensor]:
    """Crops of neighbouring photographs side by side, each pair once with the class of the left, once of the right."""
    val = Crops(photographs, 3, train=False)
    images, labels = [], []
    for number in range(0, min(8, len(photographs) - 1), 2 if len(photographs) > 2 else 1):
        pair = [val[3 * number + 1][0], val[3 * number + 4][0]]
        images += [torch.cat([crop[:3] for crop in pair], dim=2)] * 2
        labels += [min(number + 1, len(classes) - 1), min(number + 2, len(classes) - 1)]
    return torch.stack(images), torch.tensor(labels)


def one_pixel(scores: Tensor) -> Tensor:
    """The class scores of a pixel in the middle of the left crop."""
    return scores[:, :, ROW, COLUMN]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="any folder of images")
    parser.add_argument("--crops", type=int, default=60, help="training crops of each photograph, per epoch")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--logdir", default="runs/segmentation")
    arguments = parser.parse_args()
    pl.seed_everything(0)
    photographs, classes = mask_folder(arguments.data) if arguments.data else read_photographs()
    looks = {"mean": 0.5, "std": 0.5, "class_names": classes}
    pairs = side_by_side(photographs, classes)
    whole = Probe(pairs, **looks)
    trainer = pl.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.logdir, name="unet", default_hp_metric=False),
        callbacks=[
            FilterImages(),
            ActivationMaps(probe=whole),
            GradCAM(layers=["network.encoder.layer3", "network.decoder"], probe=whole),
            Saliency(probe=Probe(pairs, output=one_pixel, **looks)),  # Grad-CAM's means over places forget which pixel
        ],
        log_every_n_steps=5,
        enable_checkpointing=False,
    )
    trainer.fit(
        SmallUnet(len(classes)),
        DataLoader(MaskedCrops(photographs, arguments.crops, train=True), batch_size=16, shuffle=True),
        DataLoader(MaskedCrops(photographs, 10, train=False), batch_size=40),
    )
    print(f"\nShare of validation pixels recognised: {float(trainer.callback_metrics['pixels_right']):.3f}")


if __name__ == "__main__":
    main()
