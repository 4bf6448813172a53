import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from zoo_graph.demo.packages import Package, cache_folder, fetch


@pytest.fixture(scope="session")
def fetched() -> Callable[..., Path]:
    """A function that makes real packages present in the user's cache and gives its folder.

    Without a network the test is skipped with the reason, but not in CI, where it must run.
    """

    def ensure(*names: str) -> Path:
        missing = fetch(names).missing
        if missing and os.environ.get("CI") == "true":
            pytest.fail(f"CI needs these packages: {missing}")
        if missing:
            pytest.skip(f"packages not available: {missing}")
        return cache_folder() / "packages"

    return ensure


@pytest.fixture
def make_wheel(tmp_path: Path) -> Callable[..., Package]:
    """A function that writes a small wheel to `tmp_path/index` and gives its pinned description."""

    def make(name: str, files: Mapping[str, str | bytes] | None = None) -> Package:
        stem = name.replace("-", "_")
        path = tmp_path / "index" / f"{stem}-1.0-py3-none-any.whl"
        path.parent.mkdir(exist_ok=True)
        info = f"{stem}-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as wheel:
            for inner, content in (files or {f"{stem}/__init__.py": ""}).items():
                wheel.writestr(inner, content)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return Package(name, "1.0", "wheel", path.name, digest, path.stat().st_size, "MIT", "nothing")

    return make
