import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zoo_graph.errors import InputError
from zoo_graph.link_prediction.predictor import Predictor, train
from zoo_graph.link_prediction.storage import load, save
from zoo_graph.link_prediction.training import Settings


@pytest.fixture(scope="module")
def short(quick) -> Settings:
    return replace(quick, steps=2, episodes=2)


@pytest.fixture(scope="module")
def trained(planted, short) -> Predictor:
    return train(planted(12, 8), settings=short)


def test_a_loaded_predictor_predicts_what_the_saved_one_did(planted, trained, tmp_path: Path) -> None:
    save(trained, tmp_path / "new" / "folder")
    found = load(tmp_path / "new" / "folder")
    graph = planted(12, 8)
    first, second = trained.predict(graph, graph.datasets), found.predict(graph, graph.datasets)
    for name in ("mean", "sd", "low", "high"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert (found.multiplier, found.calibration, found.schema) == (
        trained.multiplier,
        trained.calibration,
        trained.schema,
    )


def test_saving_again_leaves_one_predictor(planted, short, trained, tmp_path: Path) -> None:
    save(train(planted(12, 8), seed=1, settings=short), tmp_path)
    save(trained, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert load(tmp_path).multiplier == trained.multiplier


def test_a_predictor_without_networks_is_kept_too(planted, quick, tmp_path: Path) -> None:
    graph = planted(4, 2)
    save(train(graph, settings=quick), tmp_path)
    assert load(tmp_path).predict(graph, ["d0"]).mean.shape == (4, 1)


def test_what_cannot_be_loaded_says_why(trained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no saved predictor.*predictor\.json is missing"):
        load(tmp_path)
    save(trained, tmp_path)
    path = tmp_path / "predictor.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        load(tmp_path)
    path.write_text(json.dumps(content | {"settings": content["settings"] | {"width": 5}}))
    with pytest.raises(InputError, match="do not fit"):
        load(tmp_path)
    path.write_text(json.dumps(content)[:-40])
    with pytest.raises(InputError, match="spoilt"):
        load(tmp_path)
    path.write_text(json.dumps(content))
    weights = tmp_path / content["weights"]
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="spoilt"):
        load(tmp_path)
    weights.unlink()
    with pytest.raises(InputError, match="safetensors is missing"):
        load(tmp_path)
