"""What the user says about a file: which column is what, and what holds for every row. By keyword or from TOML."""

import json
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from zoo_graph.errors import ImportFileError, InputError

Format = Literal["long", "wide", "models", "datasets", "proxies", "distances"]
FORMATS: tuple[Format, ...] = get_args(Format)

CONSTANTS = (
    "model", "revision", "dataset", "dataset_config", "dataset_revision", "metric", "unit", "direction", "split",
    "n_shot", "method", "seed", "source", "harness", "date", "kind", "proxy", "modality", "sample_digest", "n_samples",
    "embedding_by",
)  # fmt: skip
"""Fields that may hold for every row of a file (`metric="accuracy"`), instead of standing in a column."""


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """A user's description of a file; whatever is left out is guessed from the column names, and said aloud.

    `columns`: field -> column (`{"model": "name"}`), a property (`{"model.family": "family"}`), a count with its
    unit (`{"model.n_parameters": "params:M"}`), or a template (`{"model": "{name}/{pretrained}"}`).
    `constants`: field -> the value of every row.
    `metrics`: score column -> metric; a wide matrix may name the metric of single columns.
    `config`: columns kept as conditions of a result; None keeps every column that nothing else uses.
    `ignore`: columns to leave out. `rename`: id as written -> id meant. `slash`: text that stands for `/` in ids.
    """

    format: Format | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str | int] = field(default_factory=dict)
    metrics: Mapping[str, str | None] = field(default_factory=dict)
    config: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    slash: str | None = None

    def canonical(self) -> str:
        """Returns the description as canonical JSON: equal descriptions give equal texts."""
        said = {key: value for key, value in asdict(self).items() if value not in (None, {}, [], ())}
        return json.dumps(said, sort_keys=True, ensure_ascii=False, default=list)

    def but(self, other: "ColumnMap") -> "ColumnMap":
        """Returns this description with what `other` says put over it."""
        changed: dict[str, Any] = {}
        for name in (item.name for item in fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, Mapping):
                changed[name] = {**mine, **theirs}
            elif theirs not in (None, ()) or (name == "config" and theirs is not None):
                changed[name] = theirs
        return replace(self, **changed)


def column_map(
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    metrics: Mapping[str, str | None] | Iterable[str] | None = None,
    config: Iterable[str] | None = None,
    ignore: Iterable[str] = (),
    rename: Mapping[str, str] | None = None,
    slash: str | None = None,
    **constants: str | int | None,
) -> ColumnMap:
    """Makes a ColumnMap of what the user gave.

    Raises:
        InputError: an unknown format or constant.
    """
    unknown = [name for name in constants if name not in CONSTANTS]
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r} in a mapping: wanted one of {', '.join((*_KEYS, *CONSTANTS))}")
    known = next((name for name in FORMATS if name == format), None)
    if format is not None and known is None:
        raise InputError(f"unknown format {format!r}: wanted one of {', '.join(FORMATS)}")
    listed = metrics if isinstance(metrics, Mapping) else dict.fromkeys(metrics or ())
    given = {name: value for name, value in constants.items() if value is not None}
    kept = None if config is None else tuple(config)
    return ColumnMap(known, dict(columns or {}), given, listed, kept, tuple(ignore), _one_spelling(rename), slash)


def _one_spelling(rename: Mapping[str, str] | None) -> dict[str, str]:
    """The names in NFC, as they are read from cells."""
    nfc = partial(unicodedata.normalize, "NFC")
    return {nfc(written): nfc(meant) for written, meant in (rename or {}).items()}


def read_mapping(path: str | Path) -> ColumnMap:
    """Reads a ColumnMap from a TOML file with the same keys as the keywords of `column_map`.

    Raises:
        ImportFileError: no such file, no TOML, or a key or value that is not understood.
    """
    try:
        said = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ImportFileError(f"cannot open mapping {path}: {error.strerror or error}; check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImportFileError(f"mapping {path} is no TOML: {error}") from error
    for key, value in said.items():
        _check_type(path, key, value)
    try:
        return column_map(**said)
    except InputError as error:
        raise ImportFileError(f"mapping {path}: {error}") from error


_TABLES, _LISTS = ("columns", "rename"), ("config", "ignore")
_KEYS = ("format", *_TABLES, "metrics", *_LISTS, "slash")


def _check_type(path: str | Path, key: str, value: object) -> None:
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    table = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    if key == "metrics":
        wanted, fits = "a list of columns or a table of column = metric", texts or table
    elif key in _TABLES:
        wanted, fits = "a table of text = text (dotted keys quoted)", table
    elif key in _LISTS:
        wanted, fits = "a list of column names", texts
    else:
        wanted, fits = "a text or a whole number", isinstance(value, (str, int)) and not isinstance(value, bool)
    if not fits:
        raise ImportFileError(f"mapping {path}: {key} = {value!r}: wanted {wanted}")
