"""The matrices of published results that recall is measured on, read from the benchmark input folder.

`pool` "181" holds the eight matrices whose 181 targets the project's numbers are stated on; "further" holds 234 targets
of five more, looked at late. Choices made here: `dbpedia_14` of 2PS and `voc2007` of PARC controlled are sources but no
targets; PARC's -1 are gaps; of the multilingual retrieval results recall@1 counts, each language and direction a
dataset; MTEB's other tasks are the 120 with most results among those whose name says no "Classification" (ties by
name) and the models with results on more than 61 of them, which gives 195 x 120.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from matrix import DatasetText, Matrix, Pool, is_judgeable, select, subzoos

from selection.recall import FloatArray
from selection.records import Candidate

__all__ = ["READERS", "DatasetText", "Matrix", "matrices", "select", "subzoos"]

Rows = list[dict[str, str]]


def matrices(data: Path, names: Sequence[str] = ()) -> Iterator[Matrix]:
    """Yields the matrices named, all where none is, in the order of `READERS`.

    Raises:
        SystemExit: a name that is none of them.
    """
    unknown = sorted(set(names) - set(READERS))
    if unknown:
        raise SystemExit(f"got --matrix {unknown[0]!r}; wanted one of {', '.join(READERS)}")
    for name, read in READERS.items():
        if not names or name in names:
            yield read(name, data)


# -- files


def _number(text: str) -> float:
    return float(text.replace(",", "")) if text.strip() else np.nan


def _count(text: str, unit: float = 1) -> int | None:
    return round(unit * _number(text)) if text.strip() else None


def _rows(path: Path) -> Rows:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _wide(path: Path, skip: int = 1) -> tuple[list[list[str]], tuple[str, ...], FloatArray]:
    """The first `skip` cells of each row, the other columns' names, and their numbers (M, D)."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return (
        [row[:skip] for row in rows],
        tuple(header[skip:]),
        np.array([[_number(c) for c in row[skip:]] for row in rows]),
    )


def _without(names: tuple[str, ...], scores: FloatArray, dropped: str) -> tuple[tuple[str, ...], FloatArray]:
    keep = [d for d, name in enumerate(names) if name != dropped]
    return tuple(names[d] for d in keep), scores[:, keep]


def _texts(names: Sequence[str], task: str) -> tuple[DatasetText, ...]:
    return tuple(DatasetText(name, task) for name in names)


# -- TransferGraph

TRANSFERGRAPH_TARGETS = {
    "image": (
        "caltech101", "cifar100", "dtd", "flowers", "pets", "smallnorb_label_elevation", "stanfordcars", "svhn",
    ),
    "text": (
        "glue/cola", "glue/sst2", "rotten_tomatoes", "tweet_eval/emotion", "tweet_eval/hate", "tweet_eval/irony",
        "tweet_eval/offensive", "tweet_eval/sentiment",
    ),
}  # fmt: skip
_BROKEN = {"image": "food101", "text": "dbpedia_14"}
_DISTANCES = {
    "image": "corr_domain_similarity_google_vit_base_patch16_224_imagenet.csv",
    "text": "corr_domain_similarity_EleutherAI_gpt-neo-125m_gpt.csv",
}


def transfergraph(kind: Literal["image", "text"], table: str = "full") -> Callable[[str, Path], Matrix]:
    """A reader of TransferGraph's image or text zoo, full fine-tunes or LoRA."""

    def read(name: str, data: Path) -> Matrix:
        folder = data / "transfergraph" / kind
        heads, datasets, scores = _wide(folder / f"perf_{table}_model_x_dataset.csv")
        datasets, scores = _without(datasets, scores, _BROKEN[kind])
        described = {row["model"]: row for row in _rows(folder / "model_config_dataset.csv")}
        known = [described.get(model, {}) for (model,) in heads]
        pretraining = [
            row.get("labels", "") if row.get("dataset") == "hfpics" else row.get("dataset", "") for row in known
        ]
        distance, from_pretraining = _distances(folder / _DISTANCES[kind], datasets, pretraining)
        published = TRANSFERGRAPH_TARGETS[kind]
        further = tuple(d for d in datasets if d not in published) if table == "full" else datasets
        return Matrix(
            name=name,
            pool="181" if name == f"transfergraph_{kind}" else "further",
            candidates=tuple(_transfergraph_candidate(m, row, kind) for (m,), row in zip(heads, known, strict=True)),
            datasets=datasets,
            scores=scores,
            targets=published if name == f"transfergraph_{kind}" else further,
            dataset_text=_transfergraph_texts(folder, datasets, kind),
            # The released proxies were computed for full fine-tunes, but are of the frozen model: LoRA has the same.
            proxies=_transfergraph_proxies(folder, [model for (model,) in heads], datasets),
            dataset_distance=distance,
            pretraining_distance=from_pretraining,
            model_labels={
                "architecture": tuple(re.sub(r"[\[\]']", "", row.get("architectures", "")) for row in known),
                "model_type": tuple(row.get("model_type", "") for row in known),
                "pretraining": tuple(pretraining),
            },
            model_numbers={
                key: np.array([_number(row.get(key) or "") for row in known])
                for key in (
                    "number_of_parameters",
                    "memory_consumption",
                    "accuracy",
                    "#labels",
                    "number_of_labels",
                    "input_shape",
                )
                if any(row.get(key) for row in known)
            },
            trained_on=tuple((one,) if one else () for one in pretraining),
        )

    return read


def _transfergraph_candidate(model: str, row: Mapping[str, str], kind: Literal["image", "text"]) -> Candidate:
    return Candidate(
        model,
        modality=kind,
        n_parameters=_count(row.get("number_of_parameters") or ""),
        family=row.get("model_type") or None,
    )


def _transfergraph_texts(folder: Path, datasets: Sequence[str], kind: str) -> tuple[DatasetText, ...]:
    sizes = {row["finetune_dataset"]: row for row in _rows(folder / "target_dataset_features.csv")}
    return tuple(
        DatasetText(
            name,
            f"{kind} classification",
            n_samples=_count(sizes[name]["size"]) if name in sizes else None,
            n_classes=_count(sizes[name]["number_of_classes"]) if name in sizes else None,
        )
        for name in datasets
    )


def _transfergraph_proxies(folder: Path, models: Sequence[str], datasets: Sequence[str]) -> dict[str, FloatArray]:
    """The authors' LogME and regularised H-scores; of several for a pair the last."""
    rows, columns = {m: i for i, m in enumerate(models)}, {d: i for i, d in enumerate(datasets)}
    found = {name: np.full((len(models), len(datasets)), np.nan) for name in ("logme", "h_score")}
    for row in _rows(folder / "transferability_score_records.csv"):
        m, d = rows.get(row["model"]), columns.get(row["target_dataset"] or "")
        value = _number(row["score"] or "")
        if m is not None and d is not None and np.isfinite(value):
            found["logme" if row["metric"].endswith("LOG_ME") else "h_score"][m, d] = value
    return found


def _distances(path: Path, datasets: Sequence[str], pretraining: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Distances between datasets (D, D), and from each model's pretraining dataset to them (M, D); nan unknown."""
    heads, names, values = _wide(path)
    row, column = {name: i for i, (name,) in enumerate(heads)}, {name: i for i, name in enumerate(names)}

    def between(a: Sequence[str], b: Sequence[str]) -> FloatArray:
        return np.array([[values[row[x], column[y]] if x in row and y in column else np.nan for y in b] for x in a])

    return between(datasets, datasets), between(pretraining, datasets)


# -- 2PS and PARC


def two_phase(kind: Literal["image", "text"]) -> Callable[[str, Path], Matrix]:
    """A reader of 2PS's image or text matrix."""

    def read(name: str, data: Path) -> Matrix:
        heads, datasets, scores = _wide(data / "2ps" / {"image": "perf_cv.csv", "text": "perf_nlp.csv"}[kind])
        models = [model.replace("--", "/") for (model,) in heads]
        return Matrix(
            name=name,
            pool="181",
            candidates=tuple(Candidate(model, modality=kind) for model in models),
            datasets=datasets,
            scores=scores,
            targets=tuple(d for d in datasets if d != "dbpedia_14"),
            dataset_text=_texts(datasets, f"{kind} classification"),
            model_labels={"organisation": tuple(model.rpartition("/")[0] for model in models)},
        )

    return read


def parc(part: Literal["controlled", "all"]) -> Callable[[str, Path], Matrix]:
    """A reader of PARC's controlled models or of all."""

    def read(name: str, data: Path) -> Matrix:
        heads, datasets, scores = _wide(data / f"parc/perf_{part}_model_x_target.csv")
        parts = [model.split("|") for (model,) in heads]
        return Matrix(
            name=name,
            pool="181" if part == "controlled" else "further",
            candidates=tuple(Candidate("|".join(one), modality="image", family=one[0]) for one in parts),
            datasets=datasets,
            scores=np.where(scores < 0, np.nan, scores),
            targets=tuple(d for d in datasets if part == "all" or d != "voc2007"),
            dataset_text=_texts(datasets, "image classification"),
            model_labels={"architecture": tuple(a for a, _ in parts), "pretraining": tuple(s for _, s in parts)},
            trained_on=tuple((source,) for _, source in parts),
        )

    return read


# -- timm and open_clip


def timm(name: str, data: Path) -> Matrix:
    """Reads timm's top-1 on eight ImageNet-like test sets; a model's description is that of its smallest image size."""
    heads, datasets, scores = _wide(data / "timm/timm_top1_wide.csv")
    described: dict[str, dict[str, str]] = {}
    for row in sorted(_rows(data / "timm/models.csv"), key=lambda one: _number(one["img_size"])):
        described.setdefault(row["model"], row)
    known = [described[model] for (model,) in heads]
    return Matrix(
        name=name,
        pool="181",
        candidates=tuple(
            Candidate(
                row["model"], modality="image", n_parameters=_count(row["param_count"], 1e6), family=row["family"]
            )
            for row in known
        ),
        datasets=datasets,
        scores=scores,
        targets=datasets,
        dataset_text=_texts(datasets, "image classification"),
        model_labels={
            "architecture": tuple(row["arch"] for row in known),
            "pretraining": tuple(row["tag"] for row in known),
            "pretraining_hint": tuple(row["pretrain_hint"] for row in known),
        },
        model_numbers={
            key: np.array([_number(row[key]) for row in known])
            for key in ("img_size", "infer_samples_per_sec", "infer_gmacs", "infer_macts")
        },
    )


def open_clip(name: str, data: Path) -> Matrix:
    """Reads the zero-shot results of OpenCLIP's models on 38 datasets."""
    heads, datasets, scores = _wide(data / "open_clip/openclip_wide_120x38.csv", 5)
    return Matrix(
        name=name,
        pool="181",
        candidates=tuple(
            Candidate(f"{row[0]}|{row[1]}", modality="image", n_parameters=_count(row[2], 1e6), family=row[0])
            for row in heads
        ),
        datasets=datasets,
        scores=scores,
        targets=datasets,
        dataset_text=_texts(datasets, "zero-shot image task"),
        model_labels={"architecture": tuple(row[0] for row in heads), "pretraining": tuple(row[1] for row in heads)},
        model_numbers={"gflops": np.array([_number(row[3]) for row in heads])},
    )


def open_clip_multilingual(name: str, data: Path) -> Matrix:
    """Reads OpenCLIP's recall@1 by language and direction on Crossmodal-3600 and multilingual MSCOCO."""
    heads, columns, scores = _wide(data / "open_clip/raw_openclip_multilingual_retrieval_results.csv", 2)
    keep = [d for d, column in enumerate(columns) if "@1 " in column and not column.endswith("avg")]
    datasets = tuple(columns[d] for d in keep)
    sizes = {row["name"]: row["mparams"] for row in _rows(data / "open_clip/model_configs.csv")}
    return Matrix(
        name=name,
        pool="further",
        candidates=tuple(
            Candidate(f"{a}|{tag}", modality="image", n_parameters=_count(sizes.get(a, ""), 1e6), family=a)
            for a, tag in heads
        ),
        datasets=datasets,
        scores=scores[:, keep],
        targets=datasets,
        dataset_text=tuple(
            DatasetText(one, f"multilingual {one.split()[1].split('_recall')[0]}", (one.rsplit(" ", 1)[1],))
            for one in datasets
        ),
        model_labels={"architecture": tuple(a for a, _ in heads), "pretraining": tuple(tag for _, tag in heads)},
    )


# -- MTEB

MTEB_OTHER_TASKS, MTEB_LEAST_RESULTS = 120, 62


def mteb_classification(name: str, data: Path) -> Matrix:
    """Reads MTEB's dense block of classification tasks."""
    heads, datasets, scores = _wide(data / "mteb/mteb_classification_dense.csv")
    return _mteb(name, "181", data, [model for (model,) in heads], datasets, scores)


def mteb_other(name: str, data: Path) -> Matrix:
    """Reads MTEB's other tasks: 195 models x 120 tasks, chosen as the module's head says."""
    cells: dict[tuple[str, str], float] = {}
    long = pq.read_table(data / "mteb/mteb_long.parquet", columns=["model", "task", "main_score"])
    for row in long.to_pylist():
        if row["main_score"] is not None and "lassification" not in row["task"]:
            cells.setdefault((row["model"], row["task"]), row["main_score"])
    counts = Counter(task for _, task in cells)
    tasks = sorted(counts, key=lambda task: (-counts[task], task))[:MTEB_OTHER_TASKS]
    per_model = Counter(model for model, task in cells if task in set(tasks))
    models = sorted(model for model, n in per_model.items() if n >= MTEB_LEAST_RESULTS)
    scores = np.array([[cells.get((model, task), np.nan) for task in tasks] for model in models])
    return _mteb(name, "further", data, models, tuple(tasks), scores)


def _mteb(
    name: str, pool: Pool, data: Path, models: Sequence[str], tasks: tuple[str, ...], scores: FloatArray
) -> Matrix:
    described = {row["name"]: row for row in pq.read_table(data / "mteb/models.parquet").to_pylist()}
    known = [described.get(model, {}) for model in models]
    about = json.loads((data / "mteb/tasks.json").read_text())
    return Matrix(
        name=name,
        pool=pool,
        candidates=tuple(_mteb_candidate(model, row) for model, row in zip(models, known, strict=True)),
        datasets=tasks,
        scores=scores,
        targets=tuple(task for task, column in zip(tasks, scores.T, strict=True) if is_judgeable(column)),
        dataset_text=tuple(_mteb_text(task, about.get(task, {})) for task in tasks),
        model_labels={
            "organisation": tuple(model.partition("/")[0] for model in models),
            **{key: tuple(row.get(key) or "" for row in known) for key in ("adapted_from", "license", "languages")},
            "release_year": tuple((row.get("release_date") or "")[:4] for row in known),
        },
        model_numbers={
            key: np.array([row.get(key) if row.get(key) is not None else np.nan for row in known], dtype=np.float64)
            for key in ("embed_dim", "max_tokens")
        },
        trained_on=tuple(tuple(json.loads(row.get("training_datasets") or "[]") or ()) for row in known),
    )


def _mteb_candidate(model: str, row: Mapping[str, Any]) -> Candidate:
    size = row.get("n_parameters")
    has_size = size is not None and np.isfinite(size) and size > 0
    return Candidate(model, n_parameters=int(size) if has_size else None, license=row.get("license") or None)


def _mteb_text(task: str, row: Mapping[str, Any]) -> DatasetText:
    return DatasetText(
        task,
        row.get("type") or "",
        tuple(row.get("langs") or ()),
        tuple(row.get("domains") or ()),
        row.get("desc") or "",
    )


READERS: Mapping[str, Callable[[str, Path], Matrix]] = {
    "transfergraph_image": transfergraph("image"),
    "transfergraph_text": transfergraph("text"),
    "2ps_text": two_phase("text"),
    "2ps_image": two_phase("image"),
    "parc": parc("controlled"),
    "open_clip": open_clip,
    "mteb_classification": mteb_classification,
    "timm": timm,
    "mteb_other": mteb_other,
    "open_clip_multilingual": open_clip_multilingual,
    "transfergraph_lora": transfergraph("text", "lora"),
    "parc_all": parc("all"),
    "transfergraph_image_further": transfergraph("image"),
}
