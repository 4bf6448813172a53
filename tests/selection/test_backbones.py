import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import N_WORDS, made, save, tokenizer

from selection import backbones
from selection.backbones import (
    CallableBackbone,
    checkpoint_folder,
    count_parameters,
    folder_digest,
    load_model,
    load_preprocessor,
    open_backbone,
)
from selection.errors import CheckpointError, DatasetError
from selection.features import extract

ROWS = ["good cat", "the bad dog sun rain tree", "movie", "a fine a fine"]


def copied(source: Path, target: Path, **config: Any) -> Path:
    """The checkpoint in another folder, its configuration changed."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    if config:
        told = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps(told | config))
    return target


def reweighted(folder: Path, change: Any) -> Path:
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("which", ["bert", "decoder", "opt"])
def test_features_are_the_mean_over_the_real_tokens(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    backbone = open_backbone(folder)
    found = backbone.embed(ROWS).features
    model, preprocess = load_model(folder, "AutoModel").eval(), load_preprocessor(folder, "text")
    for row, features in zip(ROWS, found, strict=True):
        ids = torch.tensor([preprocess(row)["input_ids"]])  # alone: no padding at all
        with torch.inference_mode():
            literal = model(input_ids=ids).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(features, literal, atol=2e-6)
    assert backbone.embed(ROWS).logits is None


def test_the_order_of_a_batch_changes_nothing(bert: Path) -> None:
    backbone = open_backbone(bert)
    np.testing.assert_allclose(
        backbone.embed(ROWS[::-1]).features[::-1], backbone.embed(ROWS).features, atol=1e-6, rtol=0
    )


def test_logits_come_with_a_source_head_and_the_features_stay_the_encoders(bert_with_head: Path) -> None:
    found = open_backbone(bert_with_head).embed(ROWS)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert_with_head).eval()
    batch = load_preprocessor(bert_with_head, "text")(ROWS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        np.testing.assert_allclose(found.logits, model(**batch).logits.numpy(), atol=1e-6)
        hidden = model.bert(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    np.testing.assert_allclose(found.features, ((hidden * mask).sum(1) / mask.sum(1)).numpy(), atol=1e-6)


def test_an_image_encoder_gives_normalised_states_and_logits(vit: Path, resnet: Path) -> None:
    rows = [np.full((9, 7, 3), 7, np.uint8), Image.new("L", (5, 5))]
    found = open_backbone(vit).embed(rows)
    model = transformers.AutoModelForImageClassification.from_pretrained(vit).eval()
    with torch.inference_mode():
        batch = backbones.encode(load_preprocessor(vit, "image"), "image", rows, 0)
        literal = model.vit(**batch).last_hidden_state.mean(1).numpy()
    np.testing.assert_allclose(found.features, literal, atol=1e-6)
    assert found.logits is not None
    assert found.logits.shape == (2, 3)
    assert open_backbone(resnet).embed(rows).features.shape == (2, 16)
    assert open_backbone(vit).lengths(rows) == [1, 1]


def test_a_decoder_with_a_source_head_and_no_padding_token_takes_batches(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    config = GPT2Config(vocab_size=N_WORDS, n_embd=32, n_layer=2, n_head=2, n_positions=40, num_labels=4)
    model = made(lambda: GPT2ForSequenceClassification(config))
    found = open_backbone(save(tmp_path / "judge", model, tokenizer(eos_token="[SEP]"))).embed(ROWS)
    alone = [open_backbone(tmp_path / "judge").embed([row]).logits for row in ROWS]
    np.testing.assert_allclose(found.logits, np.concatenate([one for one in alone if one is not None]), atol=1e-5)


def test_half_precision_weights_are_opened_in_float32(bert: Path, tmp_path: Path) -> None:
    half = reweighted(copied(bert, tmp_path / "half", dtype="float16"), lambda t: {k: v.half() for k, v in t.items()})
    found = open_backbone(half).embed(ROWS).features
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, open_backbone(bert).embed(ROWS).features, atol=2e-3)
    assert {p.dtype for p in load_model(half, "AutoModel").parameters()} == {torch.float32}


def test_texts_are_cut_where_the_models_positions_end(bert: Path) -> None:
    backbone = open_backbone(bert, max_length=500)
    assert backbone.max_length == 40
    assert np.isfinite(extract(backbone, ["good " * 300]).features).all()


def test_bfloat16_changes_little_and_has_a_digest_of_its_own(bert):
    exact, rounded = open_backbone(bert), open_backbone(bert, precision="bfloat16")

    wanted, found = exact.embed(ROWS).features, rounded.embed(ROWS).features

    assert found.dtype == np.float32
    assert not np.array_equal(found, wanted)
    assert np.linalg.norm(found - wanted) < 0.02 * np.linalg.norm(wanted)
    assert rounded.digest != exact.digest


def test_the_digest_follows_weights_preprocessing_and_length(bert: Path, tmp_path: Path) -> None:
    same, other = copied(bert, tmp_path / "same"), copied(bert, tmp_path / "other")
    reweighted(other, lambda t: {k: v + 1 for k, v in t.items()})
    digests = [open_backbone(folder).digest for folder in (bert, other)]
    assert open_backbone(same).digest == digests[0] != digests[1]
    assert open_backbone(bert, max_length=9).digest != digests[0]


def test_what_is_no_checkpoint_is_told_by_what_was_found(tmp_path: Path, bert: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("x")
    broken = copied(bert, tmp_path / "broken")
    (broken / "config.json").write_text("{")
    other = copied(bert, tmp_path / "other")
    (other / "config.json").write_text("{}")
    bare = copied(bert, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    for source, message in (
        (tmp_path / "nowhere", "no checkpoint at .*nowhere.*folder with config.json"),
        ("", "no checkpoint at ''"),
        (notes / "a.txt", "no checkpoint at"),
        (empty, "wanted config.json, found nothing"),
        (notes, "wanted config.json, found a.txt"),
        (broken, r"config.json cannot be read"),
        (other, "names no model_type"),
        (bare, "holds no weights: wanted"),
    ):
        with pytest.raises(CheckpointError, match=message):
            open_backbone(source)


def test_damaged_or_missing_weights_are_refused(bert: Path, tmp_path: Path) -> None:
    torn = copied(bert, tmp_path / "torn")
    content = (torn / "model.safetensors").read_bytes()
    (torn / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="does not load as a checkpoint"):
        open_backbone(torn)
    key = "encoder.layer.1.attention.self.query.weight"
    lacking = reweighted(copied(bert, tmp_path / "lacking"), lambda t: {k: v for k, v in t.items() if k != key})
    with pytest.raises(CheckpointError, match=rf"lacks 1 weights of its encoder.*the first is {key}"):
        open_backbone(lacking)
    resized = reweighted(copied(bert, tmp_path / "resized"), lambda t: t | {key: torch.zeros(8, 8)})
    with pytest.raises(CheckpointError, match=r"resized"):
        load_model(resized, "AutoModelForTokenClassification", ignore_mismatched_sizes=True)


def test_a_tokenizer_that_is_missing_or_cannot_pad_is_refused(bert: Path, tmp_path: Path) -> None:
    mute = copied(bert, tmp_path / "mute")
    for path in mute.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(CheckpointError, match="mute holds no vocabulary"):
        open_backbone(mute)
    unpadded = copied(bert, tmp_path / "unpadded")
    tokenizer().save_pretrained(unpadded)
    settings = json.loads((unpadded / "tokenizer_config.json").read_text())
    (unpadded / "tokenizer_config.json").write_text(json.dumps(settings | {"unk_token": None}))
    with pytest.raises(CheckpointError, match="no token to pad with"):
        open_backbone(unpadded)


REMOTE = """
from pathlib import Path
Path({marker!r}).write_text("ran")
from transformers import BertConfig as Odd, BertModel as OddModel
"""


def test_code_of_a_checkpoint_never_runs_and_nobody_is_asked(bert: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    auto_map = {"AutoConfig": "odd.Odd", "AutoModel": "odd.OddModel", "AutoTokenizer": ["odd.Odd", None]}
    folder = copied(bert, tmp_path / "odd", model_type="odd", auto_map=auto_map)
    (folder / "odd.py").write_text(REMOTE.format(marker=str(marker)))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"auto_map": auto_map}))
    lines = f"from selection.backbones import open_backbone; open_backbone({str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-c", lines], input="y\n" * 9, capture_output=True, text=True, timeout=120, check=False
    )
    assert "CheckpointError" in done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    assert not marker.exists()


def test_a_pickle_that_runs_code_is_refused(bert: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "marker",))

    folder = copied(bert, tmp_path / "evil")
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="does not load"):
        open_backbone(folder)
    assert not (tmp_path / "marker").exists()


def test_torch_files_with_weights_only_are_opened(bert: Path, tmp_path: Path) -> None:
    folder = copied(bert, tmp_path / "bin")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    np.testing.assert_array_equal(open_backbone(folder).embed(ROWS).features, open_backbone(bert).embed(ROWS).features)


def test_opening_says_nothing_and_leaves_every_setting_as_it_was(
    bert: Path, vit: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    torch.manual_seed(5)
    before = torch.random.get_rng_state(), logging.get_verbosity(), logging.is_progress_bar_enabled()
    for folder in (bert, vit):
        open_backbone(folder)
    load_model(bert, "AutoModelForTokenClassification", num_labels=3)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1:] == (logging.get_verbosity(), logging.is_progress_bar_enabled())


def test_a_callable_is_a_backbone_and_its_answer_is_checked() -> None:
    good = CallableBackbone("mine", lambda rows: [[len(row), 1.0] for row in rows], digest="1")
    np.testing.assert_array_equal(good.embed(["ab", "abc"]).features, [[2, 1], [3, 1]])
    for answer in (lambda rows: [1.0] * len(rows), lambda rows: [[1.0]], lambda rows: np.empty((len(rows), 0))):
        with pytest.raises(CheckpointError, match=r"the callable returned shape .*wanted \(2, D\)"):
            CallableBackbone("mine", answer, digest="1").embed(["ab", "abc"])


def test_wordllama_is_a_backbone() -> None:
    wordllama = pytest.importorskip("wordllama")
    package = Path(wordllama.__file__).parent  # the wheel holds weights and tokenizer
    model = wordllama.WordLlama.load(dim=256, cache_dir=package, disable_download=True)
    backbone = CallableBackbone("wordllama", model.embed, digest="supercat-256")
    found = extract(backbone, ["the cat sat", "stock markets fell sharply", "a cat sat down"])
    assert found.features.shape == (3, 256)
    close = found.features / np.linalg.norm(found.features, axis=1, keepdims=True)
    assert close[0] @ close[2] > close[0] @ close[1]


def test_a_published_encoder_puts_like_texts_together(missing_here: Any) -> None:
    from zoo_graph.demo.candidates import candidates

    found = candidates(only=["sentence-transformers/all-MiniLM-L6-v2"])
    if not found.ready:
        missing_here(str(found.skipped))
    backbone = open_backbone(found.ready[0].folder, name="MiniLM")
    features = extract(backbone, ["a man is eating food", "someone has a meal", "the stock market fell"]).features
    close = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert close[0] @ close[1] > close[0] @ close[2] + 0.2
    assert backbone.n_parameters == found.ready[0].model.n_parameters


def test_a_file_that_is_no_image_is_the_datasets_fault(tmp_path: Path, vit: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"a.png is no image that can be read"):
        open_backbone(vit).embed([tmp_path / "a.png"])


def test_a_hub_id_needs_the_hub_and_a_folder_does_not(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(source: str, **options: Any) -> Path:
        asked.append((source, options["max_bytes"]))
        return bert

    monkeypatch.setattr(backbones.hub, "download", download)
    assert checkpoint_folder(bert) == bert
    assert checkpoint_folder("org/name@main", max_bytes=7) == bert
    assert asked == [("org/name@main", 7)]


def with_config(bert: Path, folder: Path, **values: Any) -> Path:
    """A copy of the checkpoint whose configuration says something else."""
    shutil.copytree(bert, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))
    return folder


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"num_hidden_layers": 10**9}, "asks for 1,000,000,000 layers; wanted at most 1,000"),
        ({"text_config": {"n_layer": 2000}}, "asks for 2,000 layers"),
        ({"depths": [600, 500]}, "asks for 1,100 layers"),
        ({"hidden_size": 20_000}, r"asks for [\d,]{13,} parameters and its weights are [\d,]+ bytes"),
        ({"vocab_size": 10**7}, r"asks for [\d,]{11,} parameters and its weights are [\d,]+ bytes"),
    ],
)
def test_a_configuration_far_beyond_its_weights_costs_no_time_or_memory(
    bert: Path, tmp_path: Path, values: dict[str, Any], told: str
) -> None:
    with pytest.raises(CheckpointError, match=told):
        load_model(with_config(bert, tmp_path / "lie", **values), "AutoModel")


def test_weights_of_another_shape_are_named_with_both_shapes(bert: Path, bert_with_head: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"LayerNorm\.bias: got \(32,\), wanted \(64,\)"):
        load_model(with_config(bert, tmp_path / "wide", hidden_size=64), "AutoModel")
    names = {f"L{i}": i for i in range(3)}
    three = with_config(bert_with_head, tmp_path / "three", label2id=names, id2label={i: n for n, i in names.items()})
    auto_class = "AutoModelForSequenceClassification"
    with pytest.raises(CheckpointError, match=r"2 weights of another shape .* classifier\.bias: got \(5,\), wanted"):
        load_model(three, auto_class)
    assert load_model(three, auto_class, ignore_mismatched_sizes=True).num_labels == 3


def test_a_pickled_checkpoint_is_refused_without_advice_to_unpickle_it(bert: Path, tmp_path: Path) -> None:
    folder = with_config(bert, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({"weights": Path("object")}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickled objects .* ask its author for safetensors") as caught:
        load_model(folder, "AutoModel")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("name", ["vocab.json", "merges.codes", "bpe.codes", "vocab", "tokenizer", "spiece.model"])
def test_every_file_a_tokenizer_is_made_of_counts_in_the_digest(tmp_path: Path, name: str) -> None:
    (tmp_path / "README.md").write_text("a")
    before = folder_digest(tmp_path)
    (tmp_path / name).write_text("b")
    after = folder_digest(tmp_path)
    (tmp_path / name).write_text("c")
    assert len({before, after, folder_digest(tmp_path)}) == 3


def test_parameters_are_counted_from_the_headers_alone(bert: Path, tmp_path: Path) -> None:
    assert count_parameters(bert) == open_backbone(bert).n_parameters
    assert count_parameters(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes()[:20])
    assert count_parameters(tmp_path) is None
