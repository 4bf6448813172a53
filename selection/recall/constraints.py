"""Which candidates may be picked at all. A value that is not known does not satisfy a constraint unless allowed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from selection.errors import InputError
from selection.records import Candidate, Excluded, Modality


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a pick must satisfy; empty or None means no constraint. Text is compared without case.

    `licenses` and `families` list what is allowed, `exclude` the model ids that are not. A candidate whose
    value is unknown is excluded by the constraint on it, unless `allow_unknown`. `exclude_pretrained` excludes models
    known to have seen the target in training.

    Raises:
        InputError: a bound below 1, or a minimum above the maximum.
    """

    max_parameters: int | None = None
    min_parameters: int | None = None
    licenses: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    modality: Modality | None = None
    exclude: tuple[str, ...] = ()
    allow_unknown: bool = False
    exclude_pretrained: bool = False

    def __post_init__(self) -> None:
        for name, bound in (("max_parameters", self.max_parameters), ("min_parameters", self.min_parameters)):
            if bound is not None and bound < 1:
                raise InputError(f"got {name}={bound}; wanted a number of parameters of at least 1")
        if self.min_parameters and self.max_parameters and self.min_parameters > self.max_parameters:
            raise InputError(
                f"got min_parameters={self.min_parameters:,} above max_parameters={self.max_parameters:,}; "
                "wanted a range that some model can lie in"
            )


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may be picked: the indices of admitted candidates, those excluded with their rule, and remarks."""

    kept: tuple[int, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]


def admit(
    candidates: tuple[Candidate, ...], constraints: Constraints, seen: Mapping[str, str] | None = None
) -> Admission:
    """Sorts candidates into kept and excluded; each is excluded by the first rule it breaks. `seen`: as in Evidence."""
    barred = (seen or {}) if constraints.exclude_pretrained else {}
    kept: list[int] = []
    excluded: list[Excluded] = []
    kinds: Counter[str] = Counter()
    for index, candidate in enumerate(candidates):
        broken = _broken_rule(candidate, constraints, barred)
        if broken is None:
            kept.append(index)
            continue
        kind, rule = broken
        kinds[kind] += 1
        excluded.append(Excluded(candidate.model, rule))
    return Admission(tuple(kept), tuple(excluded), _notes(kinds, len(candidates)))


def _broken_rule(candidate: Candidate, constraints: Constraints, barred: Mapping[str, str]) -> tuple[str, str] | None:
    """The kind of the first constraint broken (for counting) and the rule with the value met."""
    if _folded(candidate.model) in map(_folded, constraints.exclude):
        return "excluded by name", "excluded by name"
    if candidate.model in barred:
        return "trained on the data asked about", barred[candidate.model]
    allow = constraints.allow_unknown
    return (
        _broken_bound(candidate.n_parameters, constraints)
        or _broken_choice("licence", candidate.license, constraints.licenses, allow)
        or _broken_choice("family", candidate.family, constraints.families, allow)
        or _broken_choice(
            "modality", candidate.modality, (constraints.modality,) if constraints.modality else (), allow
        )
    )


def _broken_bound(value: int | None, constraints: Constraints) -> tuple[str, str] | None:
    low, high = constraints.min_parameters, constraints.max_parameters
    if low is None and high is None:
        return None
    if value is None:
        return None if constraints.allow_unknown else ("n_parameters unknown", "n_parameters unknown")
    if high is not None and value > high:
        return "too many parameters", f"n_parameters {value:,} > {high:,}"
    if low is not None and value < low:
        return "too few parameters", f"n_parameters {value:,} < {low:,}"
    return None


def _broken_choice(
    what: str, value: str | None, allowed: tuple[str, ...], allow_unknown: bool
) -> tuple[str, str] | None:
    if not allowed:
        return None
    if value is None:
        return None if allow_unknown else (f"{what} unknown", f"{what} unknown, wanted {' or '.join(allowed)}")
    if _folded(value) in map(_folded, allowed):
        return None
    return f"{what} not allowed", f"{what} {value}, wanted {' or '.join(allowed)}"


def _folded(text: str) -> str:
    return text.strip().casefold()


def _notes(kinds: Counter[str], total: int) -> tuple[str, ...]:
    lines = []
    for kind, count in sorted(kinds.items()):
        advice = "; pass --allow-unknown (allow_unknown=True) to keep them" if kind.endswith("unknown") else ""
        lines.append(f"{count} of {total} models excluded: {kind}{advice}")
    return tuple(lines)
