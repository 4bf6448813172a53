"""Files, folders and hub ids read as a table: one content, one label and one part's name for each row.

Knows CSV, Parquet, image folders and the `datasets` library. Does not know splits, classes or digests.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from selection import images
from selection.errors import DatasetError
from selection.records import Modality

Part = Literal["train", "validation", "test"]

TEXT_COLUMNS = ("text", "sentence", "content", "document", "review")
IMAGE_COLUMNS = ("image", "img", "path", "file", "filename", "file_name")
LABEL_COLUMNS = ("label", "labels", "class", "target", "category")
PART_COLUMNS = ("split", "part", "fold")
PART_NAMES: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
FILE_SUFFIXES = (".csv", ".tsv", ".parquet")
DELIMITERS = (",", ";", "\t", "|")
MAX_FIELD_CHARACTERS = 1 << 27
# Read as a last line: where it is no row of its own, a quote is still open.
END = "\x1eend of file"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they stand in the source; `parts` is None where it names none."""

    rows: Sequence[Any]
    labels: Sequence[Any]
    parts: Sequence[str | None] | None
    notes: tuple[str, ...] = ()


def read_table(source: str | Path, text: str | None, label: str | None) -> tuple[Table, Modality]:
    """The table of a file, a folder or a hub id, and what its rows are.

    Raises:
        DatasetError: nothing there, it cannot be read, or a column is missing.
    """
    path = Path(source).expanduser()
    if path.is_file():
        table = _read_file(path, text, label)
        modality = _modality(table.rows)
        return (_with_folder(table, path.parent) if modality == "image" else table), modality
    if path.is_dir() and ((path / "state.json").exists() or (path / "dataset_dict.json").exists()):
        table = _read_hugging_face(path, text, label)
        return table, _modality(table.rows)
    if path.is_dir():
        return _read_image_folder(path), "image"
    if _looks_like_hub_id(str(source)):
        table = _read_hugging_face(str(source), text, label)
        return table, _modality(table.rows)
    raise DatasetError(
        f"no dataset at {str(source)!r}: wanted a CSV, TSV or Parquet file, a folder of image classes, a folder "
        "saved by datasets.save_to_disk, or a hub id such as 'org/name'"
    )


def is_empty(row: Any) -> bool:
    """Whether a cell holds nothing: None, nan or blank text."""
    return row is None or (isinstance(row, float) and row != row) or (isinstance(row, str) and not row.strip())


def _modality(rows: Sequence[Any]) -> Modality:
    sample = next((row for row in rows if not is_empty(row)), "")
    if isinstance(sample, (int, float)):
        return "text"
    if not isinstance(sample, str):
        return "image"
    return "image" if "\n" not in sample and Path(sample).suffix.lower() in images.SUFFIXES else "text"


def _with_folder(table: Table, folder: Path) -> Table:
    """Relative image paths taken from the file's folder."""
    rows = [folder / row if isinstance(row, str) and row.strip() else row for row in table.rows]
    return Table(rows, table.labels, table.parts, table.notes)


def _read_file(path: Path, text: str | None, label: str | None) -> Table:
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise DatasetError(f"got {path.name}; wanted a file ending in {', '.join(FILE_SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, text, label)
    columns = _csv_columns(path)
    return _pick_columns(path.name, list(columns), columns.__getitem__, text, label)


def _csv_columns(path: Path) -> dict[str, list[Any]]:
    limit = csv.field_size_limit(MAX_FIELD_CHARACTERS)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            stream.seek(0)
            delimiter = "\t" if path.suffix.lower() == ".tsv" else max(DELIMITERS, key=first.count)
            rows = list(_csv_rows(chain(stream, [END]), delimiter, path.name))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path.name} is no UTF-8 CSV file ({error}); save it as UTF-8 with a header row") from error
    finally:
        csv.field_size_limit(limit)
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    return {name: [row[i] if i < len(row) else None for row in body] for i, name in enumerate(header)}


def _csv_rows(lines: Iterable[str], delimiter: str, name: str) -> Iterator[list[str]]:
    """The rows that hold anything, the header first, without `END` after them; none is longer than the header."""
    reader = csv.reader(lines, delimiter=delimiter)
    n_columns, begins = 0, 1
    for cells in reader:
        if cells == [END]:
            return
        if cells and cells[-1].endswith(END):
            raise DatasetError(
                f"{name}, line {begins}: a quote is opened in the row that begins here and never closed, so that the "
                "rest of the file is one text: close it, or write a quote inside a text twice"
            )
        n_columns = n_columns or len(cells)
        if len(cells) > n_columns:
            raise DatasetError(
                f"{name}, line {begins}: got {len(cells)} cells, wanted {n_columns} as in the header; put quotes "
                "around texts that hold the delimiter"
            )
        begins = reader.line_num + 1
        if cells:
            yield cells


def _read_parquet(path: Path, text: str | None, label: str | None) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:

            def column(name: str) -> list[Any]:
                return [_decoded(value) for value in file.read(columns=[name]).column(0).to_pylist()]

            return _pick_columns(path.name, file.schema_arrow.names, column, text, label)
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError(f"{path.name} cannot be read as Parquet ({error})") from error


def _decoded(value: Any) -> Any:
    """An image as Parquet files of the hub hold it ({bytes, path}) as its bytes, or its path."""
    if isinstance(value, dict) and {"bytes", "path"} <= set(value):
        return value["bytes"] if value["bytes"] is not None else value["path"]
    return value


def _pick_columns(
    where: str, names: Sequence[str], column: Callable[[str], Sequence[Any]], text: str | None, label: str | None
) -> Table:
    content = _find(where, names, text, TEXT_COLUMNS + IMAGE_COLUMNS, "text (or image)", "--text")
    target = _find(where, names, label, LABEL_COLUMNS, "label", "--label")
    part = next((n for n in names if n.lower() in PART_COLUMNS and n not in (content, target)), None)
    return Table(column(content), column(target), column(part) if part else None)


def _find(where: str, names: Sequence[str], told: str | None, usual: Sequence[str], what: str, option: str) -> str:
    if told is not None:
        if told not in names:
            raise DatasetError(f"{where} has no column {told!r}; it has {', '.join(names) or 'none'}")
        return told
    lowered = {name.lower(): name for name in reversed(names)}
    for candidate in usual:
        if candidate in lowered:
            return lowered[candidate]
    raise DatasetError(f"{where} has no {what} column among {', '.join(names) or 'none'}; name it with {option}")


def _read_image_folder(path: Path) -> Table:
    """`class/image` or `part/class/image`; hidden files and folders are no data."""
    tops = _folders(path)
    # A class may be called "train": a part's folder holds class folders, a class's holds images.
    by_part = {p: PART_NAMES[p.name.lower()] for p in tops if p.name.lower() in PART_NAMES and not _holds_images(p)}
    rows: list[Any] = []
    labels: list[str] = []
    parts: list[str | None] = []
    for top in by_part or [path]:
        for folder in _folders(top):
            found = sorted(f for f in folder.rglob("*") if _is_image(f, folder))
            rows += found
            labels += [folder.name] * len(found)
            parts += [by_part.get(top)] * len(found)
    if not rows:
        raise DatasetError(
            f"{path} holds no images in class folders; wanted {path.name}/<class>/<image> or "
            f"{path.name}/train/<class>/<image> with {', '.join(sorted(images.SUFFIXES))}"
        )
    ignored = [p.name for p in tops if by_part and p not in by_part]
    notes = (f"folders beside the parts are left out: {', '.join(ignored)}",) if ignored else ()
    return Table(rows, labels, parts, notes)


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _holds_images(path: Path) -> bool:
    return any(_is_image(file, path) for file in path.iterdir())


def _is_image(file: Path, top: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(top).parts)
    return file.suffix.lower() in images.SUFFIXES and not hidden and file.is_file()


def _looks_like_hub_id(source: str) -> bool:
    return not source.startswith((".", "/", "~")) and source.count("/") == 1 and not source.endswith(FILE_SUFFIXES)


def _read_hugging_face(source: Path | str, text: str | None, label: str | None) -> Table:
    try:
        import datasets  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        what = source if isinstance(source, Path) else f"no file or folder {source!r} here; as a hub dataset it"
        raise DatasetError(f"{what} needs the `datasets` library: pip install 'zoo-graph[hub]'") from error
    try:
        loaded = datasets.load_from_disk(str(source)) if isinstance(source, Path) else _download(datasets, source)
    except Exception as error:  # the library raises whatever its back ends raise
        raise DatasetError(f"{source} could not be loaded by the `datasets` library: {error}") from error
    splits = loaded if isinstance(loaded, dict) else {"train": loaded}
    rows: list[Any] = []
    labels: list[Any] = []
    parts: list[str | None] = []
    for part, split in splits.items():
        table = _pick_columns(str(source), split.column_names, split.__getitem__, text, label)
        column = _find(str(source), split.column_names, label, LABEL_COLUMNS, "label", "--label")
        rows += list(table.rows)
        labels += _class_names(table.labels, getattr(split.features[column], "names", None))
        parts += [part] * len(split)
    return Table(rows, labels, parts)


def _download(datasets: Any, source: str) -> Any:
    """`org/name[:config][@revision]`; a dataset's own loading script never runs."""
    name, _, revision = source.partition("@")
    name, _, config = name.partition(":")
    return datasets.load_dataset(name, config or None, revision=revision or None, trust_remote_code=False)


def _class_names(values: Iterable[Any], names: Sequence[str] | None) -> list[Any]:
    """Class numbers as names; -1 stands for no label only where numbers stand for classes."""
    if not names:
        return list(values)
    return [None if value is None or value == -1 else names[value] for value in values]
