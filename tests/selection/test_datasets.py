from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from selection.datasets import Dataset, Limits, from_rows, open_dataset, row_digest
from selection.errors import DatasetError
from selection.metrics import Task

TEXTS = [f"text number {i}" for i in range(20)]
LABELS = ["yes", "no"] * 10


def written(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_text(content, encoding=encoding)
    return path


def csv_of(path: Path, delimiter: str = ",", header: str = "text,label", encoding: str = "utf-8") -> Path:
    lines = [header.replace(",", delimiter), *(f"{t}{delimiter}{y}" for t, y in zip(TEXTS, LABELS, strict=True))]
    return written(path, "\n".join(lines) + "\n", encoding)


def picture(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 5, 3), level, np.uint8)).save(path)
    return path


def parts_of(dataset: Dataset) -> list[set[int]]:
    return [set(part.tolist()) for part in (dataset.train, dataset.validation, dataset.test)]


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"),
    [("a.csv", ",", "utf-8"), ("a.csv", ";", "utf-8"), ("a.tsv", "\t", "utf-8"), ("a.csv", ",", "utf-8-sig")],
)
def test_a_csv_is_read_whatever_its_delimiter_and_byte_order_mark(
    tmp_path: Path, name: str, delimiter: str, encoding: str
) -> None:
    dataset = open_dataset(csv_of(tmp_path / name, delimiter, encoding=encoding))
    assert (dataset.name, dataset.modality, dataset.classes) == ("a", "text", ("no", "yes"))
    assert dataset.rows == tuple(TEXTS)
    assert [dataset.classes[i] for i in dataset.labels] == LABELS


def test_a_parquet_file_equals_the_csv_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"other": range(20), "text": TEXTS, "label": LABELS}), tmp_path / "a.parquet")
    by_parquet, by_csv = open_dataset(tmp_path / "a.parquet"), open_dataset(csv_of(tmp_path / "a.csv"))
    assert by_parquet.digest == by_csv.digest


def test_columns_are_found_by_their_usual_names_and_by_the_ones_told(tmp_path: Path) -> None:
    usual = csv_of(tmp_path / "a.csv", header="Sentence,Category")
    assert open_dataset(usual).rows == tuple(TEXTS)
    odd = csv_of(tmp_path / "b.csv", header="words,verdict")
    assert open_dataset(odd, text="words", label="verdict", name="mine").name == "mine"
    with pytest.raises(DatasetError, match=r"no text.* column among words, verdict; name it with --text"):
        open_dataset(odd)
    with pytest.raises(DatasetError, match=r"no column 'x'; it has words, verdict"):
        open_dataset(odd, text="x", label="verdict")


def test_a_cell_too_many_is_an_error_with_its_line_and_not_a_wrong_label(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,label\ngood,1\nhello, world,0\n")
    with pytest.raises(DatasetError, match=r"a.csv, line 3: got 3 cells, wanted 2.*quotes"):
        open_dataset(path)


def test_rows_without_label_or_text_are_left_out_and_counted(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv")
    path.write_text(path.read_text() + "no label,\n ,yes\nshort\n")
    dataset = open_dataset(path)
    assert dataset.rows == tuple(TEXTS)
    assert dataset.notes == ("3 of 23 rows have no label or no content and are left out",)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([None] * 20, "none of 20 rows has both a label and content"),
        (["same"] * 20, r"got one class \('same'\).*two or more"),
        (range(20), "20 different labels in 20 rows.*task='regression'"),
        ([["a"], ["a", "b"]] * 10, "one class for each row, not several"),
        (LABELS[:3], "20 rows and 3 labels"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(labels: list[Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        from_rows("d", "text", TEXTS, labels)


def test_fractions_of_many_values_are_numbers_to_predict_even_where_they_repeat() -> None:
    labels = [(i % 50) / 10 for i in range(400)]
    dataset = from_rows("d", "text", [f"t{i}" for i in range(400)], labels)
    assert (dataset.task, dataset.classes, dataset.labels.tolist()) == ("regression", (), labels)
    assert dataset.notes == ("its labels are 50 different numbers: a regression",)
    assert [part.size for part in (dataset.train, dataset.validation, dataset.test)] == [256, 64, 80]
    assert len(set.union(*parts_of(dataset))) == 400
    other = from_rows("e", "text", [f"t{i}" for i in range(400)], [*labels[:-1], 7.5])
    assert other.labels_digest != dataset.labels_digest


def test_whole_numbers_are_a_regression_only_where_it_is_asked_for() -> None:
    rows = [f"t{i}" for i in range(20)]
    assert from_rows("d", "text", rows, range(20), task="regression").labels.tolist() == list(range(20))
    assert from_rows("d", "text", rows, [i % 5 for i in range(20)]).task == "classification"
    with pytest.raises(DatasetError, match="got the label 'yes' in a regression; wanted numbers"):
        from_rows("d", "text", TEXTS, LABELS, task="regression")
    with pytest.raises(DatasetError, match="one class or number only"):
        from_rows("d", "text", TEXTS, [1.5] * 20, task="regression")


def test_classes_are_sorted_as_numbers_and_a_class_may_be_called_nan() -> None:
    assert from_rows("d", "text", [f"t{i}" for i in range(60)], [i % 12 for i in range(60)]).classes[:3] == (
        "0",
        "1",
        "2",
    )
    assert from_rows("d", "text", TEXTS, [1.0, np.float32(2.0)] * 10).classes == ("1", "2")
    assert from_rows("d", "text", TEXTS, ["nan", "b", "10", "9"] * 5).classes == ("9", "10", "b", "nan")
    assert from_rows("d", "text", TEXTS, ["inf", "nan"] * 10).classes == ("inf", "nan")


@pytest.mark.parametrize("told", ["nan", "NaN", "-nan"])
def test_among_numbers_nan_is_no_label_and_counted(told: str) -> None:
    rows = [f"t{i}" for i in range(400)]
    dataset = from_rows("d", "text", rows, [told if i % 9 == 0 else str((i % 50) / 10) for i in range(400)])
    assert (dataset.task, len(dataset.rows), dataset.classes) == ("regression", 355, ())
    assert dataset.notes[0] == "45 of 400 rows have no label or no content and are left out"
    stars = from_rows("d", "text", rows, [told if i == 7 else i % 5 for i in range(400)])
    assert (stars.classes, len(stars.rows)) == (("0", "1", "2", "3", "4"), 399)
    asked = from_rows("d", "text", rows, [told if i == 7 else i for i in range(400)], task="regression")
    assert np.isfinite(asked.labels).all()


@pytest.mark.parametrize("task", [None, "regression"])
@pytest.mark.parametrize("told", ["inf", "-Infinity", float("inf")])
def test_among_numbers_an_infinite_one_is_refused(told: str | float, task: Task | None) -> None:
    labels = [told if i == 3 else i / 10 for i in range(400)]
    with pytest.raises(
        DatasetError, match=r"label '-?[Ii]nf(inity)?' among numbers; wanted finite ones: leave its row"
    ):
        from_rows("d", "text", [f"t{i}" for i in range(400)], labels, task=task)


def test_a_class_called_inf_among_numbers_is_one_where_classes_are_asked_for() -> None:
    assert from_rows("d", "text", TEXTS, ["inf", "10"] * 10, task="classification").classes == ("10", "inf")


@pytest.mark.parametrize("content", [b"text,label\n\xff\xfe,1\n", b""])
def test_a_file_that_is_no_utf8_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.csv"):
        open_dataset(path)


def test_what_is_no_dataset_is_told_with_what_was_wanted(tmp_path: Path) -> None:
    for source, message in (
        (str(tmp_path / "nowhere.csv"), "no dataset at .*wanted a CSV"),
        (str(written(tmp_path / "a.xlsx", "x")), "got a.xlsx; wanted a file ending in .csv, .tsv, .parquet"),
        (str(written(tmp_path / "a.parquet", "x")), "a.parquet cannot be read as Parquet"),
        (str(tmp_path), "holds no images in class folders"),
    ):
        with pytest.raises(DatasetError, match=message):
            open_dataset(source)


def test_a_hub_id_without_the_datasets_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(DatasetError, match=r"no file or folder 'org/name' here; .*pip install 'zoo-graph\[hub\]'"):
        open_dataset("org/name")


FAKE_LIBRARY = """
class ClassLabel:
    names = ["bad", "good"]
class Split:
    column_names = ["text", "label"]
    def __init__(self, n, names):
        self.features = {"label": ClassLabel() if names else object()}
        self.columns = {"text": [f"{n} {i}" for i in range(n)]}
        self.columns["label"] = [i % 2 if names else i % 3 - 1 for i in range(n)]
        if names:
            self.columns["label"][0] = -1
    def __getitem__(self, name):
        return self.columns[name]
    def __len__(self):
        return len(self.columns["text"])
def load_dataset(name, config=None, revision=None, trust_remote_code=None):
    if name == "org/gone":
        raise RuntimeError("no such data")
    assert trust_remote_code is False
    return {"train": Split(20, name != "org/numbers"), "test": Split(6, name != "org/numbers")}
"""


def test_the_datasets_library_is_asked_for_names_and_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "datasets.py", FAKE_LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    named = open_dataset("org/name:config@main")
    assert (named.classes, named.test.size, len(named.rows)) == (("bad", "good"), 5, 24)  # -1 stands for no label
    numbers = open_dataset("org/numbers")
    assert (numbers.classes, len(numbers.rows)) == (("-1", "0", "1"), 26)  # -1 is a class like any other
    with pytest.raises(DatasetError, match="no such data"):
        open_dataset("org/gone")


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(5, 40), min_size=2, max_size=5),
    seed=st.integers(0, 99),
    limits=st.builds(Limits, st.integers(25, 60), st.integers(1, 20), st.integers(1, 20)),
)
def test_parts_are_disjoint_stratified_within_limits_and_decided_by_the_seed(
    sizes: list[int], seed: int, limits: Limits
) -> None:
    labels = [f"c{c}" for c, n in enumerate(sizes) for _ in range(n)]
    rows = [f"row {i}" for i in range(len(labels))]
    dataset = from_rows("d", "text", rows, labels, limits=limits, seed=seed)
    train, validation, test = parts_of(dataset)
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    n = len(rows)
    assert len(test) == min(limits.test or 0, n // 5)
    assert len(validation) == min(limits.validation or 0, (n - n // 5) // 5)
    assert len(train) == min(limits.train or 0, n - n // 5 - len(validation))
    again = from_rows("d", "text", rows, labels, limits=limits, seed=seed)
    assert again.digest == dataset.digest
    assert parts_of(again) == [train, validation, test]
    whole = from_rows("d", "text", rows, labels, limits=Limits(None, None, None), seed=seed)
    for code, size in enumerate(sizes):
        assert abs(np.sum(whole.labels[whole.test] == code) - size / n * (n // 5)) < 1


def test_another_seed_gives_other_parts() -> None:
    one, two = (from_rows("d", "text", TEXTS, LABELS, seed=seed) for seed in (0, 1))
    assert parts_of(one) != parts_of(two)


def of_sizes(*sizes: int, seed: int = 0, limits: Limits | None = None, **given: Any) -> Dataset:
    labels = [f"c{c}" for c, n in enumerate(sizes) for _ in range(n)]
    return from_rows("d", "text", [f"row {i}" for i in range(len(labels))], labels, seed=seed, limits=limits, **given)


@pytest.mark.parametrize("rare", [1, 2, 3])
def test_a_class_of_few_rows_is_learnt_before_it_is_scored(rare: int) -> None:
    for seed in range(40):
        dataset = of_sizes(250, 147, rare, seed=seed)
        assert set(dataset.labels[dataset.train].tolist()) == {0, 1, 2}
        assert not [note for note in dataset.notes if "train part" in note]
        assert parts_of(dataset) == parts_of(of_sizes(250, 147, rare, seed=seed))
        assert len(set.union(*parts_of(dataset))) == sum(map(len, parts_of(dataset))) == 397 + rare


def test_a_class_that_the_source_keeps_from_its_train_part_stays_there() -> None:
    parts = ["train"] * 40 + ["test"] * 10
    dataset = of_sizes(20, 20, 10, parts=parts)
    assert (dataset.test.tolist(), dataset.validation.size) == (list(range(40, 50)), 8)
    assert dataset.notes == ("1 of 3 classes have no row in the train part",)


def test_no_part_is_emptied_for_a_rare_class() -> None:
    for seed in range(40):
        assert all(parts_of(of_sizes(3, 2, 1, seed=seed)))


@pytest.mark.parametrize(
    ("sizes", "seed", "limits", "digest"),
    [
        ((12, 8), 0, None, "90f6bd5f3aeda62e35cec9dbbdd55b18"),
        ((5, 9, 16), 3, None, "634529cfd4c4c95bfb47044f61219389"),
        ((40, 25, 6, 30), 1, Limits(50, 10, 12), "d01b277844a542a791290c77fcd0114e"),
    ],
)
def test_the_parts_of_classes_with_rows_enough_stay_as_they_were_first_drawn(
    sizes: tuple[int, ...], seed: int, limits: Limits | None, digest: str
) -> None:
    # What was measured on them, and cached, is found by this digest.
    assert of_sizes(*sizes, seed=seed, limits=limits).digest == digest


def test_the_parts_of_the_source_are_kept_and_a_missing_one_is_made() -> None:
    parts = ["train"] * 12 + ["Dev "] * 4 + ["test"] * 4
    assert parts_of(from_rows("d", "text", TEXTS, LABELS, parts=parts)) == [
        set(range(12)),
        set(range(12, 16)),
        set(range(16, 20)),
    ]
    made = from_rows("d", "text", TEXTS, LABELS, parts=["train"] * 15 + ["test"] * 5)
    assert (made.validation.size, set(made.test.tolist())) == (3, set(range(15, 20)))


def test_an_unknown_part_is_never_trained_on() -> None:
    parts = ["train"] * 12 + ["holdout"] * 4 + ["test"] * 4
    dataset = from_rows("d", "text", TEXTS, LABELS, parts=parts)
    assert not set(TEXTS[12:16]) & set(dataset.rows)
    assert "4 rows of the part 'holdout' are left out" in dataset.notes[0]
    folds = from_rows("d", "text", TEXTS, LABELS, parts=["1", "2"] * 10)
    assert len(folds.rows) == 20
    assert "names no part (got 1, 2)" in folds.notes[0]


def test_a_source_without_a_train_part_or_too_small_is_refused() -> None:
    with pytest.raises(DatasetError, match="train part is empty"):
        from_rows("d", "text", TEXTS, LABELS, parts=["test"] * 20)
    with pytest.raises(DatasetError, match="part is empty"):
        from_rows("d", "text", TEXTS[:2], LABELS[:2])
    with pytest.raises(DatasetError, match="one class or number only"):
        from_rows("d", "text", TEXTS, ["a"] * 15 + ["b"] * 5, parts=["train"] * 15 + ["test"] * 5)


def test_a_text_that_is_no_text_is_refused_with_its_row() -> None:
    with pytest.raises(DatasetError, match=r"row 2: got int 7; wanted a text"):
        from_rows("d", "text", ["a", 7], ["x", "y"])


def test_the_digest_changes_with_rows_labels_parts_and_only_with_these(tmp_path: Path) -> None:
    dataset = from_rows("d", "text", TEXTS, LABELS)
    assert dataset.digest == from_rows("d", "text", list(TEXTS), list(LABELS)).digest
    others = [
        from_rows("d", "text", [*TEXTS[:-1], "another"], LABELS),
        from_rows("d", "text", TEXTS, [*LABELS[:-1], "yes"]),
        from_rows("d", "text", TEXTS, LABELS, seed=5),
    ]
    assert len({dataset.digest, *(other.digest for other in others)}) == 4


def test_an_image_is_digested_by_its_content_wherever_it_comes_from(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", 3)
    before = row_digest(path)
    picture(path, 4)
    assert row_digest(path) != before
    assert row_digest(path.read_bytes()) == row_digest(path)
    rows = [str(picture(tmp_path / f"{i}.png", i)) for i in range(10)]
    first = from_rows("d", "image", rows, ["a", "b"] * 5).digest
    picture(tmp_path / "3.png", 99)
    assert from_rows("d", "image", rows, ["a", "b"] * 5).digest != first


def test_an_image_folder_with_and_without_parts(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for i in range(8):
            picture(tmp_path / "parts" / part / ("cat", "dog")[i % 2] / f"{i}.png", i)
    (tmp_path / "parts" / "raw").mkdir()
    split = open_dataset(tmp_path / "parts")
    assert (split.modality, split.classes, split.train.size, split.validation.size) == ("image", ("cat", "dog"), 8, 8)
    assert split.notes == ("folders beside the parts are left out: raw",)
    for i in range(20):
        picture(tmp_path / "plain" / ("train", "bus")[i % 2] / f"{i}.png", i)
    picture(tmp_path / "plain" / ".ipynb_checkpoints" / "0.png")
    plain = open_dataset(tmp_path / "plain")
    assert (plain.classes, len(plain.rows), plain.test.size) == (("bus", "train"), 20, 4)  # a class called "train"


def test_a_table_of_image_paths_takes_them_from_its_folder(tmp_path: Path) -> None:
    lines = ["image,label", *(f"pics/{i}.png,{'ab'[i % 2]}" for i in range(10))]
    for i in range(10):
        picture(tmp_path / "pics" / f"{i}.png", i)
    path = written(tmp_path / "a.csv", "\n".join(lines))
    dataset = open_dataset(path)
    assert dataset.modality == "image"
    assert dataset.rows[0] == tmp_path / "pics" / "0.png"
    (tmp_path / "pics" / "3.png").unlink()
    with pytest.raises(DatasetError, match=r"1 image files are missing, the first is .*3\.png"):
        open_dataset(path)


def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    for i in range(12):
        picture(tmp_path / "d" / ("a", "b")[i % 2] / f"{i}.png", i)
    (tmp_path / "d" / "a" / "4.png").write_bytes(b"no image")
    dataset = open_dataset(tmp_path / "d")
    assert len(dataset.rows) == 11
    assert dataset.notes[0].startswith("1 images cannot be read and are left out, the first is ")
    assert dataset.notes[0].endswith("4.png")


def test_images_in_parquet_are_read_from_their_bytes(tmp_path: Path) -> None:
    cells = [{"bytes": picture(tmp_path / "x.png", i).read_bytes(), "path": "x.png"} for i in range(10)]
    pq.write_table(pa.table({"image": cells, "label": [0, 1] * 5}), tmp_path / "a.parquet")
    dataset = open_dataset(tmp_path / "a.parquet")
    assert (dataset.modality, dataset.rows[0]) == ("image", cells[0]["bytes"])


def test_an_array_that_is_no_image_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"float64 of shape \(8, 8\); wanted uint8"):
        from_rows("d", "image", [np.zeros((8, 8))] * 10, ["a", "b"] * 5)


def test_the_labels_digest_tells_sources_apart_whatever_the_limits_and_the_name() -> None:
    whole = from_rows("a", "text", TEXTS, LABELS)
    few = from_rows("b", "text", TEXTS, LABELS, limits=Limits(train=4, test=2), seed=3)
    assert whole.labels_digest == few.labels_digest != ""
    assert whole.digest != few.digest
    others = [
        from_rows("a", "text", TEXTS, ["yes"] * 9 + LABELS[9:]),
        from_rows("a", "text", TEXTS, [f"{label}!" for label in LABELS]),
        from_rows("a", "text", [*TEXTS, "one more"], [*LABELS, "no"]),
        from_rows("a", "image", [np.zeros((4, 4, 3), np.uint8)] * 20, LABELS),
    ]
    assert len({whole.labels_digest, *(other.labels_digest for other in others)}) == 5


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('text,label\n"never closed,yes\nmore,no\n', 2),
        ('text,label\n"closed,\nlater",yes\na,no\nb,"no\n', 5),
        ('"text,label\na,yes\nb,no', 1),
    ],
)
def test_a_quote_that_is_never_closed_is_told_with_its_line(tmp_path: Path, content: str, line: int) -> None:
    with pytest.raises(DatasetError, match=rf"a\.csv, line {line}: a quote is opened .* never closed"):
        open_dataset(written(tmp_path / "a.csv", content))


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_quoted_last_cell_is_whole_however_the_file_ends(tmp_path: Path, end: str) -> None:
    rows = "".join(f'text {i},"{label}"\n' for i, label in enumerate(LABELS))
    dataset = open_dataset(written(tmp_path / "a.csv", f"text,label\n{rows.rstrip()}{end}"))
    assert (len(dataset.rows), dataset.classes) == (20, ("no", "yes"))


def test_probes_look_at_a_stratified_sample_that_is_always_the_same() -> None:
    labels = ["common"] * 1500 + ["rare"] * 300
    dataset = from_rows("d", "text", [f"text {place}" for place in range(1800)], labels)

    rows, found = dataset.probe_part()

    counts = np.bincount(found)
    assert len(rows) == counts.sum() == 500
    assert abs(counts[1] - 500 * dataset.labels[dataset.train].mean()) <= 1
    assert set(rows) <= set(dataset.part("train")[0])
    assert rows == dataset.probe_part()[0]


def test_probes_look_at_five_rows_of_each_of_many_classes() -> None:
    labels = [f"c{place % 150:03}" for place in range(3000)]
    dataset = from_rows("d", "text", [f"text {place}" for place in range(3000)], labels)
    assert set(np.bincount(dataset.probe_part()[1])) == {5}


def test_probes_of_a_regression_look_at_a_sample_too() -> None:
    dataset = from_rows("d", "text", [f"text {place}" for place in range(900)], [place + 0.5 for place in range(900)])
    rows, found = dataset.probe_part()
    assert len(set(rows)) == len(found) == 500
