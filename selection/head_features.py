"""What a linear head reads of each row under a frozen encoder, computed once: then a step is one matrix product.

A mean head's logits are the tokens' logits averaged, which is the head of the averaged states, so those suffice. Knows
headed models. Does not know steps or files.
"""

import torch
from torch.nn import functional

from selection.encoded import Encoded, Inputs
from selection.heads import HeadedModel, encoder_and_head, evaluation_batches, token_mean
from selection.records import Precision

# How far the head of the features may be from the model's own logits, as a share of the largest.
TOLERANCE: dict[Precision, float] = {"float32": 1e-3, "bfloat16": 5e-2}


def linear_head(headed: HeadedModel) -> torch.nn.Linear | None:
    """The one linear layer that is the whole head; None where the head is more than that."""
    _, head = encoder_and_head(headed.model)
    wanted = {id(parameter) for parameter in head}
    for module in headed.model.modules():
        if isinstance(module, torch.nn.Linear) and {id(parameter) for parameter in module.parameters()} == wanted:
            return module
    return None


def head_features(headed: HeadedModel, encoded: Encoded) -> torch.Tensor | None:
    """What the head reads of each row (N, D) in float32, without dropout; None where it is more than one linear layer,
    or where its logits are not the model's (a head that reads one chosen token of a text)."""
    head = linear_head(headed)
    if head is None:
        return None
    features = torch.empty((encoded.lengths.size, head.in_features), device=headed.device)
    seen: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    headed.model.eval()
    try:
        for batch in evaluation_batches(encoded):
            inputs = encoded.inputs(batch)
            with torch.no_grad():
                logits = headed.logits(inputs)
                read = _read(headed, seen.pop(), inputs)
                if not _agrees(head, read, logits, TOLERANCE[headed.precision]):
                    return None
                features[torch.from_numpy(batch).to(headed.device)] = read
    finally:
        hook.remove()
    return features


def _read(headed: HeadedModel, states: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    return token_mean(states.float(), inputs) if headed.head == "mean" and states.ndim == 3 else states.float()


def _agrees(head: torch.nn.Linear, read: torch.Tensor, logits: torch.Tensor, tolerance: float) -> bool:
    if read.shape != (logits.shape[0], head.in_features):
        return False
    away = (functional.linear(read, head.weight, head.bias) - logits).abs().max()
    return bool(away <= tolerance * logits.abs().max())
