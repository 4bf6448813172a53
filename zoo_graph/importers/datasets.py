"""A table of datasets: one row per dataset, with what is known of it. Read as a table of models is."""

from zoo_graph.importers import models
from zoo_graph.importers.layout import Layout
from zoo_graph.importers.mapping import ColumnMap
from zoo_graph.importers.table import Table

read = models.read


def lay_out(table: Table, said: ColumnMap) -> Layout:
    """Finds where the id and each property of a dataset stand.

    Raises:
        ImportFileError: no id column, or a named column is missing.
    """
    return models.lay_out(table, said, "dataset")
