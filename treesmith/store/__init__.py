"""The store: trees with their records, names and locks; making, naming, removing them, recovering after a crash."""

from treesmith.store.records import Damaged, Tree
from treesmith.store.staging import Stage
from treesmith.store.store import Store, create_store, open_store

__all__ = ["Damaged", "Stage", "Store", "Tree", "create_store", "open_store"]
