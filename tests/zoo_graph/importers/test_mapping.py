from pathlib import Path

import pytest

from zoo_graph.errors import ImportFileError, InputError
from zoo_graph.importers.mapping import ColumnMap, column_map, read_mapping


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "map.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_and_keywords_say_the_same(tmp_path: Path) -> None:
    path = toml(
        tmp_path,
        'format = "long"\nmetric = "accuracy"\nseed = 3\nmetrics = ["top1", "top5"]\nconfig = ["img_size"]\n'
        'ignore = ["tag"]\nslash = "--"\n[columns]\nmodel = "name"\n"model.family" = "fam"\n[rename]\na = "b"\n',
    )
    assert read_mapping(path) == column_map(
        format="long",
        metric="accuracy",
        seed=3,
        metrics=["top1", "top5"],
        config=["img_size"],
        ignore=["tag"],
        slash="--",
        columns={"model": "name", "model.family": "fam"},
        rename={"a": "b"},
    )


def test_keywords_stand_over_the_file() -> None:
    file = column_map(metric="accuracy", columns={"model": "a", "dataset": "d"}, config=["x"])
    both = file.but(column_map(metric="f1", columns={"model": "b"}, config=[]))
    assert both.constants == {"metric": "f1"}
    assert both.columns == {"model": "b", "dataset": "d"}
    assert both.config == ()
    assert file.but(ColumnMap()) == file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metric = ", "is no TOML"),
        ('wibble = "x"', "unknown key 'wibble'"),
        ('format = "tall"', "unknown format 'tall'"),
        ('columns = ["a"]', "wanted a table"),
        ('config = "img_size"', "wanted a list"),
        ("metric = 1.5", "wanted a text or a whole number"),
    ],
)
def test_a_mapping_that_is_not_understood_is_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ImportFileError, match=said):
        read_mapping(toml(tmp_path, text))


def test_a_missing_mapping_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="cannot open mapping"):
        read_mapping(tmp_path / "none.toml")


def test_an_unknown_keyword_is_told() -> None:
    with pytest.raises(InputError, match="unknown key 'metrik'"):
        column_map(metrik="accuracy")


def test_equal_descriptions_have_equal_canonical_texts() -> None:
    one = column_map(metric="f1", columns={"model": "a", "dataset": "b"})
    other = column_map(columns={"dataset": "b", "model": "a"}, metric="f1")
    assert one.canonical() == other.canonical()
    assert one.canonical() != column_map(metric="f1").canonical()
