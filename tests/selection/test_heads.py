from pathlib import Path

import numpy as np
import pytest
import torch

from selection.errors import CheckpointError, TrialError
from selection.heads import HeadedModel, auto_class, encoder_and_head, open_headed, seeded

CLASSES = ("blame", "praise")


@pytest.fixture
def mean_headed(bert: Path) -> HeadedModel:
    return open_headed(bert, head="mean", max_length=32, classes=CLASSES)


def test_the_mean_head_averages_the_logits_of_real_tokens_alone(mean_headed: HeadedModel) -> None:
    encoded = mean_headed.encoded(["good", "the cat was not very good"])
    alone = encoded.inputs(np.array([0]))["input_ids"]
    mean_headed.model.eval()
    with torch.inference_mode():
        together = mean_headed.logits(encoded.inputs(np.arange(2)))
        tokens = mean_headed.model(input_ids=alone).logits
    torch.testing.assert_close(together[0], tokens[0].mean(0))


def test_scores_come_back_in_the_order_of_the_rows(mean_headed: HeadedModel) -> None:
    rows = ["the " * (i % 7) + ("good", "bad")[i % 2] for i in range(130)]  # three batches
    alone = np.concatenate([mean_headed.score(mean_headed.encoded([row])) for row in rows[:9]])
    np.testing.assert_allclose(mean_headed.score(mean_headed.encoded(rows))[:9], alone, atol=1e-5)


def test_an_empty_text_has_one_token(decoder: Path) -> None:
    headed = open_headed(decoder, head="native", max_length=32, classes=CLASSES)  # its tokenizer adds none
    assert headed.encoded(["", "good"]).lengths.tolist() == [1, 1]
    assert headed.score(headed.encoded([""])).shape == (1, 2)


def test_logits_that_are_not_finite_are_the_trials_failure(mean_headed: HeadedModel) -> None:
    with torch.no_grad():
        mean_headed.model.classifier.bias.fill_(float("inf"))
    with pytest.raises(TrialError, match="its logits are not finite"):
        mean_headed.score(mean_headed.encoded(["good"]))


def test_every_parameter_is_of_the_encoder_or_of_the_head(bert_with_head: Path, vit: Path, resnet: Path) -> None:
    for folder, in_head in (
        (
            bert_with_head,
            {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"},
        ),
        (vit, {"classifier.weight", "classifier.bias"}),
        (resnet, {"classifier.1.weight", "classifier.1.bias"}),
    ):
        model = open_headed(folder, head="native", max_length=32, classes=CLASSES).model
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        encoder, head = encoder_and_head(model)
        assert {names[id(one)] for one in head} == in_head
        assert {names[id(one)] for one in encoder} == set(names.values()) - in_head


def test_a_model_without_a_head_is_refused(bert: Path) -> None:
    from transformers import BertModel

    with pytest.raises(CheckpointError, match="BertModel shows no head that could be trained"):
        encoder_and_head(BertModel.from_pretrained(bert, add_pooling_layer=False))


def test_the_head_names_the_classes(mean_headed: HeadedModel) -> None:
    assert mean_headed.model.config.id2label == {0: "blame", 1: "praise"}
    assert mean_headed.model.config.label2id == {"blame": 0, "praise": 1}
    assert auto_class("mean", "text") == "AutoModelForTokenClassification"


def test_a_seed_holds_for_its_block_and_leaves_no_trace() -> None:
    before = torch.random.get_rng_state()
    with seeded(3, "cpu"):
        one = torch.rand(2)
    with seeded(3, "cpu"):
        two = torch.rand(2)
    assert torch.equal(one, two)
    assert torch.equal(before, torch.random.get_rng_state())
