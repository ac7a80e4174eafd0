"""What TensorBoard imports at each start, for every user of this environment: tiny, and never in its way."""

import logging
from argparse import Namespace
from typing import Any

from tensorboard.plugins.base_plugin import TBContext, TBLoader

__all__ = ["Loader"]

KEPT_IMAGES = 1000

log = logging.getLogger("tensorboard")


class Loader(TBLoader):  # type: ignore[misc]  # TensorBoard has no types
    """Bring the tab into TensorBoard; where that fails, TensorBoard goes on without it."""

    def fix_flags(self, flags: Namespace) -> None:
        """Let the stock Images tab, and our tab for a run without a store, keep 1000 images of a tag instead of 10.

        TensorBoard keeps 10 at random, and seldom the first. 1000 are the epochs of nearly every run, and still a
        bound: TensorBoard holds all that it keeps in memory (1000 filter images of 20 kB are 20 MB per tag and run).
        Whoever gives ``--samples_per_plugin images=N`` (0: all) gets N.
        """
        try:
            flags.samples_per_plugin.setdefault("images", KEPT_IMAGES)
        except Exception:  # another TensorBoard's flags; it must start anyway
            log.warning("lightning_viz: TensorBoard keeps only 10 images of a tag.", exc_info=True)

    def load(self, context: TBContext) -> Any:
        """Make the plugin; None, after a warning with the reason, where that is not possible."""
        try:
            from lightning_viz.plugin.backend import LightningVizPlugin  # noqa: PLC0415 (NumPy, only when used)

            return LightningVizPlugin(context)
        except Exception:  # whatever is wrong with us, TensorBoard must start
            log.warning("lightning_viz: the tab could not be loaded; TensorBoard goes on without it.", exc_info=True)
            return None
