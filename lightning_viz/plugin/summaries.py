"""What TensorBoard itself has read from the event files: names of runs, scalars, and the images that it kept."""

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from tensorboard.data.provider import RunTagFilter
from tensorboard.plugins.base_plugin import TBContext

from lightning_viz.store import MIRRORED, PLUGIN_NAME

__all__ = ["Scope", "Summaries"]

_MOST_POINTS = 1000
_STOCK_LIMIT = 10


class Scope(NamedTuple):
    """What TensorBoard wants to know about each request, as ``data_provider`` takes it."""

    ctx: Any
    experiment_id: str


class Summaries:
    """Reads through TensorBoard's data provider, whichever loader is behind it."""

    def __init__(self, context: TBContext) -> None:
        """Read nothing yet."""
        self._provider = context.data_provider
        self.limit: int = (context.sampling_hints or {}).get("images", _STOCK_LIMIT)
        """How many images of a tag TensorBoard was told to keep; 0 for all."""

    def runs(self, scope: Scope) -> list[str]:
        """Name all runs, in TensorBoard's order."""
        return [run.run_name for run in self._provider.list_runs(scope.ctx, experiment_id=scope.experiment_id)]

    def scalar_tags(self, scope: Scope, run: str) -> list[str]:
        """Name the scalar series of a run."""
        series = self._provider.list_scalars(
            scope.ctx,
            experiment_id=scope.experiment_id,
            plugin_name="scalars",
            run_tag_filter=RunTagFilter(runs=[run]),
        )
        return sorted(series.get(run, ()))

    def scalars(self, scope: Scope, run: str, tag: str) -> tuple[list[int], list[float]] | None:
        """Give steps and values of one scalar series, at most 1000; None if there is no such series."""
        series = self._provider.read_scalars(
            scope.ctx,
            experiment_id=scope.experiment_id,
            plugin_name="scalars",
            downsample=_MOST_POINTS,
            run_tag_filter=RunTagFilter(runs=[run], tags=[tag]),
        )
        points = series.get(run, {}).get(tag)
        return None if points is None else ([point.step for point in points], [point.value for point in points])

    def runs_with_images(self, scope: Scope) -> set[str]:
        """Name the runs whose event files hold images of ours."""
        return {run for run, tags in self._image_tags(scope).items() if tags}

    def images(self, scope: Scope, run: str) -> list[dict[str, Any]]:
        """Give tag, step, wall time and key of the images of ours that TensorBoard kept of a run."""
        tags = self._image_tags(scope, [run]).get(run, [])
        if not tags:
            return []
        sequences = self._provider.read_blob_sequences(
            scope.ctx,
            experiment_id=scope.experiment_id,
            plugin_name="images",
            downsample=self.limit or sys.maxsize,
            run_tag_filter=RunTagFilter(runs=[run], tags=tags),
        )
        # The first two blobs of each step are width and height.
        return [
            {"tag": tag, "step": point.step, "wall_time": point.wall_time, "key": image.blob_key}
            for tag, points in sorted(sequences.get(run, {}).items())
            for point in points
            for image in point.values[2:]
        ]

    def image(self, scope: Scope, key: str) -> bytes:
        """Give one image.

        Raises:
            KeyError: No such key. (What TensorBoard's own providers raise for a key that they never gave is
                unspecified: half a dozen kinds of errors.)
        """
        try:
            content = self._provider.read_blob(scope.ctx, blob_key=key)
        except Exception as error:
            raise KeyError(key) from error
        if not isinstance(content, bytes):
            raise KeyError(key)
        return content

    def _image_tags(self, scope: Scope, runs: Iterable[str] | None = None) -> dict[str, list[str]]:
        sequences = self._provider.list_blob_sequences(
            scope.ctx,
            experiment_id=scope.experiment_id,
            plugin_name="images",
            run_tag_filter=RunTagFilter(runs=runs),
        )
        # Older runs have the longer prefix.
        ours = f"{MIRRORED}/", f"{PLUGIN_NAME}/"
        return {run: [tag for tag in tags if tag.startswith(ours)] for run, tags in sequences.items()}
