from collections.abc import Callable
from typing import Any

import pytest

from selection.proxies import PROXIES
from zoo_graph.errors import ImportFileError
from zoo_graph.importers.names import PROXY_SCORES, proxy_score
from zoo_graph.records import Proxy

Read = Callable[..., Any]


def test_proxy_scores_are_read(read_csv: Read) -> None:
    found = read_csv("model,dataset,proxy,score,seconds,sample_digest,n_samples\na,d,logme,0.9,1.5,x,500\n")
    assert found.format == "proxies"
    assert found.proxies == [Proxy("a", "d", "logme", 0.9, 1.5, "x", 500)]


def test_bad_rows_are_rejected(read_csv: Read) -> None:
    found = read_csv("model,dataset,proxy,score\na,d,logme,-inf\na,d,,1\na,d,leep,\na,d,leep,-0.5\n")
    assert [(row.line, row.column) for row in found.rejected] == [(2, "score"), (3, "proxy"), (4, "score")]
    assert [proxy.score for proxy in found.proxies] == [-0.5]


def test_the_name_of_the_proxy_may_be_said(read_csv: Read) -> None:
    found = read_csv(
        "model,leep_xray\na,-0.5\n", format="proxies", dataset="xray", proxy="leep", columns={"score": "leep_xray"}
    )
    assert [(p.dataset, p.name, p.score) for p in found.proxies] == [("xray", "leep", -0.5)]
    with pytest.raises(ImportFileError, match="no column for proxy"):
        read_csv("model,leep_xray\na,-0.5\n", format="proxies", dataset="xray", columns={"score": "leep_xray"})


def test_other_peoples_names_of_our_proxies_are_ours(read_csv: Read) -> None:
    found = read_csv(
        "model,target_dataset,metric,score\n"
        "a,d,TransferabilityMethod.LOG_ME,0.9\na,d,TransferabilityMethod.REG_H_SCORE,2\na,d,H-Score,3\na,d,leep,-1\n"
        "a,d,my.own_score,4\n",
        format="proxies",
    )
    assert [proxy.name for proxy in found.proxies] == ["logme", "regularized_hscore", "hscore", "leep", "my.own_score"]
    assert [note for note in found.notes if "is taken for" in note] == [
        "proxy 'H-Score' is taken for hscore",
        "proxy 'TransferabilityMethod.LOG_ME' is taken for logme",
        "proxy 'TransferabilityMethod.REG_H_SCORE' is taken for regularized_hscore",
    ]


def test_a_proxy_that_the_user_names_keeps_that_name(read_csv: Read) -> None:
    text = "model,dataset,proxy,score\na,d,LOG_ME,1\na,d,LogME,2\n"
    found = read_csv(text, format="proxies", rename={"LOG_ME": "their logme"})
    assert [proxy.name for proxy in found.proxies] == ["their logme", "logme"]
    said = read_csv("model,score\na,1\n", format="proxies", dataset="d", proxy="LogME")
    assert [proxy.name for proxy in said.proxies] == ["logme"]


def test_every_proxy_computed_here_has_its_line_in_the_table_of_names() -> None:
    assert set(PROXY_SCORES) == set(PROXIES)
    assert [proxy_score(name) for name in PROXIES] == list(PROXIES)
