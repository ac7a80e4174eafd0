"""What does a network of Hugging Face look at? Its batches are dicts, and its answer is an object: nothing to adapt.

A small ViT of transformers, from a configuration and not from the hub, learns which photograph a 64x64 crop comes from.
The data set gives PIL images in dicts, as data sets of the hub do; the loader's ``collate_fn`` makes ``pixel_values``
and ``labels`` of them. The module has no ``forward``: the callbacks see how its steps call ``self.model(**batch)``.
Where they can't, a function says it: ``Probe(forward_fn=lambda module, images: module.model(pixel_values=images))``.

    pip install transformers
    python examples/hugging_face.py                    # 15 photographs, about a minute
    python examples/hugging_face.py --data my_images   # a folder with one subfolder per class
    tensorboard --logdir runs/hugging_face
"""

import argparse
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from photographs import CROP, load_data
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader, Dataset
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from lightning_viz import AttentionMaps, FilterImages, GradCAM, Probe

Batch = dict[str, Tensor]


class Pictures(Dataset[dict[str, Any]]):
    """Items as in a data set of the hub: a PIL image and a label."""

    def __init__(self, crops: Dataset[tuple[Tensor, int]]) -> None:
        self.crops = crops

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> dict[str, Any]:
        crop, label = self.crops[index]
        pixels = ((crop.permute(1, 2, 0) + 1) * 127.5).round().byte()
        return {"image": Image.fromarray(pixels.numpy()), "label": label}


class Collate:
    """Makes a batch of items, as the network takes it."""

    def __init__(self) -> None:
        self.processor = ViTImageProcessor(size={"height": CROP, "width": CROP})

    def __call__(self, items: list[dict[str, Any]]) -> Batch:
        pixels = self.processor([item["image"] for item in items], return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels, "labels": torch.tensor([item["label"] for item in items])}


class HuggingFaceViT(pl.LightningModule):
    """The network computes its loss itself, from the whole batch."""

    def __init__(self, classes: list[str], learning_rate: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = ViTForImageClassification(
            ViTConfig(
                image_size=CROP,
                patch_size=8,
                hidden_size=96,
                intermediate_size=384,
                num_hidden_layers=4,
                num_attention_heads=3,
                id2label=dict(enumerate(classes)),
                label2id={name: number for number, name in enumerate(classes)},
            )
        )

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.model(**batch).loss
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        answer = self.model(**batch)
        self.log("val_loss", answer.loss)
        self.log("accuracy", (answer.logits.argmax(1) == batch["labels"]).float().mean())

    def configure_optimizers(self) -> Optimizer:
        return AdamW(self.parameters(), self.hparams.learning_rate, weight_decay=0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("--crops", type=int, default=60, help="training crops of each photograph, per epoch")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--logdir", default="runs/hugging_face")
    arguments = parser.parse_args()
    pl.seed_everything(0)
    train, val, pairs = load_data(arguments.data, arguments.crops)
    collate = Collate()
    probe = Probe(dataset=Pictures(val), mean=0.5, std=0.5, class_names=pairs.class_names)
    trainer = pl.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.logdir, name="vit", default_hp_metric=False),
        callbacks=[FilterImages(), GradCAM(probe=probe), AttentionMaps(probe=probe)],
        log_every_n_steps=10,
        enable_checkpointing=False,
    )
    trainer.fit(
        HuggingFaceViT(pairs.class_names),
        DataLoader(Pictures(train), batch_size=32, shuffle=True, collate_fn=collate),
        DataLoader(Pictures(val), batch_size=100, collate_fn=collate),
    )
    print(f"\nShare of validation images recognised: {float(trainer.callback_metrics['accuracy']):.3f}")


if __name__ == "__main__":
    main()
