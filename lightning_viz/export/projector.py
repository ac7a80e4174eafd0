"""The files of TensorBoard's own Embedding Projector: the features of a layer, epoch by epoch, with thumbnails.

``SummaryWriter.add_embedding`` writes them too, but a second writer forgets the embeddings of the first, each step
repeats metadata and sprite, and thumbnails must be square.
"""

import filecmp
import hashlib
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
from filelock import FileLock
from google.protobuf import text_format
from numpy.typing import ArrayLike, NDArray
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig

from lightning_viz.render.scaling import as_floats
from lightning_viz.render.thumbnails import ThumbnailSheet, encode_sprite
from lightning_viz.store.writer import write_whole

__all__ = ["ProjectorPoints", "write_embedding"]

CONFIG = "projector_config.pbtxt"
FOLDER = "plugins/org_tensorflow_tensorboard_projector"

MOST = 20
"""Epochs of a layer in the Projector's menu."""


class ProjectorPoints(NamedTuple):
    """What the Projector knows about the points of a run, the same at every epoch."""

    hash: str
    """Names the images: equal hashes, equal images in the same order."""
    thumbnails: ThumbnailSheet | None = None
    labels: ArrayLike | None = None
    class_names: Sequence[str] | None = None


def write_embedding(run: str | Path, name: str, epoch: float, features: ArrayLike, points: ProjectorPoints) -> None:
    """Show features in TensorBoard's Projector, as ``<name> epoch <epoch>`` in the menu of the run.

    Embeddings that others wrote into the run stay, those of ``add_embedding`` too: TensorBoard reads only one
    configuration of a run, so theirs are taken over into ours. Of one name at most 20 epochs stay, the first and the
    last among them: of the others the one goes whose neighbours are closest. What is in the menu is never changed: the
    same epoch drawn again with other features comes as ``<name> epoch <epoch> (2)`` and takes its place. Several
    processes may write into a run at the same time. TensorBoard reads a configuration once: a running one shows new
    epochs after a restart.

    Args:
        run: Folder of the run, where TensorBoard finds its event file.
        name: Of the layer, or of the function that made the features.
        epoch: Finished epochs.
        features: ``(N, D)`` floats, at least 2 by 2 (the Projector lists no less). Array or tensor, left untouched.
            Rows that are not finite break the Projector: they become zeros, and a column of the metadata says so.
        points: Thumbnails, labels ``(N,)`` and names of the classes, where there are any.

    Raises:
        ValueError: Another shape, or another number of labels than features.
        OSError: It can't be written, or another process holds the configuration for more than 10 seconds.

    Warns:
        UserWarning: The configuration that was there can't be read; it is kept beside ours, under another name.
    """
    floats = as_floats(features)
    if floats.ndim != 2 or min(floats.shape) < 2:
        raise ValueError(f"write_embedding: features must be (N, D), at least 2 by 2; got {floats.shape}.")
    finite = np.asarray(np.isfinite(floats).all(axis=1))
    metadata = _table(_columns(points, finite))
    tensor = _encode(np.where(finite[:, None], floats, 0))

    folder = Path(run) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{CONFIG}.lock", timeout=10):
        config = _own_config(folder / CONFIG)
        _adopt(config, Path(run), folder)
        embedding = _add_embedding(config, folder, name, epoch, tensor)
        embedding.tensor_shape[:] = floats.shape
        embedding.metadata_path = f"metadata-{hashlib.sha256(metadata).hexdigest()[:16]}.tsv"
        _write_once(folder / embedding.metadata_path, metadata)
        if points.thumbnails is not None:
            side = max(points.thumbnails.height, points.thumbnails.width)
            embedding.sprite.image_path = f"sprite-{points.hash}.png"
            embedding.sprite.single_image_dim[:] = [side, side]
            if not (folder / embedding.sprite.image_path).exists():
                write_whole(folder / embedding.sprite.image_path, encode_sprite(points.thumbnails))
        dropped = _thin_out(config, name)
        write_whole(folder / CONFIG, text_format.MessageToString(config, as_utf8=True).encode())
        # TensorBoard opens every tensor that the configuration names: they go after their names.
        for path in dropped:
            (folder / path).unlink(missing_ok=True)


class _Own(NamedTuple):
    """An embedding of ours in a configuration."""

    epoch: float
    number: int
    """Counts how often the epoch was drawn."""
    embedding: EmbeddingInfo


def _own_embeddings(config: ProjectorConfig, name: str) -> list[_Own]:
    found = []
    for embedding in config.embeddings:
        match = re.fullmatch(re.escape(name) + r"( epoch (\d+(?:\.\d+)?)(?: \((\d+)\))?)", embedding.tensor_name)
        if match and embedding.tensor_path == _file_name(name, match[1]):
            found.append(_Own(float(match[2]), int(match[3] or 1), embedding))
    return sorted(found, key=lambda own: (own.epoch, own.number))


def _file_name(name: str, title: str) -> str:
    # Quoted, so that no two names share a file.
    return quote(name, safe="") + title.replace(" ", "-") + ".tensor"


def _add_embedding(config: ProjectorConfig, folder: Path, name: str, epoch: float, tensor: bytes) -> EmbeddingInfo:
    """Write the tensor, and list it under a name that never stood for another."""
    whole, _, fraction = f"{epoch:.3f}".rstrip("0").partition(".")
    title = f" epoch {whole:0>3}" + (f".{fraction}" if fraction else "")
    own = _own_embeddings(config, name)
    foreign = {one.tensor_name for one in config.embeddings} - {one.embedding.tensor_name for one in own}
    drawn = [one.number for one in own if one.epoch == float(f"{epoch:.3f}")]
    for number in count(max(drawn, default=1)):
        numbered = title if number == 1 else f"{title} ({number})"
        path = folder / _file_name(name, numbered)
        if name + numbered in foreign or (path.exists() and path.read_bytes() != tensor):
            continue
        if not path.exists():
            write_whole(path, tensor)
        break
    _keep(config, [one for one in config.embeddings if one.tensor_name != name + numbered])
    return config.embeddings.add(tensor_name=name + numbered, tensor_path=path.name)


def _thin_out(config: ProjectorConfig, name: str) -> list[str]:
    """Drop what was drawn again and what is too much; gives the files that nobody needs any more."""
    own = _own_embeddings(config, name)
    newest = list({one.epoch: one.embedding for one in own}.items())
    while len(newest) > MOST:
        gaps = [after[0] - before[0] for before, after in zip(newest, newest[2:], strict=False)]
        del newest[1 + gaps.index(min(gaps))]
    stay = {embedding.tensor_path for _, embedding in newest}
    dropped = [one.embedding.tensor_path for one in own if one.embedding.tensor_path not in stay]
    _keep(config, [embedding for embedding in config.embeddings if embedding.tensor_path not in dropped])
    return dropped


def _keep(config: ProjectorConfig, embeddings: list[EmbeddingInfo]) -> None:
    del config.embeddings[:]
    config.embeddings.extend(embeddings)


def _read_config(path: Path) -> ProjectorConfig | None:
    """Read a configuration: an empty one where there is no file, None where it can't be read."""
    config = ProjectorConfig()
    try:
        text_format.Parse(path.read_bytes(), config)
    except FileNotFoundError:
        pass
    except (text_format.ParseError, UnicodeDecodeError):
        return None
    return config


def _own_config(path: Path) -> ProjectorConfig:
    config = _read_config(path)
    if config is None:
        aside = next(name for i in count(1) if not (name := path.with_name(f"unreadable-{i}-{path.name}")).exists())
        path.replace(aside)
        warnings.warn(f"The Projector's {path} can't be read; it is kept as {aside.name}.", stacklevel=3)
        config = ProjectorConfig()
    return config


def _adopt(config: ProjectorConfig, run: Path, folder: Path) -> None:
    """Take over the run's other configuration, where ``add_embedding`` writes: TensorBoard lets ours hide it."""
    other = _read_config(run / CONFIG)
    if other is None:
        warnings.warn(f"The Projector can't read {run / CONFIG}, and shows nothing until it is gone.", stacklevel=3)
        return
    config.model_checkpoint_path = config.model_checkpoint_path or other.model_checkpoint_path
    known = {embedding.tensor_name for embedding in config.embeddings}
    for embedding in other.embeddings:
        if embedding.tensor_name in known or (embedding.tensor_path and not (run / embedding.tensor_path).is_file()):
            continue
        taken = config.embeddings.add()
        taken.CopyFrom(embedding)
        for field in ("tensor_path", "metadata_path", "bookmarks_path"):
            if path := getattr(taken, field):
                setattr(taken, field, _taken_over(path, run, folder))
        if taken.sprite.image_path:
            taken.sprite.image_path = _taken_over(taken.sprite.image_path, run, folder)


def _taken_over(name: str, run: Path, folder: Path) -> str:
    """Link a file of the run into our folder: TensorBoard reads none outside it. Gives its path from there."""
    source, root = (run / name).resolve(), run.resolve()
    if not source.is_relative_to(root) or not source.is_file():
        return str(source)  # TensorBoard doesn't show it from where it is, either
    if source.is_relative_to(folder.resolve()):
        return str(source.relative_to(folder.resolve()))
    target = folder / "adopted" / source.relative_to(root)
    if not (target.exists() and filecmp.cmp(source, target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copy2(source, temporary)
        temporary.replace(target)
    return target.relative_to(folder).as_posix()


def _columns(points: ProjectorPoints, finite: NDArray[np.bool_]) -> dict[str, list[str]]:
    columns = {}
    if points.labels is not None:
        labels = [int(label) for label in np.asarray(points.labels)]
        if len(labels) != len(finite):
            raise ValueError(f"write_embedding: {len(finite)} features need as many labels; got {len(labels)}.")
        names = list(points.class_names or ())
        columns["class"] = [names[label] if 0 <= label < len(names) else str(label) for label in labels]
    columns["image"] = [str(number) for number in range(len(finite))]
    if not finite.all():
        columns["features"] = ["finite" if one else "not finite, shown as zeros" for one in finite]
    return columns


def _table(columns: Mapping[str, Iterable[str]]) -> bytes:
    """The Projector wants a header where there are several columns, and none where there is one."""
    clean = [[" ".join(text.split()) for text in texts] for texts in columns.values()]
    rows = ([list(columns)] if len(clean) > 1 else []) + [list(row) for row in zip(*clean, strict=True)]
    return "".join("\t".join(row) + "\n" for row in rows).encode(errors="replace")


def _encode(values: NDArray[np.float32]) -> bytes:
    """Raw little-endian float32; as text where TensorBoard, which tries UTF-8 first, would take the bytes for text."""
    raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
    try:
        raw.split(b"\n", 1)[0].decode()  # with TensorFlow it reads line by line
    except UnicodeDecodeError:
        return raw
    return b"".join(b"\t".join(b"%.9g" % value for value in row) + b"\n" for row in values.tolist())


def _write_once(path: Path, content: bytes) -> None:
    if not path.exists():
        write_whole(path, content)
