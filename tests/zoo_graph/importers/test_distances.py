from collections.abc import Callable
from typing import Any

import pytest

from zoo_graph.cli.graph import Layout
from zoo_graph.errors import ImportFileError
from zoo_graph.importers.mapping import FORMATS
from zoo_graph.records import Distance

Read = Callable[..., Any]


def test_distances_are_read_and_the_diagonal_is_passed_over(read_csv: Read) -> None:
    found = read_csv("dataset,other,distance\na,b,0.5\na,a,0\nb,c,2\nC,c,0\n")
    assert found.format == "distances"
    assert found.distances == [Distance("a", "b", 0.5), Distance("b", "c", 2.0)]
    assert found.rejected == []
    assert found.notes[-1] == "2 rows of a dataset and itself are passed over"
    assert "itself" not in " ".join(read_csv("dataset,other,distance\na,b,0.5\n").notes)


def test_the_command_line_takes_every_format() -> None:
    assert tuple(Layout) == FORMATS


def test_bad_rows_are_rejected(read_csv: Read) -> None:
    found = read_csv("dataset,other,distance\na,b,-1\na,,1\n,b,1\na,b,\na,b,inf\na,b,0\n")
    wrong = [(2, "distance"), (3, "other"), (4, "dataset"), (5, "distance"), (6, "distance")]
    assert [(row.line, row.column) for row in found.rejected] == wrong
    assert found.distances == [Distance("a", "b", 0.0)]


def test_columns_of_other_names_may_be_said_and_ids_renamed(read_csv: Read) -> None:
    found = read_csv(
        "x,y,corr\na,b,0.5\n",
        format="distances",
        columns={"dataset": "x", "other": "y", "distance": "corr"},
        rename={"b": "glue:b"},
    )
    assert found.distances == [Distance("a", "glue:b", 0.5)]
    with pytest.raises(ImportFileError, match="no column for distance"):
        read_csv("dataset,other,corr\na,b,0.5\n", format="distances")
