"""One cell to one value. Each function returns the value, None where the cell is empty, or raises CellError.

CSV cells are text and Parquet cells are Python values; both give the same value, so the same table in either
format gives the same results with the same ids.
"""

import ast
import json
import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "-"))
"""Texts (in any case) that stand for an empty cell, except where a score is wanted."""

_WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)")
_SURROGATES = re.compile("[\ud800-\udfff]")
_COMMA = re.compile(r"[+-]?\d+(,\d+)+")
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
_COUNT = re.compile(r"(\d+\.?\d*(?:[eE]\+?\d+)?)\s*([kmbgt]?)", re.IGNORECASE)
COUNT_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}

LONGEST_TEXT = 10_000
MOST_NUMBERS = 100_000
_INTEGERS = range(-(2**63), 2**63)
_EXACT = re.compile(r"[+-]?\d{1,40}")

Scalar = str | int | float | bool


class CellError(Exception):
    """A cell that breaks a rule; `rule` says what was wanted."""

    def __init__(self, value: object, rule: str) -> None:
        self.value = shown(value)
        self.rule = rule
        super().__init__(rule)


def shown(value: object) -> str:
    """Returns a cell as it is shown in a report: at most 80 characters."""
    text = "" if value is None else str(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    return text.encode(errors="replace").decode()


def text(value: object) -> str | None:
    """Returns the cell's text without outer spaces, in one spelling of accents (NFC)."""
    plain = _stripped(value)
    if plain is not None and len(plain) > LONGEST_TEXT:
        raise CellError(value, f"is a text of at most {LONGEST_TEXT:,} characters")
    return plain


def is_empty(value: object) -> bool:
    """Tells whether a cell holds nothing, or one of the texts that stand for nothing."""
    return not isinstance(value, bytes) and _stripped(value) is None


def number(value: object) -> float | None:
    """Returns the cell's finite number; only a truly empty cell is None, a NaN is an error."""
    if isinstance(value, float):
        result = value
    elif value is None or (isinstance(value, str) and not value.strip()):
        return None
    elif isinstance(value, str):
        result = _parsed(value)
    elif isinstance(value, bool) or not hasattr(value, "__float__"):
        raise CellError(value, "is a number")
    else:
        result = float(value)
    if not math.isfinite(result):
        raise CellError(value, "is a finite number (not NaN or infinite)")
    return result


def whole(value: object) -> int | None:
    """Returns the cell's whole number, of at most 64 bits: what a graph can hold."""
    if value is None or (isinstance(value, str) and text(value) is None):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    exact = int(value) if isinstance(value, str) and _EXACT.fullmatch(value.strip()) else value
    if not isinstance(exact, int) or isinstance(exact, bool):
        found = number(exact)
        if found is None or not found.is_integer():
            raise CellError(value, "is a whole number")
        exact = int(found)
    if exact not in _INTEGERS:
        raise CellError(value, "is a whole number from -2^63 to 2^63 - 1")
    return exact


def size(value: object) -> int | None:
    """Returns the cell's whole number of things: 0 or more."""
    result = whole(value)
    if result is not None and result < 0:
        raise CellError(value, "is a whole number of 0 or more")
    return result


def seconds(value: object) -> float | None:
    """Returns the cell's seconds; nothing measured may take less than none."""
    result = None if text(value) is None else number(value)
    if result is not None and result < 0:
        raise CellError(value, "is 0 seconds or more")
    return result


def count(value: object, unit: str = "") -> int | None:
    """Returns a count such as `110M`, `1.1B`, `110,000,000` or, with `unit` "M", `305.08`."""
    plain = text(value)
    if plain is None:
        return None
    match = _COUNT.fullmatch(plain.replace(",", "") if _THOUSANDS.fullmatch(plain) else plain)
    if match is None:
        raise CellError(value, "is a count, such as 110000000, 110M or 1.1B")
    figure, stated = float(match.group(1)), (match.group(2) or unit).lower()
    if not stated and (not figure.is_integer() or 0 < figure < 1000):
        raise CellError(value, "has a unit (n_parameters=COLUMN:M for millions) or is a whole count of 1000 or more")
    total = figure * COUNT_UNITS[stated]
    if total > 1e18:
        raise CellError(value, "is a count below 10^18")
    return round(total)


def lacks_unit(value: object) -> bool:
    """Tells whether a cell is a number that can be a count only in a unit that is not stated (305.08)."""
    plain = (text(value) or "").replace(",", "")
    if not _DECIMAL.fullmatch(plain):
        return False
    figure = float(plain)
    return not figure.is_integer() or 0 < figure < 1000


def names(value: object) -> tuple[str, ...]:
    """Returns the names in a JSON list, a list, or a text separated by `;`, each once, in order."""
    items: Sequence[object]
    if isinstance(value, (list, tuple)):
        items = value
    else:
        plain = _stripped(value)
        if plain is None:
            return ()
        items = _json_names(plain) if plain.startswith(("[", "{")) else plain.split(";")
    return tuple(dict.fromkeys(name for item in items if (name := text(item)) is not None))


def numbers(value: object) -> tuple[float, ...]:
    """Returns the finite numbers in a JSON list or a list."""
    items = value if isinstance(value, (list, tuple)) else _json_list(_stripped(value) or "[]")
    if len(items) > MOST_NUMBERS:
        raise CellError(value, f"is a list of at most {MOST_NUMBERS:,} numbers")
    found = [number(item) for item in items]
    if any(item is None for item in found):
        raise CellError(value, "is a list of numbers")
    return tuple(item for item in found if item is not None)


def scalar(value: object) -> Scalar | None:
    """Returns the cell as the simplest value it reads as: whole number, number, true/false or text.

    >>> scalar("448"), scalar("1.000"), scalar(1.0), scalar("0.875"), scalar("True"), scalar("bicubic")
    (448, 1, 1, 0.875, True, 'bicubic')
    """
    plain = text(value)
    if plain is None or isinstance(value, bool):
        return value if isinstance(value, bool) else None
    if plain in ("True", "False", "true", "false"):
        return plain in ("True", "true")
    if _WHOLE.fullmatch(plain) and _EXACT.fullmatch(plain):
        return int(plain)
    if _DECIMAL.fullmatch(plain) and math.isfinite(result := float(plain)):
        return int(result) if result.is_integer() and abs(result) < 2**53 else result
    return plain


def json_object(value: object) -> dict[str, Any] | None:
    """Returns the flat JSON object a cell holds, or None where it holds something else."""
    plain = text(value)
    if plain is None or not plain.startswith("{"):
        return None
    found = _json(plain, "is a JSON object")
    if any(isinstance(item, (dict, list)) for item in found.values()):
        raise CellError(value, "is a flat JSON object")
    return {str(key): item for key, item in found.items() if item is not None}


def _json_names(plain: str) -> list[Any]:
    """A JSON list, or the keys of a JSON object (`{"HotpotQA": ["train"]}`)."""
    if not plain.startswith("{"):
        printed = _python_list(plain)
        return printed if isinstance(printed, list) else _json_list(plain)
    return list(_json(plain, "is a JSON list or object"))


def _python_list(plain: str) -> object:
    """A list as a data frame prints it: `['a', 'b']`."""
    try:
        return ast.literal_eval(plain)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _json_list(plain: str) -> list[Any]:
    found = _json(plain, "is a JSON list")
    if not isinstance(found, list):
        raise CellError(plain, "is a JSON list")
    return found


def _json(plain: str, rule: str) -> Any:
    try:
        found = json.loads(plain)
        if "\\u" in plain:  # an escape may spell half a character, which no text can hold
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except (ValueError, RecursionError) as error:
        raise CellError(plain, rule) from error


def _parsed(value: str) -> float:
    try:
        if "_" in value:
            raise ValueError
        return float(value)
    except ValueError as error:
        rule = "is a number"
        if _COMMA.fullmatch(value.strip()):
            rule = "is a number with a decimal point, no comma (write 0.5 for 0,5)"
        raise CellError(value, rule) from error


def _stripped(value: object) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        raise CellError(value, "is text in UTF-8, not other bytes")
    stripped = str(value).strip()
    if not stripped.isascii():
        stripped = unicodedata.normalize("NFC", stripped)
        if _SURROGATES.search(stripped):
            raise CellError(value, "is text in Unicode (no half of a surrogate pair)")
    return None if stripped.lower() in MISSING else stripped
