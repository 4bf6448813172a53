"""Ranks models for a dataset: from the graph's history and, where weights are at hand, proxy scores.

Knows the snapshot, evidence, and the package `selection`. Does not fine-tune.
"""

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from selection.records import Candidate, Failure, ProxyScore, Recall
from zoo_graph.aliases import each_of
from zoo_graph.errors import InputError, UnknownNameError
from zoo_graph.evidence import candidates_of, evidence, models_with_results
from zoo_graph.identity import check_datasets, dataset_record, given_candidates, known_ids
from zoo_graph.leakage import seen_by
from zoo_graph.link_evidence import with_link_prediction
from zoo_graph.prospects import plan_spending
from zoo_graph.snapshot import take
from zoo_graph.store import Connection

if TYPE_CHECKING:
    from selection.datasets import Dataset
    from selection.planning import Order, ProxyPolicy
    from selection.probing import Probed
    from selection.recall import Constraints, Evidence
    from selection.recall.front import Cost

Pool = Mapping[str, Candidate]
_SHOWN = 5  # failures told in one error


def recommend(
    connection: Connection,
    folder: Path,
    dataset: "Dataset | str",
    k: int = 10,
    *,
    models: str | Path | Iterable[str | Path] = (),
    proxies: bool | str | Iterable[str] = True,
    proxy_seconds: float | None = None,
    proxy_policy: "ProxyPolicy | None" = None,
    constraints: "Constraints | None" = None,
    hold_out: str | Collection[str] = (),
    max_length: int = 128,
    max_download: int | None = None,
    seed: int = 0,
    along: "Cost | None" = None,
    checkpoints: Path | None = None,
    say: Callable[[str], None] | None = None,
    track: Any = None,
) -> Recall:
    """What `Zoo.recommend` promises, on a connection and the zoo's folder."""
    from selection.recall import Constraints

    k, names, hold_out = _whole(k), _proxy_names(proxies), each_of(hold_out)
    _check_policy(proxy_policy)
    snapshot = take(connection, folder)
    name = dataset if isinstance(dataset, str) else dataset.name
    # A name written in another case is the same dataset: none is a source of what is known of itself.
    ids = known_ids(connection, "Dataset", [name, *hold_out])
    target, hold_out = ids.get(name, name), [_held(one, ids, snapshot.dataset_ids) for one in hold_out]
    constraints = constraints or Constraints()
    if not isinstance(dataset, str):
        check_datasets(connection, [dataset])
    elif target not in snapshot.dataset_ids:
        raise UnknownNameError("dataset", dataset, snapshot.dataset_ids)
    if (proxy_seconds, proxy_policy) != (None, None) and (isinstance(dataset, str) or not names):
        raise InputError(
            "got a time or a policy for proxies where none is computed: give your data (not a dataset's id) and let "
            "proxies be computed, or leave both away"
        )
    given, failures = given_candidates(connection, each_of(models))
    pool = {candidate.model: _sized(candidate) for candidate in candidates_of(snapshot, checkpoints)}
    pool |= {candidate.model: _merged(candidate, pool.get(candidate.model)) for candidate in given}
    supposed = ""
    if not isinstance(dataset, str) and constraints.modality is None:
        constraints = replace(constraints, modality=dataset.modality)
        pool, supposed = _suppose_modality(pool, dataset)
    about = None if isinstance(dataset, str) else dataset_record(dataset)

    def known_of(pool: Pool, fresh: Mapping[str, tuple[ProxyScore, ...]]) -> "Evidence":
        found = evidence(
            snapshot,
            list(pool.values()),
            target=target,
            proxies=fresh if names else None,
            hold_out=hold_out,
            about=about,
        )
        return found if not names else with_link_prediction(found, folder, snapshot, target, about, hold_out)

    look = _Look(pool)
    if not isinstance(dataset, str) and names and pool:
        asked = frozenset(candidate.model for candidate in given)
        seen = seen_by(snapshot, target, overlapping=hold_out, labels_digest=dataset.labels_digest or None)
        worth = _worth_probing(pool, constraints, asked, seen)
        probed, spent = _probe_within(
            connection,
            folder,
            dataset,
            worth,
            lambda: known_of(pool, {}),
            policy=proxy_policy,
            seconds=proxy_seconds,
            names=names,
            constraints=constraints,
            k=k,
            max_length=max_length,
            max_download=max_download,
            say=say,
            track=track,
        )
        failures += [failure for failure in probed.failures if failure.model in asked]
        look = replace(_looked(pool, probed, dataset, models_with_results(snapshot, hold_out)), spent=tuple(spent))
        if not look.pool:
            raise _nothing_to_rank(probed.failures, len(pool))
    if not look.pool:
        raise _nothing_to_rank(failures, 0)
    known = known_of(look.pool, look.scores or {})
    found = _recalled(known, k, look, constraints=constraints, seed=seed, along=along)
    told = [f"{failure.model}: {failure.reason}" for failure in failures if failure.model not in look.told]
    return replace(
        found,
        notes=(*found.notes, *filter(None, [supposed]), *told, *look.notes, *look.spent),
        failures=tuple(failures),
    )


def _whole(k: int) -> int:
    try:
        return operator.index(k)
    except TypeError:
        raise InputError(f"got k={k!r}; wanted a whole number of picks, such as 10") from None


def _proxy_names(proxies: bool | str | Iterable[str]) -> list[str]:
    """The names of the proxies to compute; none where none is to be."""
    from selection.proxies import PROXIES

    if isinstance(proxies, bool):
        return list(PROXIES) if proxies else []
    names: list[str] = each_of(proxies)
    wanted = f"wanted some of {', '.join(PROXIES)}, True for all of them, or False for none"
    for name in names:
        if name not in PROXIES:
            close = get_close_matches(str(name), PROXIES, n=1)
            raise InputError(f"got the proxy {name!r}; {wanted}" + (f": did you mean {close[0]!r}?" if close else ""))
    if not names:
        raise InputError(f"got no name of a proxy; {wanted}")
    return names


def _check_policy(policy: "ProxyPolicy | None") -> None:
    from selection.planning import ProxyPolicy

    if policy is not None and policy not in get_args(ProxyPolicy):
        known = ", ".join(get_args(ProxyPolicy))
        raise InputError(f"got the proxy policy {policy!r}; wanted one of {known}, or None for the usual one")


def _recalled(known: "Evidence", k: int, look: "_Look", **how: Any) -> Recall:
    """The recall; where there is nothing to rank by, what became of the proxies is part of the error.

    Raises:
        InputError: a constraint that makes no sense, or nothing to rank by.
    """
    from selection.errors import InputError as RecallError
    from selection.recall import recall

    try:
        return recall(known, k, last=look.last, **how)
    except RecallError as error:
        if look.scores or not look.spent:
            raise
        raise InputError(f"{error}; {'; '.join(look.spent)}: give them more time") from error


def _probe_within(
    connection: Connection,
    folder: Path,
    dataset: "Dataset",
    worth: Sequence[Candidate],
    learn: "Callable[[], Evidence]",
    *,
    policy: "ProxyPolicy | None",
    seconds: float | None,
    names: Sequence[str],
    constraints: "Constraints",
    k: int,
    **how: Any,
) -> "tuple[Probed, list[str]]":
    """Probes as the policy says in the time there is, and what there is to say of it."""
    spending = plan_spending(
        connection,
        learn,
        policy=policy,
        seconds=seconds,
        names=names,
        constraints=constraints,
        probed=[candidate.model for candidate in worth],
        k=k,
    )
    probed = probe_candidates(folder, dataset, worth, names=names, budget_seconds=seconds, order=spending.order, **how)
    note = spending.note(probed)
    return probed, [note] if note else []


def probe_candidates(
    folder: Path,
    dataset: "Dataset",
    candidates: Sequence[Candidate],
    *,
    names: Iterable[str] | None = None,
    max_length: int = 128,
    max_download: int | None = None,
    budget_seconds: float | None = None,
    order: "Order | None" = None,
    say: Callable[[str], None] | None = None,
    track: Any = None,
) -> "Probed":
    """Proxy scores on this machine's device, with the zoo's cache of features; see `selection.probing.probe`."""
    from selection.features import FeatureCache
    from selection.hardware import default_device
    from selection.probing import probe

    return probe(
        dataset,
        candidates,
        FeatureCache(folder / "features"),
        max_length=max_length,
        names=names,
        device=default_device(),
        max_bytes=max_download,
        say=say,
        track=track,
        budget_seconds=budget_seconds,
        order=order,
    )


def find_candidates(
    connection: Connection, folder: Path, names: Iterable[str], checkpoints: Path | None = None
) -> tuple[list[Candidate], list[Failure]]:
    """Candidates by model id, or by a checkpoint folder or hub id that the zoo does not hold; and what is none."""
    from selection.hub import is_hub_id

    known = {one.model: one for one in candidates_of(take(connection, folder), checkpoints)}
    found: dict[str, Candidate] = {}
    failures: list[Failure] = []
    for name in names:
        if name in known:
            found[name] = known[name]
        elif Path(name).expanduser().exists() or is_hub_id(name):
            opened, failed = given_candidates(connection, [name])
            for one in opened:
                other = found.setdefault(one.model, one)
                if other.source != one.source:
                    reason = f"two models would be called {one.model}: {other.source} and {one.source}; rename one"
                    failed.append(Failure(one.model, "", 0, reason))
            failures += failed
        else:
            reason = f"no checkpoint folder of that name, and {UnknownNameError('model', name, known)}"
            failures.append(Failure(name, "", 0, reason))
    return list(found.values()), failures


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at the weights left: who may be picked, their proxy scores, who comes last and why, remarks, and how
    the proxies' time was spent."""

    pool: Pool
    scores: Mapping[str, tuple[ProxyScore, ...]] | None = None
    last: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
    told: frozenset[str] = frozenset()
    spent: tuple[str, ...] = ()


def _looked(pool: Pool, probed: "Probed", dataset: "Dataset", measured: Collection[str]) -> _Look:
    """Models that cannot be opened here are left out, or come last where their results speak for them."""
    failed = {failure.model: failure.reason for failure in probed.failures}
    lost = [model for model in failed if model not in measured]
    left = {
        model: replace(one, modality=dataset.modality, n_parameters=probed.n_parameters.get(model, one.n_parameters))
        if model in probed.scores
        else one
        for model, one in pool.items()
        if model not in lost
    }
    notes = [f"{model} could not be opened here: {reason}" for model, reason in failed.items()]
    if lost:
        notes.append(f"{len(lost)} of {len(pool)} models are left out: they cannot be opened here and have no results")
    left_out = probed.not_begun or probed.cut_off  # for want of time or worth: its planner tells
    if not probed.scores and not left_out:
        notes.append("no proxy could be computed: no model's weights could be opened here")
    elif not left_out and len(probed.scores) < len(left):
        notes.append(
            f"proxies were computed for {len(probed.scores)} of {len(left)} models (the others' weights are "
            "not known, or they are no pick)"
        )
    last = {model: f"could not be opened here: {reason}" for model, reason in failed.items() if model in left}
    return _Look(left, probed.scores, last, tuple(notes), frozenset(failed))


def _worth_probing(
    pool: Pool, constraints: "Constraints", asked: Collection[str], seen: Mapping[str, str]
) -> list[Candidate]:
    """Nothing is downloaded or run for a model that no pick can be; those without weights have their history.

    Of a model given by hand, probing tells the size where it is not known yet.
    """
    from selection.recall.constraints import admit

    size = constraints.max_parameters or constraints.min_parameters
    supposed = tuple(
        replace(one, n_parameters=one.n_parameters or size) if one.model in asked else one for one in pool.values()
    )
    candidates = list(pool.values())
    allowed = admit(supposed, constraints, seen).kept
    return [candidates[index] for index in allowed if candidates[index].source is not None]


def _held(name: str, ids: Mapping[str, str], known: Sequence[str]) -> str:
    if name not in ids:
        raise UnknownNameError("dataset", name, known)
    return ids[name]


def _suppose_modality(pool: Pool, dataset: "Dataset") -> tuple[dict[str, Candidate], str]:
    """Models of which nothing says what they read may read this; who has weights is asked when they are opened."""
    unknown = sum(one.modality is None for one in pool.values())
    note = f"{unknown} of {len(pool)} models do not say what they read: taken for {dataset.modality} models"
    supposed = {name: replace(one, modality=one.modality or dataset.modality) for name, one in pool.items()}
    return supposed, note if unknown else ""


def _sized(candidate: Candidate) -> Candidate:
    """The candidate with its size, where nothing told it and its weights lie in a folder here: files' headers do."""
    folder = None if candidate.source is None else Path(candidate.source).expanduser()
    if candidate.n_parameters is not None or folder is None or not folder.is_dir():
        return candidate
    from selection.backbones import count_parameters

    return replace(candidate, n_parameters=count_parameters(folder))


def _merged(given: Candidate, known: Candidate | None) -> Candidate:
    if known is None:
        return given
    return replace(
        known,
        source=given.source,
        modality=given.modality or known.modality,
        n_parameters=known.n_parameters or given.n_parameters,
        family=known.family or given.family,
    )


def _nothing_to_rank(failures: Sequence[Failure], n_models: int) -> InputError:
    shown = [f"{failure.model}: {failure.reason}" for failure in failures[:_SHOWN]]
    reasons = "; ".join([*shown, *([f"and {len(failures) - _SHOWN} more"] if len(failures) > _SHOWN else [])])
    if n_models:
        return InputError(f"none of {n_models} models can be opened here, and none has results: {reasons}")
    if reasons:
        return InputError(f"the zoo holds no model, and none of those given can be used: {reasons}")
    return InputError("the zoo holds no model and none was given: import results, or name models with --models")
