import csv
from pathlib import Path

import pytest

from zoo_graph.errors import InputError
from zoo_graph.ingest.rejects import HEADER, RejectLog, open_rejects
from zoo_graph.records import Rejected

ROW = Rejected(3, None, "x, y", "a rule")


def test_the_rows_of_several_files_stand_in_one(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    for _ in range(2):  # an earlier one is written over
        with open_rejects(path, [tmp_path / "a.csv"]) as file:
            RejectLog("a.csv", file).add(ROW)
            RejectLog("b.csv", file).add(Rejected(4, "seed", "y", "another"))
        with path.open() as written:
            assert list(csv.reader(written)) == [
                list(HEADER),
                ["a.csv", "3", "", "x, y", "a rule"],
                ["b.csv", "4", "seed", "y", "another"],
            ]


def test_a_file_to_import_is_not_written_over_under_any_of_its_names(tmp_path: Path) -> None:
    good = tmp_path / "good.csv"
    good.write_text(",".join(HEADER) + "\na,b,c,d,e\n")
    (tmp_path / "link.csv").symlink_to(good)
    for name in ("good.csv", "link.csv"):
        with pytest.raises(InputError, match="is itself to be imported"), open_rejects(tmp_path / name, [good]):
            pass
    assert good.read_text().endswith("a,b,c,d,e\n")


def test_a_file_that_holds_something_else_is_not_written_over(tmp_path: Path) -> None:
    other = tmp_path / "thesis.csv"
    other.write_text("chapter,text\n")
    with pytest.raises(InputError, match="holds no rejected rows"), open_rejects(other, []):
        pass
    assert other.read_text() == "chapter,text\n"
    other.write_text("")
    with open_rejects(other, []):
        pass
    assert other.read_text().strip() == ",".join(HEADER)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name a file that you may write to"), open_rejects(tmp_path / "no" / "x", []):
        pass
    with pytest.raises(InputError, match="cannot write"), open_rejects(tmp_path, []):
        pass
