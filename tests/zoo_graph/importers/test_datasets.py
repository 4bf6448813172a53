from collections.abc import Callable
from typing import Any

Read = Callable[..., Any]


def test_what_is_known_of_a_dataset_is_read(read_csv: Read) -> None:
    found = read_csv("finetune_dataset,size,number_of_classes\ncifar100,50000,100\nsvhn,x,10\n")
    assert found.format == "datasets"
    assert [(d.id, d.n_samples, d.n_classes) for d in found.datasets] == [("cifar100", 50000, 100), ("svhn", None, 10)]
    assert [(row.line, row.column) for row in found.rejected] == [(3, "size")]


def test_tags_are_a_list_in_one_cell(read_csv: Read) -> None:
    found = read_csv(
        'dataset,tags\nmtop,language:fra; language:deu;spoken\nsts,"[""law, tax""]"\nbare,\n', format="datasets"
    )
    told = [("language:fra", "language:deu", "spoken"), ("law, tax",), ()]
    assert [dataset.tags for dataset in found.datasets] == told


def test_an_embedding_is_read_with_its_encoder(read_csv: Read) -> None:
    found = read_csv('dataset,embedding,embedding_by\na,"[0.25,-1]",clip\nb,,clip\nc,[x],clip\n', format="datasets")
    told = [("a", (0.25, -1.0), "clip"), ("b", (), None), ("c", (), None)]
    assert [(d.id, d.embedding, d.embedding_by) for d in found.datasets] == told
    assert [(row.line, row.column) for row in found.rejected] == [(4, "embedding")]


def test_an_embedding_of_no_known_encoder_is_refused(read_csv: Read) -> None:
    text = 'dataset,embedding,size\na,"[0.25,-1]",7\n'
    found = read_csv(text, format="datasets")
    assert [(d.n_samples, d.embedding) for d in found.datasets] == [(7, ())]
    assert [(row.line, row.column) for row in found.rejected] == [(2, "embedding")]
    said = read_csv(text, format="datasets", embedding_by="clip")
    assert [(d.embedding, d.embedding_by) for d in said.datasets] == [((0.25, -1.0), "clip")]


def test_config_and_revision_are_part_of_the_id(read_csv: Read) -> None:
    found = read_csv(
        "dataset,dataset_config,rev,task\nglue,sst2,1,sentiment\n",
        columns={"dataset_config": "dataset_config"},
        format="datasets",
    )
    assert [(d.id, d.task) for d in found.datasets] == [("glue:sst2@1", "sentiment")]
