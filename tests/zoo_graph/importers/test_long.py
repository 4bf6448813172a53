from collections.abc import Callable
from typing import Any

import pytest

from zoo_graph.errors import ImportFileError

Read = Callable[..., Any]
HEAD = "model,dataset,accuracy\n"


def test_columns_and_metric_are_guessed_and_said(read_csv: Read) -> None:
    found = read_csv(HEAD + "a,d,0.9\n")
    (result,) = found.results
    assert (result.model, result.dataset, result.metric, result.value, result.unit) == (
        "a",
        "d",
        "accuracy",
        0.9,
        "fraction",
    )
    assert found.format == "long"
    assert any("model from column 'model'" in note for note in found.notes)
    assert any("fraction, inferred from 1 values" in note for note in found.notes)


def test_percentages_keep_their_value_and_get_a_comparable_score(read_csv: Read) -> None:
    (result,) = read_csv("model,top1\na,89.1\n", dataset="imagenet-1k").results
    assert (result.dataset, result.value, result.unit, result.score) == ("imagenet-1k", 89.1, "percent", 0.891)


def test_each_bad_row_is_rejected_with_its_line_and_the_good_ones_are_read(read_csv: Read) -> None:
    found = read_csv(HEAD + "a,d,0.9\nb,d,NaN\nc,d,high\n,d,0.5\nd,,0.5\ne,d,\nf,d,1.7\ng,d,-0.2\nh,d,0.8\nshort\n")
    assert [result.model for result in found.results] == ["a", "h"]
    told = {row.line: (row.column, row.value, row.rule) for row in found.rejected}
    assert told[3] == ("accuracy", "NaN", "is a finite number (not NaN or infinite)")
    assert told[4] == ("accuracy", "high", "is a number")
    assert told[5] == ("model", "", "model is not empty")
    assert told[6] == ("dataset", "", "dataset is not empty")
    assert told[7] == ("accuracy", "", "score is not empty")
    assert told[8] == ("accuracy", "1.7", "accuracy in fraction is 0 to 1")
    assert told[9] == ("accuracy", "-0.2", "accuracy in fraction is 0 to 1")
    assert told[11][1] == "1 cells"
    assert len(told) == 8


def test_an_unmapped_column_is_a_condition_that_keeps_rows_apart(read_csv: Read) -> None:
    text = "model,dataset,top1,img_size,crop\na,d,80,224,0.9\na,d,80,384,0.9\n"
    found = read_csv(text)
    assert [result.config for result in found.results] == [
        {"img_size": 224, "crop": 0.9},
        {"img_size": 384, "crop": 0.9},
    ]
    assert len({result.id for result in found.results}) == 2
    assert any("'img_size', 'crop'" in note for note in found.notes)
    assert len({result.id for result in read_csv(text, ignore=["img_size"]).results}) == 1
    assert read_csv(text, config=["img_size"]).results[0].config == {"img_size": 224}


def test_several_score_columns_give_several_results(read_csv: Read) -> None:
    found = read_csv("model,dataset,top1,top5\na,d,80,95\nb,d,,90\nc,d,,\n", metrics=["top1", "top5"])
    assert [(r.model, r.metric, r.score) for r in found.results] == [
        ("a", "accuracy", 0.8),
        ("a", "top5_accuracy", 0.95),
        ("b", "top5_accuracy", 0.9),
    ]
    assert [row.line for row in found.rejected] == [4]


def test_other_scores_and_times_are_left_out_and_said(read_csv: Read) -> None:
    found = read_csv("model,dataset,accuracy,f1,train_runtime,elapsed_time,lr\na,d,0.8,0.7,5,6,0.1\n")
    (result,) = found.results
    assert (result.seconds, result.config) == (5.0, {"lr": 0.1})
    assert any("left out 'f1'" in note for note in found.notes)
    assert any("left out 'elapsed_time'" in note for note in found.notes)


def test_the_metric_may_stand_in_a_column(read_csv: Read) -> None:
    found = read_csv("model,dataset,metric,score\na,d,acc,91\nb,d,loss,2.5\nc,d,wibble,1\nd,d,,1\n")
    assert [(r.metric, r.score) for r in found.results] == [("accuracy", 0.91), ("loss", -2.5)]
    assert "unknown metric 'wibble'" in found.rejected[0].rule
    assert found.rejected[1].rule == "metric is not empty"


def test_an_unknown_metric_stops_the_import_with_close_names(read_csv: Read) -> None:
    with pytest.raises(ImportFileError, match="did you mean accuracy"):
        read_csv("model,dataset,score\na,d,1\n", metric="acuracy")
    with pytest.raises(ImportFileError, match="which metric is column 'score'"):
        read_csv("model,dataset,score\na,d,1\n")


def test_a_new_metric_is_declared_with_its_direction(read_csv: Read) -> None:
    (result,) = read_csv("model,dataset,score\na,d,12\n", metric="latency", direction="smaller").results
    assert (result.metric, result.score, result.unit) == ("latency", -12.0, "raw")
    with pytest.raises(ImportFileError, match="accuracy is better when larger"):
        read_csv(HEAD + "a,d,1\n", metric="accuracy", direction="smaller")


def test_a_unit_that_is_said_is_not_inferred(read_csv: Read) -> None:
    (result,) = read_csv(HEAD + "a,d,0.9\n", unit="percent").results
    assert result.score == 0.009
    with pytest.raises(ImportFileError, match="wanted fraction or percent"):
        read_csv(HEAD + "a,d,0.9\n", unit="parsec")
    with pytest.raises(ImportFileError, match="cannot tell the unit"):
        read_csv(HEAD + "a,d,90\nb,d,80\nc,d,0.7\n")


def test_a_missing_column_is_told_with_close_ones(read_csv: Read) -> None:
    with pytest.raises(ImportFileError, match="did you mean 'accuracy'"):
        read_csv(HEAD + "a,d,1\n", columns={"score": "acuracy"})
    with pytest.raises(ImportFileError, match=r"no field 'modell'.*wanted one of model"):
        read_csv(HEAD + "a,d,1\n", columns={"modell": "model"})
    with pytest.raises(ImportFileError, match="cannot tell its format from columns 'text', 'label'"):
        read_csv("text,label\na,b\n")
    with pytest.raises(ImportFileError, match="no column for dataset; found columns 'model', 'accuracy'"):
        read_csv("model,accuracy\na,1\n", format="long")


def test_a_template_and_a_revision_make_the_model_id(read_csv: Read) -> None:
    found = read_csv(
        "name,pretrained,dataset,acc\nViT,laion,d,0.5\nViT,,d,0.5\n", columns={"model": "{name}:{pretrained}"}
    )
    assert [result.model for result in found.results] == ["ViT:laion"]
    assert found.rejected[0].rule == "model is not empty"
    (result,) = read_csv("model,revision,task,main_score\na,r1,t,0.5\n").results
    assert (result.model, result.dataset, result.metric) == ("a@r1", "t", "main_score")


def test_slash_and_rename_apply_to_ids(read_csv: Read) -> None:
    (result,) = read_csv(HEAD + "a--b,ImageNet 1k,0.5\n", slash="--", rename={"ImageNet 1k": "imagenet-1k"}).results
    assert (result.model, result.dataset) == ("a/b", "imagenet-1k")


def test_the_split_comes_from_the_name_of_the_score(read_csv: Read) -> None:
    assert read_csv("model,dataset,val_accuracy\na,d,0.5\n").results[0].split == "validation"
    assert read_csv("model,dataset,split,val_accuracy\na,d,dev,0.5\n").results[0].split == "dev"


def test_what_a_table_says_of_its_models_is_taken_once_and_contradictions_are_told(read_csv: Read) -> None:
    found = read_csv(
        "model,dataset,acc,family,param_count\na,d,0.5,vit,22.1\na,e,0.5,vit,22.1\nb,d,0.5,vit,x\na,f,0.5,bert,22.1\n",
        columns={"model.n_parameters": "param_count:M"},
    )
    assert [(m.id, m.family, m.n_parameters) for m in found.models] == [("a", "vit", 22_100_000), ("b", "vit", None)]
    assert len(found.results) == 4
    assert [(row.line, row.column, row.value) for row in found.rejected] == [
        (4, "param_count", "x"),
        (5, "family", "bert"),
    ]


def test_a_count_without_unit_is_left_out_and_said(read_csv: Read) -> None:
    found = read_csv("model,dataset,acc,param_count\na,d,0.5,22.1\n")
    assert not found.models
    assert not found.rejected
    assert any("say columns={'model.n_parameters': 'param_count:M'}" in note for note in found.notes)


def test_row_numbers_of_a_data_frame_are_left_out(read_csv: Read) -> None:
    assert read_csv(",model,dataset,acc\n0,a,d,0.5\n1,a,d,0.5\n").results[1].config is None


def test_a_curve_is_comparable_as_its_score_is(read_csv: Read) -> None:
    head = "model,dataset,{},curve\n"
    percent, twice = read_csv(head.format("accuracy") + 'a,d,85.0,"[60, 75, 85]"\nb,d,70.5,"[50, 70.5]"\n').results
    assert (percent.score, percent.curve) == (0.85, (0.6, 0.75, 0.85))
    assert (twice.score, twice.curve) == (0.705, (0.5, 0.705))
    (error,) = read_csv(head.format("error") + 'a,d,0.15,"[0.4, 0.25, 0.15]"\n').results
    assert (error.score, error.curve) == (-0.15, (-0.4, -0.25, -0.15))
    (declared,) = read_csv(head.format("score") + 'a,d,5,"[9, 5]"\n', metric="latency", direction="smaller").results
    assert (declared.score, declared.curve) == (-5, (-9, -5))


def test_a_curve_that_the_metric_cannot_have_is_refused(read_csv: Read) -> None:
    (row,) = read_csv('model,dataset,accuracy,curve\na,d,0.9,"[0.5, 1.7]"\n').rejected
    assert (row.column, row.value, row.rule) == ("curve", "1.7", "accuracy in fraction is 0 to 1")


def test_curves_and_configs_are_read_from_json(read_csv: Read) -> None:
    text = 'model;dataset;acc;curve;curve_steps;config\na;d;0.5;[0.1, 0.5];[1, 2];{"lr": 0.1, "x": "y"}\n'
    (result,) = read_csv(text).results
    assert (result.curve, result.curve_steps, result.config) == ((0.1, 0.5), (1, 2), {"lr": 0.1, "x": "y"})
    (row,) = read_csv(text.replace("[1, 2]", "[1]")).rejected
    assert (row.column, row.value, row.rule) == ("curve", "2 points, 1 steps", "curve has one step for each point")


def test_the_unit_is_judged_over_all_spellings_of_a_metric(read_csv: Read) -> None:
    with pytest.raises(ImportFileError, match="cannot tell the unit"):
        read_csv("model,dataset,metric,score\na,d,acc,91\nb,d,acc,92\nc,d,accuracy,0.9\n")


def test_a_number_that_no_graph_can_hold_costs_its_row(read_csv: Read) -> None:
    head = "model,dataset,accuracy,seed,n_shot,curve,curve_steps\n"
    rows = f'a,d,0.5,{2**63},,,\nb,d,0.5,1,-5,,\nc,d,0.5,1,,"[0.5]","[1e30]"\ne,d,0.5,{2**63 - 1},5,"[0.5]",[10]\n'
    found = read_csv(head + rows)
    assert [(row.line, row.rule) for row in found.rejected] == [
        (2, "seed is a whole number from -2^63 to 2^63 - 1"),
        (3, "n_shot is a whole number of 0 or more"),
        (4, "is a whole number from -2^63 to 2^63 - 1"),
    ]
    (result,) = found.results
    assert (result.seed, result.n_shot, result.curve_steps) == (2**63 - 1, 5, (10,))


def test_decimal_commas_are_rejected_with_advice(read_csv: Read) -> None:
    found = read_csv("model;dataset;accuracy\na;d;0,5\n", unit="fraction")
    assert found.results == []
    assert "write 0.5 for 0,5" in found.rejected[0].rule


def test_what_is_missing_is_told_for_python_and_for_the_command_line(read_csv: Read) -> None:
    with pytest.raises(ImportFileError) as told:
        read_csv("model,dataset,thing\na,d,0.5\n", format="long")
    assert "columns={'score': COLUMN}" in str(told.value)
    assert "--columns score=COLUMN" in str(told.value)


def test_names_are_one_however_their_accents_are_written(read_csv: Read) -> None:
    found = read_csv(HEAD + "cafe\u0301,d,0.5\ncaf\u00e9,d,0.6\n", rename={"cafe\u0301": "coffee"})
    assert {result.model for result in found.results} == {"coffee"}
