"""The column names by which fields are recognised when the user does not say. Plain tables, first match wins.

Names are compared in lower case with every other sign as one `_`: `Model Name` is `model_name`.
"""

import re
from collections.abc import Mapping

MODEL: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "model_id", "model_name", "hub_id", "checkpoint", "name"),
    "revision": ("model_revision", "revision", "_rev", "rev"),
}
DATASET: Mapping[str, tuple[str, ...]] = {
    "dataset": (
        "dataset", "dataset_id", "finetuned_dataset", "target_dataset", "finetune_dataset", "dataset_name",
        "benchmark", "task", "task_name",
    ),
    "dataset_config": ("dataset_config",),
    "dataset_revision": ("dataset_revision",),
}  # fmt: skip
RESULT: Mapping[str, tuple[str, ...]] = {
    "metric": ("metric", "metric_name"),
    "unit": ("unit",),
    "direction": ("direction",),
    "split": ("split", "eval_split"),
    "n_shot": ("n_shot", "n_shots", "shots", "num_fewshot"),
    "method": ("method", "finetune_method", "finetuning_method"),
    "seed": ("seed",),
    "source": ("source",),
    "harness": ("harness", "harness_version", "mteb_version"),
    "date": ("date", "evaluated_on"),
    "seconds": (
        "seconds", "train_seconds", "train_runtime", "runtime", "eval_time_s", "elapsed_time", "elapsed_seconds",
        "duration_s", "time_s",
    ),
    "curve": ("curve",),
    "curve_steps": ("curve_steps",),
    "config": ("config",),
}  # fmt: skip
SCORE = (
    "value",
    "score",
    "main_score",
    "accuracy",
    "acc",
    "top1",
    "eval_accuracy",
    "test_accuracy",
    "f1",
    "metric_value",
)
MODEL_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "title"),
    "family": ("family", "model_family", "model_type"),
    "architecture": ("architecture", "arch", "architectures"),
    "modality": ("modality", "modalities"),
    "tasks": ("tasks", "pipeline_tag"),
    "n_parameters": (
        "n_parameters", "num_parameters", "number_of_parameters", "n_params", "num_params", "param_count",
        "parameters", "params", "params_k", "params_m", "params_b", "mparams",
    ),
    "license": ("license", "licence"),
    "source": ("source", "weights", "path"),
    "input_spec": ("input_spec", "input_shape"),
    "created": ("created", "release_date", "created_at"),
    "derived_from": ("derived_from", "base_model", "adapted_from", "finetuned_from"),
    "kind": ("kind", "relation"),
    "pretrained_on": ("pretrained_on", "training_datasets", "pretraining_datasets"),
    "aliases": ("aliases", "also_known_as"),
}  # fmt: skip
DATASET_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "title"),
    "task": ("task", "task_type"),
    "modality": ("modality", "modalities"),
    "n_classes": ("n_classes", "num_classes", "number_of_classes", "classes"),
    "n_samples": ("n_samples", "num_samples", "num_rows", "size", "n_rows"),
    "features_digest": ("features_digest",),
    "labels_digest": ("labels_digest",),
    "tags": ("tags", "keywords"),
    "embedding": ("embedding",),
    "embedding_by": ("embedding_by", "embedding_model", "encoder"),
    "aliases": ("aliases", "also_known_as"),
}
PROXY: Mapping[str, tuple[str, ...]] = {
    "proxy": ("proxy", "proxy_name", "transferability", "metric", "name"),
    "score": ("score", "value"),
    "seconds": ("seconds", "runtime"),
    "sample_digest": ("sample_digest",),
    "n_samples": ("n_samples",),
}
PROXY_SCORES: Mapping[str, tuple[str, ...]] = {
    "leep": (),
    "nleep": ("n_leep", "gaussian_leep"),
    "logme": ("log_me", "log_maximum_evidence", "log_maximum_of_evidence"),
    "hscore": ("h_score",),
    "regularized_hscore": (
        "regularised_hscore", "regularized_h_score", "regularised_h_score", "reg_h_score", "reg_hscore",
        "shrinkage_h_score",
    ),
    "parc": (),
    "knn": ("k_nn", "k_nearest_neighbours", "k_nearest_neighbors"),
    "ridge_probe": (),
    "transrate": ("trans_rate",),
    "sfda": (),
    "gbc": ("gaussian_bhattacharyya_coefficient",),
    "lda": ("linear_discriminant_analysis",),
    "nearest_centroid": ("nearest_class_centroid",),
}  # fmt: skip
"""The proxy scores that this project computes, and what others call the same formula."""

DISTANCE: Mapping[str, tuple[str, ...]] = {
    "other": ("other", "other_dataset", "source_dataset", "neighbour"),
    "distance": ("distance", "dist"),
}
SUMMARY = re.compile(r"(avg|average|mean|overall|rank|total)(_|$)")
"""Columns of a matrix that sum up others, and are no dataset."""

_PROXY_SCORES = {written.replace("_", ""): ours for ours, others in PROXY_SCORES.items() for written in (ours, *others)}
_UNIT = re.compile(r"(?:^|_)(k|m|b)(?:params|parameters)?$")


def plain(column: str) -> str:
    """Returns a column's name as the tables above write it."""
    return re.sub(r"[^a-z0-9]+", "_", column.strip().lower()).rstrip("_")


def proxy_score(name: str) -> str:
    """Returns our name of a proxy score that others write otherwise; any other name as it is.

    What stands before the last dot, as of an enumeration, says nothing.

    >>> proxy_score("TransferabilityMethod.LOG_ME"), proxy_score("H-Score"), proxy_score("my.own")
    ('logme', 'hscore', 'my.own')
    """
    return _PROXY_SCORES.get(plain(name.rpartition(".")[2]).replace("_", ""), name)


def is_index(column: str) -> bool:
    """Tells whether a column is a row number that a data frame left behind."""
    return not column.strip() or column.startswith(("Unnamed: ", "__index_level_"))


def count_unit(column: str) -> str:
    """Returns the unit a header states for its counts: `params (M)` is in millions; else the empty text.

    >>> count_unit("params (M)"), count_unit("mparams"), count_unit("n_parameters")
    ('M', 'M', '')
    """
    found = _UNIT.search(plain(column))
    return found.group(1).upper() if found else ""
