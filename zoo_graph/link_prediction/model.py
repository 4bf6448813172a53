"""The network: two rounds of messages over typed, weighted edges, and a decoder for (model, dataset) pairs.

It predicts what the base leaves (a correction and its log-variance). Its last layer starts at zero, so untrained it
corrects nothing. It has no parameter for any single node, so it works on graphs it never saw.
"""

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv

from zoo_graph.link_prediction.hetero import EDGES, NODES
from zoo_graph.link_prediction.messages import WeightedMean

_RANK = 16


class Round(nn.Module):
    """One round: every node adds what arrives over each edge type to itself; residual, normalised."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.convolutions = HeteroConv({kind: WeightedMean(width) for kind in EDGES}, aggr="sum")
        self.own = nn.ModuleDict({node: nn.Linear(width, width) for node in NODES})
        self.norms = nn.ModuleDict({node: nn.LayerNorm(width) for node in NODES})
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: dict[str, Tensor], data: HeteroData) -> dict[str, Tensor]:
        """Returns the nodes (N, width) after the round."""
        arrived = self.convolutions(nodes, data.adjacency_dict)
        found = {}
        for kind, x in nodes.items():
            step = self.own[kind](x) + arrived.get(kind, torch.zeros_like(x))
            found[kind] = self.norms[kind](x + self.dropout(torch.relu(step)))
        return found


class Network(nn.Module):
    """Encoders, two rounds, decoder. `input_widths`: features of each node type; `pair_width`: of a pair."""

    def __init__(self, input_widths: dict[str, int], pair_width: int, width: int, dropout: float) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({node: nn.Linear(input_widths[node], width) for node in NODES})
        self.rounds = nn.ModuleList([Round(width, dropout) for _ in range(2)])
        self.dropout = nn.Dropout(dropout)
        self.model_factor = nn.Linear(width, _RANK)
        self.dataset_factor = nn.Linear(width, _RANK)
        self.model_hidden = nn.Linear(width, width)
        self.dataset_hidden = nn.Linear(width, width)
        self.pair_hidden = nn.Linear(pair_width, width)
        joined = _RANK + width + pair_width
        self.correction = nn.Linear(joined, 1)
        self.log_variance = nn.Linear(joined, 1)
        for layer in (self.correction, self.log_variance):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def embed(self, data: HeteroData) -> tuple[Tensor, Tensor]:
        """Returns the embeddings of models (M, width) and datasets (D, width)."""
        nodes = {
            node: torch.relu(self.encoders[node](self.dropout(data[node].x))) for node in NODES if len(data[node].x)
        }
        for one_round in self.rounds:
            nodes = one_round(nodes, data)
        return nodes["model"], nodes["dataset"]

    def decode(self, model: Tensor, dataset: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Returns correction and log-variance (N,) of N pairs: embeddings (N, width) each, features (N, P).

        The log-variance learns from the error but leaves the embeddings to the correction.
        """
        product = self.model_factor(model) * self.dataset_factor(dataset)
        hidden = torch.relu(self.model_hidden(model) + self.dataset_hidden(dataset) + self.pair_hidden(pairs))
        joined = torch.cat([product, self.dropout(hidden), pairs], dim=1)
        return self.correction(joined).squeeze(1), self.log_variance(joined.detach()).squeeze(1)
