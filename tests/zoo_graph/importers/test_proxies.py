from collections.abc import Callable
from typing import Any

import pytest

from zoo_graph.errors import ImportFileError
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
