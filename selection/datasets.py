"""What a user calls a dataset, opened: rows, labels and three parts that never overlap.

Knows classes, splits and digests. Does not know files (`tables`) or models: rows are texts, image paths or images,
untouched. The validation part is made once from the training part, stratified and seeded; the test part is only ever
the source's own, or, where it has none, a stratified fifth. Neither takes a class's last row from the training part.
Labels that are measurements make a regression: they stay numbers, there are no classes, and parts are drawn without
strata.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selection import images
from selection.errors import DatasetError
from selection.metrics import Task
from selection.proxies.sampling import stratified_sample
from selection.records import Modality
from selection.tables import PART_NAMES, Part, is_empty, read_table

IntArray = npt.NDArray[np.int64]
Labels = npt.NDArray[Any]

# Fractions with more different values than this are measurements, not names of classes.
MAX_FRACTIONAL_CLASSES = 20
LEFT_OUT = "left out"


# As many as PARC's (Bolya et al. 2021). On eleven tasks of the demo zoo 200 rows served recall as well as 800.
PROBED_ROWS = 500


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

    Shapes: `rows` N texts, paths or images; `labels` (N,) in 0..C-1, of a regression float64; `train`, `validation`,
    `test` index rows. `classes` is empty for a regression.
    `digest` identifies the rows, labels and parts; `notes` says what was left out. `labels_digest` identifies the
    source by its modality, class names and all its labels, whatever limits are set; empty where it is not known.
    """

    name: str
    modality: Modality
    rows: tuple[Any, ...]
    labels: Labels
    classes: tuple[str, ...]
    train: IntArray
    validation: IntArray
    test: IntArray
    digest: str
    notes: tuple[str, ...] = ()
    labels_digest: str = ""

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def task(self) -> Task:
        """Classification, or regression where there are no classes."""
        return "classification" if self.classes else "regression"

    def part(self, name: Part) -> tuple[list[Any], Labels]:
        """The rows and labels of one part."""
        indices: IntArray = getattr(self, name)
        return [self.rows[i] for i in indices], self.labels[indices]

    def probe_part(self) -> tuple[list[Any], Labels]:
        """The rows and labels of the train part that probes look at: `PROBED_ROWS`, or five of each class if more.

        Stratified, and always the same; all of a smaller part.
        """
        labels = self.labels[self.train]
        size = min(len(labels), max(PROBED_ROWS, 5 * len(self.classes)))
        strata = labels if self.task == "classification" else np.zeros(len(labels), np.int64)
        indices = self.train[stratified_sample(strata, size, seed=0)]
        return [self.rows[i] for i in indices], self.labels[indices]


def open_dataset(
    source: str | Path,
    *,
    name: str | None = None,
    text: str | None = None,
    label: str | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    task: Task | None = None,
) -> Dataset:
    """Opens a CSV, TSV or Parquet file, an image folder, a `load_from_disk` folder, or a hub dataset id.

    `text` and `label` name columns; by default the usual names are looked for. The dataset's name is `name`, or
    the file's or folder's. `task`: as in `from_rows`.

    Raises:
        DatasetError: nothing there, a column is missing, no labels, fewer than two classes, or too few rows.
    """
    table, modality = read_table(source, text, label)
    path = Path(source).expanduser()
    default_name = path.stem if path.is_file() else path.resolve().name if path.is_dir() else str(source)
    dataset = from_rows(
        name or default_name, modality, table.rows, table.labels, parts=table.parts, limits=limits, seed=seed, task=task
    )
    return replace(dataset, notes=table.notes + dataset.notes)


def from_rows(
    name: str,
    modality: Modality,
    rows: Sequence[Any],
    labels: Sequence[Any],
    *,
    parts: Sequence[str | None] | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    task: Task | None = None,
) -> Dataset:
    """Makes a dataset of rows and labels in memory; rows with an empty label or content are left out and counted.

    Texts are strings; images are paths, encoded bytes, uint8 arrays or Pillow images. `parts` names each row's part
    (train, validation, test and their usual synonyms; empty: train); rows of other parts are left out, unless no name
    is known: then the column is no split and is not used. `task`: by default labels are numbers to predict where they
    are fractions of more than 20 different values, else classes. Among numbers "nan" is no label.

    Raises:
        DatasetError: lengths differ, no row has a label, fewer than two classes or numbers, labels that are no numbers
            for a regression, an infinite one among numbers, or a part would be empty.
    """
    if len(rows) != len(labels):
        raise DatasetError(f"{name}: got {len(rows)} rows and {len(labels)} labels; wanted one label for each row")
    contents = [_content(row, modality, name, number) for number, row in enumerate(rows, 1)]
    named, part_notes = _named_parts(parts, len(rows))
    texts = _label_texts(labels, task, name)
    keep = [i for i in range(len(rows)) if texts[i] is not None and contents[i] is not None]
    notes = [f"{len(rows) - len(keep)} of {len(rows)} rows have no label or no content and are left out"]
    notes = notes * (len(keep) < len(rows)) + part_notes
    keep = [i for i in keep if named[i] != LEFT_OUT]
    if modality == "image":
        keep, unreadable = _readable(contents, keep, name)
        notes += unreadable
    if not keep:
        raise DatasetError(f"{name}: none of {len(rows)} rows has both a label and content; label some rows first")
    classes, codes = _labelled([str(texts[i]) for i in keep], task, name)
    strata = codes if classes else np.zeros(len(keep), dtype=np.int64)
    notes += [] if classes else [f"its labels are {np.unique(codes).size} different numbers: a regression"]
    train, validation, test = _split(strata, [named[i] for i in keep], limits or Limits(), seed, name)
    if np.unique(codes[train]).size < 2:
        raise DatasetError(
            f"{name}: its train part holds one class or number only, wanted two or more: take more rows, or check the "
            "split"
        )
    absent = len(classes) - np.unique(strata[train]).size
    if classes and absent:
        notes.append(f"{absent} of {len(classes)} classes have no row in the train part")
    kept = tuple(contents[i] for i in keep)
    digest = _digest(name, modality, kept, codes, (train, validation, test))
    identity = _labels_digest(modality, classes, codes)
    return Dataset(name, modality, kept, codes, classes, train, validation, test, digest, tuple(notes), identity)


def _content(row: Any, modality: Modality, name: str, number: int) -> Any:
    """The row as it is kept: a path for an image file's name, None where there is nothing."""
    if is_empty(row):
        return None
    if modality == "image":
        return Path(row) if isinstance(row, str) else row
    if not isinstance(row, str):
        raise DatasetError(f"{name}, row {number}: got {type(row).__name__} {row!r:.60}; wanted a text")
    return row


def _named_parts(parts: Sequence[str | None] | None, n_rows: int) -> tuple[list[str], list[str]]:
    """Each row's part, or `LEFT_OUT`; and what must be told."""
    if parts is None:
        return ["train"] * n_rows, []
    given = ["" if is_empty(part) else str(part).lower().strip() for part in parts]
    unknown = Counter(part for part in given if part and part not in PART_NAMES)
    if not any(part in PART_NAMES for part in given):
        told = f"the split column names no part (got {', '.join(sorted(unknown)[:3])}) and is not used"
        return ["train"] * n_rows, [told] if unknown else []
    notes = [
        f"{n} rows of the part {part!r} are left out (wanted train, validation or test)" for part, n in unknown.items()
    ]
    return [PART_NAMES.get(part, LEFT_OUT) if part else "train" for part in given], notes


def _readable(contents: Sequence[Any], keep: list[int], name: str) -> tuple[list[int], list[str]]:
    missing = [contents[i] for i in keep if isinstance(contents[i], Path) and not contents[i].is_file()]
    if missing:
        raise DatasetError(f"{name}: {len(missing)} image files are missing, the first is {missing[0]}")
    good = [i for i in keep if images.is_readable(contents[i])]
    bad = [i for i in keep if i not in set(good)] if len(good) < len(keep) else []
    told = [f"{len(bad)} images cannot be read and are left out, the first is row {bad[0] + 1}"] if bad else []
    if bad and isinstance(contents[bad[0]], Path):
        told = [f"{len(bad)} images cannot be read and are left out, the first is {contents[bad[0]]}"]
    return good, told


def _label_texts(labels: Sequence[Any], task: Task | None, name: str) -> list[str | None]:
    """Each label as text, None where there is none: among numbers nan is none, among names it is one."""
    texts = [None if _is_missing(value, name) else _label_text(value) for value in labels]
    different = {text for text in texts if text is not None}
    odd = {text for text in different if _is_nan(text) or _is_infinite(text)}
    if task != "regression" and (odd == different or not all(map(_is_number, different - odd))):
        return texts
    infinite = next(filter(_is_infinite, sorted(odd)), None)
    if infinite is not None and task != "classification":
        raise DatasetError(
            f"{name}: got the label {infinite!r} among numbers; wanted finite ones: leave its rows out (where it names "
            "a class: task='classification', --task classification)"
        )
    return [None if text is not None and _is_nan(text) else text for text in texts]


def _labelled(texts: Sequence[str], task: Task | None, name: str) -> tuple[tuple[str, ...], Labels]:
    """The classes, none for a regression, and each row's class index or number."""
    if task == "regression" or (task is None and _are_measurements(set(texts))):
        return (), _numbers(texts, name)
    return _encode(texts, name)


def _numbers(texts: Sequence[str], name: str) -> Labels:
    """The labels of a regression, (N,) float64."""
    wrong = next((text for text in texts if not _is_number(text)), None)
    if wrong is not None:
        raise DatasetError(f"{name}: got the label {wrong!r} in a regression; wanted numbers, or another label column")
    return np.array([float(text) for text in texts])


def _encode(texts: Sequence[str], name: str) -> tuple[tuple[str, ...], IntArray]:
    """Classes sorted (numbers by value, before names), and each label's index."""
    unique = sorted(set(texts), key=lambda t: (0, float(t), t) if _is_number(t) else (1, 0.0, t))
    if len(unique) < 2:
        raise DatasetError(
            f"{name}: got one class ({unique[0]!r}) in {len(texts)} labelled rows; wanted two or more, or there is "
            "nothing to choose a model by"
        )
    if len(unique) > max(2, len(texts) // 2):
        raise DatasetError(
            f"{name}: got {len(unique)} different labels in {len(texts)} rows; wanted classes: check that the label "
            "column is the right one (whole numbers to predict: task='regression', --task regression)"
        )
    index = {text: i for i, text in enumerate(unique)}
    return tuple(unique), np.array([index[t] for t in texts], dtype=np.int64)


def _are_measurements(labels: Collection[str]) -> bool:
    fractional = all(map(_is_number, labels)) and any(not float(label).is_integer() for label in labels)
    return fractional and len(labels) > MAX_FRACTIONAL_CLASSES


def _split(
    codes: IntArray, named: Sequence[str], limits: Limits, seed: int, name: str
) -> tuple[IntArray, IntArray, IntArray]:
    rng = np.random.default_rng(seed)
    part = np.array(named)
    train, validation, test = (np.flatnonzero(part == p) for p in ("train", "validation", "test"))
    if not train.size:
        raise DatasetError(f"{name}: its train part is empty ({codes.size} labelled rows); check the split column")
    if not test.size:
        train, test = _learnable(codes, *_carve(codes, train, max(1, train.size // 5), rng))
    if not validation.size:
        wanted = max(1, train.size // 5)
        wanted = min(wanted, limits.validation) if limits.validation is not None else wanted
        train, validation = _learnable(codes, *_carve(codes, train, wanted, rng))
    train, validation, test = (
        _carve(codes, indices, limit, rng)[1] if limit is not None and limit < indices.size else indices
        for indices, limit in ((train, limits.train), (validation, limits.validation), (test, limits.test))
    )
    for label, indices in (("train", train), ("validation", validation), ("test", test)):
        if not indices.size:
            raise DatasetError(f"{name}: its {label} part is empty ({codes.size} labelled rows); add rows")
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


def _learnable(codes: IntArray, rest: IntArray, taken: IntArray) -> tuple[IntArray, IntArray]:
    """Gives one row of each class that `rest` lacks back to it; `taken` keeps a row at least."""
    classes, first = np.unique(codes[taken], return_index=True)
    back = first[~np.isin(classes, codes[rest])][: taken.size - 1]
    return np.append(rest, taken[back]), np.delete(taken, back)


def _digest(name: str, modality: str, rows: Iterable[Any], codes: Labels, parts: Iterable[IntArray]) -> str:
    digest = hashlib.blake2b(f"{name}\0{modality}\0".encode(), digest_size=16)
    for row in rows:
        digest.update(row_digest(row))
    digest.update(codes.tobytes())
    for part in parts:
        digest.update(part.tobytes() + b"|")
    return digest.hexdigest()


def _labels_digest(modality: str, classes: Sequence[str], codes: Labels) -> str:
    digest = hashlib.blake2b("\0".join((modality, *classes, "")).encode(), digest_size=12)
    digest.update(codes.astype("<i8" if classes else "<f8").tobytes())
    return digest.hexdigest()


def row_digest(row: Any) -> bytes:
    """A digest of one row's content: the text, the image file's bytes, or the image's pixels."""
    if isinstance(row, str):
        content = row.encode()
    elif isinstance(row, Path):
        content = row.read_bytes()
    elif isinstance(row, bytes):
        content = row
    else:
        array = np.asarray(row.convert("RGB") if hasattr(row, "convert") else row)
        content = f"{array.shape}{array.dtype}".encode() + array.tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def _label_text(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))  # a class may be called "nan" or "infinity"
    except ValueError:
        return False


def _is_nan(text: str) -> bool:
    return text.lower().lstrip("+-") == "nan"


def _is_infinite(text: str) -> bool:
    return text.lower().lstrip("+-") in ("inf", "infinity")


def _is_missing(value: Any, name: str) -> bool:
    if isinstance(value, (list, tuple, dict, set, np.ndarray)):
        raise DatasetError(f"{name}: got the label {value!r:.60}; wanted one class for each row, not several")
    return value is None or bool(value != value) or (isinstance(value, str) and not value.strip())
