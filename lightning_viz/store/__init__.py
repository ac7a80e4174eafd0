"""The records of a run on disk: every epoch kept, written whole or not at all, readable without us.

Imports neither torch nor Lightning: the TensorBoard tab reads with it.
"""

from lightning_viz.store.claim import claim
from lightning_viz.store.files import Files
from lightning_viz.store.reader import Contents, read_store, read_values
from lightning_viz.store.schema import MIRRORED, PLUGIN_NAME, SCHEMA_VERSION, Item, Record, SchemaError, store_folder
from lightning_viz.store.writer import Store

__all__ = [
    "MIRRORED",
    "PLUGIN_NAME",
    "SCHEMA_VERSION",
    "Contents",
    "Files",
    "Item",
    "Record",
    "SchemaError",
    "Store",
    "claim",
    "read_store",
    "read_values",
    "store_folder",
]
