"""Hand pictures and scalars to the loggers of a Trainer; the store keeps everything, so other loggers miss nothing.

Loggers are told apart by class name: the two Lightning packages have two classes of each.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.summary.writer.event_file_writer import EventFileWriter

__all__ = ["log_picture", "log_scalars", "mark_run", "run_folder"]

Logger = Any
Kind = Literal["TensorBoardLogger", "WandbLogger", "MLFlowLogger", "CSVLogger"]


def is_a(logger: Logger, kind: Kind) -> bool:
    """Whether a logger is of a kind, from whichever Lightning package."""
    return any(base.__name__ == kind for base in type(logger).__mro__)


def run_folder(loggers: Iterable[Logger], default_root_dir: str) -> Path:
    """Choose the folder of a run: the TensorBoardLogger's, else the CSVLogger's, else a new numbered one.

    Args:
        loggers: Those of the Trainer, in any order.
        default_root_dir: The Trainer's.

    Returns:
        A local folder. A logger on a remote file system has none: then a numbered one, which is made here, so that
        runs that start together get one each.
    """
    loggers = list(loggers)
    for kind in ("TensorBoardLogger", "CSVLogger"):
        for logger in loggers:
            if is_a(logger, kind) and logger.log_dir is not None and "://" not in str(logger.log_dir):
                return Path(logger.log_dir)
    saved = next((logger.save_dir for logger in loggers if getattr(logger, "save_dir", None)), default_root_dir)
    root = Path(default_root_dir if "://" in str(saved) else saved) / "lightning_viz"
    taken = [int(path.name[8:]) for path in root.glob("version_*") if path.name[8:].isdigit()]
    for version in count(max(taken, default=-1) + 1):
        folder = root / f"version_{version}"
        with suppress(FileExistsError):  # a run that started at the same time was quicker
            folder.mkdir(parents=True)
            break
    return folder


def mark_run(loggers: Iterable[Logger], folder: Path, plugin_name: str) -> None:
    """Leave the summary that makes TensorBoard list the run and show our tab.

    Through the run's own TensorBoard writer where there is one; else in a small event file of ours, once.
    """
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name=plugin_name), data_class="DATA_CLASS_TENSOR"
    )
    empty = TensorProto(dtype="DT_STRING", string_val=[b""])
    marker = Summary(value=[Summary.Value(tag=plugin_name, metadata=metadata, tensor=empty)])
    own = next((logger for logger in loggers if is_a(logger, "TensorBoardLogger")), None)
    if own is not None:
        _add_summary(own, marker, 0)
    elif not any(folder.glob(f"*.{plugin_name}")):
        writer = EventFileWriter(str(folder), filename_suffix=f".{plugin_name}")
        writer.add_event(Event(summary=marker, step=0))
        writer.close()


def log_picture(logger: Logger, tag: str, picture: NDArray[np.uint8], png: bytes, step: int, caption: str) -> None:
    """Hand one picture to one logger; a logger that takes no pictures is passed over.

    Args:
        logger: One of the Trainer's.
        tag: The same in every run and at every step.
        picture: ``(H, W, 3)`` uint8.
        png: The same, encoded: what TensorBoard keeps, so that it need not encode it again.
        step: The x at which Lightning logs scalars.
        caption: Shown by W&B; TensorBoard and MLflow have no place for it.
    """
    if is_a(logger, "TensorBoardLogger"):
        height, width, _ = picture.shape
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        _add_summary(logger, Summary(value=[Summary.Value(tag=tag, image=image)]), step)
    elif is_a(logger, "WandbLogger"):
        logger.log_image(tag, [picture], step=step, caption=[caption])
    elif is_a(logger, "MLFlowLogger"):
        logger.experiment.log_image(logger.run_id, picture, key=tag, step=step)


def _add_summary(logger: Logger, summary: Summary, step: int) -> None:
    logger.experiment._get_file_writer().add_summary(summary, step)


def log_scalars(logger: Logger, scalars: Mapping[str, float], step: int) -> None:
    """Hand scalars to one logger, if it is one of those that take pictures.

    Args:
        logger: One of the Trainer's.
        scalars: Tag to number.
        step: The x at which Lightning logs scalars.
    """
    if scalars and any(is_a(logger, kind) for kind in ("TensorBoardLogger", "WandbLogger", "MLFlowLogger")):
        logger.log_metrics(dict(scalars), step=step)
