"""The graph's store: an embedded engine in a folder, or a Neo4j server; one dialect, one driver."""

from zoo_graph.store.connection import Connection, Transaction, open_store
from zoo_graph.store.embedded import Engine
from zoo_graph.store.rows import Row, Rows

__all__ = ["Connection", "Engine", "Row", "Rows", "Transaction", "open_store"]
