"""A trained predictor as files: `predictor.json` and the weights it names, in safetensors. Nothing is pickled.

The weights are written first and are named by their digest, the JSON last and in one move: a reader finds the old
predictor or the new one, also after a kill.
"""

import dataclasses
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from safetensors import SafetensorError

from zoo_graph.errors import InputError
from zoo_graph.link_prediction.features import Scale, Schema
from zoo_graph.link_prediction.hetero import input_widths
from zoo_graph.link_prediction.mixed import Variances
from zoo_graph.link_prediction.model import Network
from zoo_graph.link_prediction.pairs import pair_width
from zoo_graph.link_prediction.prediction import Calibration
from zoo_graph.link_prediction.predictor import Member, Predictor, Trained
from zoo_graph.link_prediction.standing import Base
from zoo_graph.link_prediction.training import Settings, State, own_torch

FORMAT = 1  # raised when the network or its inputs change, so that older weights are not read
_JSON = "predictor.json"


def save(predictor: Predictor, folder: Path) -> None:
    """Writes the predictor into the folder, in place of an older one."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{i}.{name}": values for i, one in enumerate(predictor.members) for name, values in one.state.items()}
    weights = safetensors.torch.save(tensors)
    name = f"weights-{hashlib.sha256(weights).hexdigest()[:16]}.safetensors"
    content = {
        "format": FORMAT,
        "weights": name,
        "schema": dataclasses.asdict(predictor.schema),
        "settings": dataclasses.asdict(predictor.settings),
        "base": dataclasses.asdict(predictor.base),
        "members": [dataclasses.asdict(member.base) for member in predictor.members],
        "multiplier": predictor.multiplier,
        "calibration": dataclasses.asdict(predictor.calibration),
    }
    _write(folder / name, weights)
    _write(folder / _JSON, json.dumps(content, indent=1).encode())
    for old in folder.glob("weights-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def load(folder: Path) -> Predictor:
    """Returns the predictor saved in the folder; it predicts bit for bit what the saved one did.

    Raises:
        InputError: no predictor there, one of another format, or spoilt files.
    """
    try:
        content = json.loads((folder / _JSON).read_text())
        if content.get("format") != FORMAT:
            raise InputError(
                f"got a predictor of format {content.get('format')} in {folder}; wanted {FORMAT}: train it anew"
            )
        return _predictor(content, (folder / str(content["weights"])).read_bytes())
    except FileNotFoundError as error:
        raise InputError(
            f"got no saved predictor in {folder} ({Path(error.filename).name} is missing): train one"
        ) from error
    except (json.JSONDecodeError, SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"got a spoilt predictor in {folder} ({error}); wanted what `save` wrote: train it anew"
        ) from error


def trained_bytes(trained: Trained) -> bytes:
    """Returns one network's weights at each checkpoint, and its base, as the content of a safetensors file."""
    tensors = {f"{i}.{name}": values for i, state in enumerate(trained.states) for name, values in state.items()}
    return safetensors.torch.save(tensors, {"base": json.dumps(dataclasses.asdict(trained.base))})


def read_trained(path: Path) -> Trained:
    """Returns the network whose `trained_bytes` the file holds."""
    states: dict[int, State] = {}
    with safetensors.safe_open(path, "pt") as file:
        for key in file.keys():  # noqa: SIM118 - no mapping
            checkpoint, _, name = key.partition(".")
            states.setdefault(int(checkpoint), {})[name] = file.get_tensor(key)
        base = _base(json.loads(file.metadata()["base"]))
    return Trained(base, [states[place] for place in sorted(states)])


def _predictor(content: dict[str, Any], weights: bytes) -> Predictor:
    tensors = safetensors.torch.load(weights)
    schema = _schema(content["schema"])
    settings = Settings(**content["settings"] | {"fan_outs": tuple(content["settings"]["fan_outs"])})
    members = tuple(
        Member(_base(base), _state(tensors, f"{i}.", schema, settings)) for i, base in enumerate(content["members"])
    )
    calibration = Calibration(**content["calibration"])
    return Predictor(schema, settings, _base(content["base"]), members, float(content["multiplier"]), calibration)


def _schema(content: dict[str, Any]) -> Schema:
    models, datasets = (
        tuple(Scale(one["name"], tuple(one["centre"]), one["spread"]) for one in content[kind])
        for kind in ("model_numbers", "dataset_numbers")
    )
    return Schema(models, datasets, tuple(content["proxies"]), tuple(content["bases"]))


def _base(content: dict[str, Any]) -> Base:
    return Base(content["kind"], Variances(**content["variances"]))


def _state(tensors: State, prefix: str, schema: Schema, settings: Settings) -> State:
    """Returns one member's weights.

    Raises:
        ValueError: names or shapes that are not those of the network the schema asks for.
    """
    state = {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}
    with own_torch(0, settings.threads):
        wanted = Network(input_widths(schema), pair_width(schema), settings.width, settings.dropout).state_dict()
    if {name: values.shape for name, values in state.items()} != {n: values.shape for n, values in wanted.items()}:
        raise ValueError("weights that do not fit the network")
    return state
