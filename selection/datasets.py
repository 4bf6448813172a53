"""What a user calls a dataset, opened: rows, labels and three parts that never overlap.

Knows files, folders and arrays. Does not know models: rows are texts, image paths or images, untouched.
The validation part is made once from the training part, stratified and seeded; the test part is only ever the
source's own, or, where it has none, a stratified fifth.
"""

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from selection.errors import DatasetError
from selection.records import Modality

IntArray = npt.NDArray[np.int64]
Part = Literal["train", "validation", "test"]

TEXT_COLUMNS = ("text", "sentence", "content", "document", "review")
IMAGE_COLUMNS = ("image", "img", "path", "file", "filename", "file_name")
LABEL_COLUMNS = ("label", "labels", "class", "target", "category")
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
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
FILE_SUFFIXES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class Limits:
    """At most this many rows of each part are used (stratified, seeded); None: all.

    Without a validation part a fifth of the training part becomes one, at most `validation` rows.
    """

    train: int | None = None
    validation: int | None = 1000
    test: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Labelled rows in three disjoint parts.

    Shapes: `rows` N texts, paths or images; `labels` (N,) in 0..C-1; `train`, `validation`, `test` index rows.
    `digest` identifies the rows, labels and parts; `notes` says what was left out.
    """

    name: str
    modality: Modality
    rows: tuple[Any, ...]
    labels: IntArray
    classes: tuple[str, ...]
    train: IntArray
    validation: IntArray
    test: IntArray
    digest: str
    notes: tuple[str, ...] = ()

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def part(self, name: Part) -> tuple[list[Any], IntArray]:
        """The rows and labels of one part."""
        indices: IntArray = getattr(self, name)
        return [self.rows[i] for i in indices], self.labels[indices]


def open_dataset(
    source: str | Path,
    *,
    name: str | None = None,
    text: str | None = None,
    label: str | None = None,
    limits: Limits | None = None,
    seed: int = 0,
) -> Dataset:
    """Opens a CSV, TSV or Parquet file, an image folder, a `load_from_disk` folder, or a hub dataset id.

    `text` and `label` name columns; by default the usual names are looked for. The dataset's name is `name`, or
    the file's or folder's.

    Raises:
        DatasetError: nothing there, a column is missing, no labels, fewer than two classes, or too few rows.
    """
    path = Path(source)
    if path.is_file():
        rows, labels, parts = _read_file(path, text, label)
        modality = _modality(rows)
        rows = _resolve_images(rows, path.parent) if modality == "image" else rows
    elif path.is_dir() and ((path / "state.json").exists() or (path / "dataset_dict.json").exists()):
        rows, labels, parts = _read_hugging_face(path, text, label)
        modality = _modality(rows)
    elif path.is_dir():
        rows, labels, parts = _read_image_folder(path)
        modality = "image"
    elif _looks_like_hub_id(str(source)):
        rows, labels, parts = _read_hugging_face(str(source), text, label)
        modality = _modality(rows)
    else:
        raise DatasetError(
            f"no dataset at {str(source)!r}: wanted a CSV, TSV or Parquet file, a folder of image classes, a folder "
            "saved by datasets.save_to_disk, or a hub id such as 'org/name'"
        )
    default_name = path.stem if path.is_file() else path.name if path.is_dir() else str(source)
    return from_rows(name or default_name, modality, rows, labels, parts=parts, limits=limits, seed=seed)


def from_rows(
    name: str,
    modality: Modality,
    rows: Sequence[Any],
    labels: Sequence[Any],
    *,
    parts: Sequence[str | None] | None = None,
    limits: Limits | None = None,
    seed: int = 0,
) -> Dataset:
    """Makes a dataset of rows and labels in memory; rows with an empty label or text are left out and counted.

    `parts` names each row's part (train, validation, test and their usual synonyms); anything else is training.

    Raises:
        DatasetError: lengths differ, no row has a label, fewer than two classes, or a part would be empty.
    """
    if len(rows) != len(labels):
        raise DatasetError(f"{name}: got {len(rows)} rows and {len(labels)} labels; wanted one label for each row")
    keep = [i for i, value in enumerate(labels) if not _is_missing(value) and not _is_empty(rows[i])]
    if not keep:
        raise DatasetError(f"{name}: none of {len(rows)} rows has both a label and content; label some rows first")
    classes, codes = _encode([labels[i] for i in keep], name)
    named = [PART_NAMES.get(str(parts[i]).lower().strip()) if parts is not None else None for i in keep]
    train, validation, test = _split(codes, named, limits or Limits(), seed, name)
    kept = tuple(rows[i] for i in keep)
    notes = _notes(len(rows), len(keep), codes, train, len(classes))
    digest = _digest(name, modality, kept, codes, (train, validation, test))
    return Dataset(name, modality, kept, codes, classes, train, validation, test, digest, notes)


def _encode(labels: list[Any], name: str) -> tuple[tuple[str, ...], IntArray]:
    """Classes sorted (as numbers where all are), and each label's index."""
    texts = [_label_text(value) for value in labels]
    unique = sorted(set(texts), key=lambda t: (0, float(t), t) if _is_number(t) else (1, 0.0, t))
    if len(unique) < 2:
        raise DatasetError(
            f"{name}: got one class ({unique[0]!r}) in {len(labels)} labelled rows; wanted two or more, or there is "
            "nothing to choose a model by"
        )
    if len(unique) > max(2, len(labels) // 2):
        raise DatasetError(
            f"{name}: got {len(unique)} different labels in {len(labels)} rows; wanted classes (regression targets "
            "are not supported yet); check that the label column is the right one"
        )
    index = {text: i for i, text in enumerate(unique)}
    return tuple(unique), np.array([index[t] for t in texts], dtype=np.int64)


def _split(
    codes: IntArray, named: Sequence[Part | None], limits: Limits, seed: int, name: str
) -> tuple[IntArray, IntArray, IntArray]:
    rng = np.random.default_rng(seed)
    part = np.array([p or "train" for p in named])
    train, validation, test = (np.flatnonzero(part == p) for p in ("train", "validation", "test"))
    if not test.size:
        train, test = _carve(codes, train, max(1, train.size // 5), rng)
    if not validation.size:
        wanted = max(1, train.size // 5)
        wanted = min(wanted, limits.validation) if limits.validation is not None else wanted
        train, validation = _carve(codes, train, wanted, rng)
    train, validation, test = (
        _carve(codes, indices, limit, rng)[1] if limit is not None and limit < indices.size else indices
        for indices, limit in ((train, limits.train), (validation, limits.validation), (test, limits.test))
    )
    for label, indices in (("train", train), ("validation", validation), ("test", test)):
        if not indices.size:
            raise DatasetError(f"{name}: its {label} part is empty ({codes.size} labelled rows); add rows")
    if np.unique(codes[train]).size < 2:
        raise DatasetError(f"{name}: its train part holds one class only; wanted two or more; check the split column")
    return np.sort(train), np.sort(validation), np.sort(test)


def _carve(codes: IntArray, indices: IntArray, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Takes `n` of `indices`, each class by its share (largest remainders); returns (rest, taken)."""
    shuffled = rng.permutation(indices)
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    # Evenly spaced places in the class-sorted order give each class its share to within one row.
    places = np.floor((np.arange(n) + rng.random()) * order.size / n).astype(np.int64)
    taken = np.zeros(order.size, dtype=bool)
    taken[np.minimum(places, order.size - 1)] = True
    return order[~taken], order[taken]


def _notes(n_rows: int, n_kept: int, codes: IntArray, train: IntArray, n_classes: int) -> tuple[str, ...]:
    notes = []
    if n_kept < n_rows:
        notes.append(f"{n_rows - n_kept} of {n_rows} rows have no label or no content and are left out")
    absent = n_classes - np.unique(codes[train]).size
    if absent:
        notes.append(f"{absent} of {n_classes} classes have no row in the train part")
    return tuple(notes)


def _digest(name: str, modality: str, rows: Iterable[Any], codes: IntArray, parts: Iterable[IntArray]) -> str:
    digest = hashlib.blake2b(f"{name}\0{modality}\0".encode(), digest_size=16)
    for row in rows:
        digest.update(row_digest(row))
    digest.update(codes.tobytes())
    for part in parts:
        digest.update(part.tobytes() + b"|")
    return digest.hexdigest()


def row_digest(row: Any) -> bytes:
    """A digest of one row's content: the text, the image file's bytes, or the image's pixels."""
    if isinstance(row, str):
        content = row.encode()
    elif isinstance(row, Path):
        content = row.read_bytes()
    else:
        array = np.asarray(row)
        content = f"{array.shape}{array.dtype}".encode() + array.tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def _label_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _is_empty(row: Any) -> bool:
    return row is None or (isinstance(row, str) and not row.strip())


def _modality(rows: Sequence[Any]) -> Modality:
    sample = next((row for row in rows if row is not None), "")
    if not isinstance(sample, str):
        return "image"
    return "image" if Path(sample).suffix.lower() in IMAGE_SUFFIXES and "\n" not in sample else "text"


def _resolve_images(rows: Sequence[Any], folder: Path) -> list[Any]:
    paths = [None if _is_empty(row) else folder / row for row in rows]
    missing = [p for p in paths if p is not None and not p.is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing)} image files are missing, the first is {missing[0]}; paths are taken from {folder}"
        )
    return paths


Table = tuple[Sequence[Any], Sequence[Any], Sequence[str | None] | None]


def _read_file(path: Path, text: str | None, label: str | None) -> Table:
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise DatasetError(f"got {path.name}; wanted a file ending in {', '.join(FILE_SUFFIXES)}")
    columns = _parquet_columns(path) if path.suffix.lower() == ".parquet" else _csv_columns(path)
    return _pick_columns(path.name, list(columns), lambda c: columns[c], text, label)


def _csv_columns(path: Path) -> dict[str, list[Any]]:
    csv.field_size_limit(1 << 27)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path.name} is no UTF-8 CSV file ({error}); save it as UTF-8 with a header row") from error
    names = list(reader.fieldnames or ())
    return {name: [row[name] for row in rows] for name in names}


def _parquet_columns(path: Path) -> dict[str, list[Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError(f"{path.name} cannot be read as Parquet ({error})") from error
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _pick_columns(
    where: str, names: Sequence[str], column: Callable[[str], Sequence[Any]], text: str | None, label: str | None
) -> Table:
    content = _find(where, names, text, TEXT_COLUMNS + IMAGE_COLUMNS, "text (or image)", "--text")
    target = _find(where, names, label, LABEL_COLUMNS, "label", "--label")
    part = next((n for n in names if n.lower() in ("split", "part", "fold")), None)
    return column(content), column(target), column(part) if part else None


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
    """`class/image` or `part/class/image`."""
    tops = sorted(p for p in path.iterdir() if p.is_dir())
    by_part = {p: PART_NAMES[p.name.lower()] for p in tops if p.name.lower() in PART_NAMES}
    rows: list[Any] = []
    labels: list[str] = []
    parts: list[str | None] = []
    for top in by_part or [path]:
        for folder in sorted(p for p in top.iterdir() if p.is_dir()):
            images = sorted(f for f in folder.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
            rows += images
            labels += [folder.name] * len(images)
            parts += [by_part.get(top)] * len(images)
    if not rows:
        raise DatasetError(
            f"{path} holds no images in class folders; wanted {path.name}/<class>/<image> or "
            f"{path.name}/train/<class>/<image> with {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return rows, labels, parts


def _looks_like_hub_id(source: str) -> bool:
    return not source.startswith((".", "/")) and 1 <= source.count("/") <= 1 and not source.endswith(FILE_SUFFIXES)


def _read_hugging_face(source: Path | str, text: str | None, label: str | None) -> Table:
    try:
        import datasets  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise DatasetError(f"{source} needs the `datasets` library: pip install 'zoo-graph[hub]'") from error
    try:
        loaded = datasets.load_from_disk(str(source)) if isinstance(source, Path) else datasets.load_dataset(source)
    except Exception as error:  # the library raises whatever its back ends raise
        raise DatasetError(f"{source} could not be loaded by the `datasets` library: {error}") from error
    splits = loaded if isinstance(loaded, dict) else {"train": loaded}
    rows: list[Any] = []
    labels: list[Any] = []
    parts: list[str | None] = []
    for part, split in splits.items():
        content, target, _ = _pick_columns(str(source), split.column_names, split.__getitem__, text, label)
        column = _find(str(source), split.column_names, label, LABEL_COLUMNS, "label", "--label")
        names = getattr(split.features[column], "names", None)
        rows += list(content)
        labels += [None if value == -1 else names[value] if names else value for value in target]
        parts += [part] * len(split)
    return rows, labels, parts
