"""The feature space of a layer as a map of images that unfolds while the network learns."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_viz.callbacks.embedding_sample import Points, read_points
from lightning_viz.data.probe import Probe
from lightning_viz.export.projector import ProjectorPoints
from lightning_viz.functional.features import FeatureFn, collect_features, feature_layer
from lightning_viz.functional.neighbours import knn_accuracy, nearest_neighbours, silhouette, trustworthiness
from lightning_viz.functional.tsne import ITERATIONS, Engine, align, drift, tsne, tsne_engine
from lightning_viz.render import scatter_picture
from lightning_viz.trainer.base import Context, Drawing, Needs, VizCallback
from lightning_viz.trainer.schedule import LOG_SPACED, is_whole
from lightning_viz.trainer.session import Mirror, OnError

__all__ = ["Embedding"]

FALL = 0.005
"""When trustworthiness falls by so much, the layout lags behind the features, and is worked on for longer."""

LONGER = 250
"""Iterations more, then."""


class Layout(NamedTuple):
    """Where the points lie, with what it took and what it is worth."""

    places: Tensor
    """``(N, 2)``"""
    iterations: int
    trust: float


class Embedding(VizCallback):
    """Show the feature space of a layer: images with similar features are near each other.

    One map over all epochs: t-SNE goes on from the layout of the drawing before and is turned onto it, so that points
    move instead of jumping; the points are the same at every epoch and in every run. Kept are the layout, and the
    nearest neighbours of each point with their distances in feature space. Logged: ``knn_accuracy`` (of how many
    points the neighbours tell the class), ``silhouette``, ``trustworthiness`` of the layout, and ``drift``, how far
    points have moved, by the radius of the layout. The features themselves go to TensorBoard's Projector. It needs a
    pass over the points, so it is drawn at epochs 0, 1, 2, 5, 10, 20, 30, 40, 64, 100, ... and at the end, unless you
    say otherwise.

    Args:
        layers: Names or globs: what a layer gives, averaged over places or tokens. When omitted, the input of the last
            linear layer that runs.
        probe: Its mean, std, class names and ``batch_fn`` are used; its images are not.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.
        features: Instead of a layer: a function from (model, images) to features ``(N, D)``, for one branch of a
            Siamese network.
        data: Map-style data set without augmentation; that of the (first) validation loader when omitted.
        max_points: So many of its items, spread over it.
        neighbours: How many of each point are kept.
        perplexity: About how many neighbours a point has in the layout.
        engine: Who computes the layout: ``"auto"`` (openTSNE where it is installed), ``"openTSNE"``,
            ``"scikit-learn"``.
        projector: Whether to write the features for TensorBoard's Projector, of at most 20 epochs.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.
        ImportError: openTSNE is asked for and not installed, when constructed.

    Source: van der Maaten & Hinton, Visualizing data using t-SNE, 2008; Krizhevsky et al., ImageNet classification with
    deep convolutional neural networks, 2012, section 6.1 (neighbours).

    Example:
        >>> Embedding(max_points=500, every_n_epochs=1).method
        'embedding'
    """

    method: ClassVar[str] = "embedding"
    uses_probe: ClassVar[bool] = False
    default_epochs: ClassVar[Sequence[int] | None] = LOG_SPACED

    def __init__(
        self,
        layers: str | Sequence[str] | None = None,
        probe: Probe | None = None,
        every_n_epochs: int | None = None,
        every_n_train_steps: int | None = None,
        epochs: Sequence[int] | None = None,
        on_error: OnError = "warn",
        name: str | None = None,
        mirror: Mirror = "both",
        features: FeatureFn | None = None,
        data: Dataset | None = None,  # type: ignore[type-arg]  # LightningCLI can't read it otherwise
        max_points: int = 2000,
        neighbours: int = 10,
        perplexity: float = 30.0,
        engine: Engine = "auto",
        projector: bool = True,
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror)
        for argument, value, least in (("max_points", max_points, 2), ("neighbours", neighbours, 1)):
            if not is_whole(value, least):
                raise ValueError(f"Embedding({argument}={value!r}): must be a whole number of {least} or more.")
        if not (isinstance(perplexity, int | float) and 0 < perplexity < math.inf):
            raise ValueError(f"Embedding(perplexity={perplexity!r}): must be a number above 0.")
        if features is not None and layers is not None:
            raise ValueError("Embedding: layers and features exclude each other; give one.")
        if features is not None and not callable(features):
            raise ValueError(f"Embedding(features={features!r}): must be a function from (model, images) to (N, D).")
        self.engine: Engine = engine
        self.engine_name = tsne_engine(engine)
        self.features, self.data, self.max_points, self.projector = features, data, max_points, projector
        self.neighbours, self.perplexity = neighbours, perplexity
        self._read: tuple[Dataset[Any], Points] | None = None

    def needs(self, context: Context) -> Needs:
        """Look at the chosen layers, in a pass over data."""
        return super().needs(context)._replace(data=self.data, max_images=self.max_points)

    def collect(self, context: Context) -> dict[str, Tensor]:
        """Take the features of each layer."""
        sources = self._sources(context)
        take = partial(collect_features, context.model, context.data)
        return {name: take(source) for name, source in sources.items()}

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw the points of each layer where their features put them."""
        points = self._points(context)
        (collected,) = context.collected
        for name, features in collected.items():
            before = context.before.get(name)
            if before is not None and before.meta["points"]["hash"] != points.hash:
                before = None
            yield self._drawing(name, features, self._lay_out(features, before), before, points, context.probe)

    def _points(self, context: Context) -> Points:
        """Look at the images, once as long as they come from the same data set."""
        if self._read is None or self._read[0] is not context.data.dataset:
            self._read = context.data.dataset, read_points(context.data, context.probe)
        return self._read[1]

    def _sources(self, context: Context) -> dict[str, str | FeatureFn | None]:
        """What features are taken of, by the name of the drawing."""
        if self.features is not None:
            return {getattr(self.features, "__name__", type(self.features).__name__): self.features}
        if self.layers is not None:
            return {name: name for name in context.layers}
        return {feature_layer(context.model, context.probe.images[:1]): None}

    def _lay_out(self, features: Tensor, before: Drawing | None) -> Layout:
        lay_out = partial(tsne, features, perplexity=self.perplexity, engine=self.engine)
        cold, warm = ITERATIONS[self.engine_name.split()[0]]
        if before is None:
            places = lay_out()
            return Layout(places, cold, trustworthiness(features, places))
        old = torch.from_numpy(before.values["layout"])
        places, iterations = lay_out(init=old), warm
        trust = trustworthiness(features, places)
        if trust < before.scalars.get("trustworthiness", math.nan) - FALL:
            places, iterations = lay_out(init=places, iterations=LONGER), iterations + LONGER
            trust = trustworthiness(features, places)
        return Layout(align(places, old), iterations, trust)

    def _drawing(
        self, name: str, features: Tensor, now: Layout, before: Drawing | None, points: Points, probe: Probe
    ) -> Drawing:
        near = nearest_neighbours(None, features, self.neighbours)
        labels = points.labels
        names = list(probe.class_names) if probe.class_names is not None else None
        values = {"layout": now.places, "neighbours": near.indices, "distances": near.distances}
        scalars = {
            "knn_accuracy": knn_accuracy(labels, near.indices),
            "silhouette": silhouette(features, labels),
            "trustworthiness": now.trust,
            "drift": math.nan if before is None else drift(now.places, torch.from_numpy(before.values["layout"])),
        }
        known = {key: value for key, value in scalars.items() if not math.isnan(value)}
        said = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in known.items())
        listed = self.projector and min(features.shape) >= 2  # the Projector shows no fewer points or numbers
        return Drawing(
            name,
            values if labels is None else {**values, "labels": labels},
            [scatter_picture(now.places.numpy(), None if labels is None else labels.numpy(), names)],
            [f"{points.size} images by their features ({'x'.join(map(str, features.shape))}): {said}"],
            known,
            {
                "points": {
                    "hash": points.hash,
                    "count": points.size,
                    "thumbnail": [points.sheet.height, points.sheet.width],
                    "columns": points.sheet.columns,
                },
                "class_names": names,
                "engine": self.engine_name,
                "perplexity": self.perplexity,
                "iterations": now.iterations,
                "input": self.features is None and self.layers is None,
                "k": self.neighbours,
            },
            {points.hash: points.sheet.picture},
            (features, ProjectorPoints(points.hash, points.sheet, labels, names)) if listed else None,
        )
