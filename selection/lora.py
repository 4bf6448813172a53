"""Low-rank adapters beside an encoder's weights, by peft (Hu et al. 2021, arXiv 2106.09685).

Only adapters and head are trained; `merge` adds the adapters to the weights, so that nothing of them is left to load.
"""

from typing import Any

import torch

from selection.errors import CheckpointError
from selection.heads import encoder_and_head, seeded


def adapt(model: Any, *, rank: int, alpha: int, seed: int, device: str) -> Any:
    """Puts adapters, decided by `seed`, on all linear layers of the encoder, in place; the head stays trainable.

    An encoder without a linear layer gets them on its convolutions.

    Raises:
        CheckpointError: it has neither.
    """
    import peft

    _, head = encoder_and_head(model)
    names, transposed = _layers(model)
    if not names:
        raise CheckpointError(
            f"the encoder of {type(model).__name__} has no linear layer that could get an adapter; fine-tune it with "
            "the method full or head"
        )
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=names, fan_in_fan_out=transposed
    )
    with seeded(seed, device):
        adapted = peft.LoraModel(model, config, "default")
    for parameter in head:
        parameter.requires_grad_(True)
    return adapted


def merge(adapted: Any) -> None:
    """Adds the adapters to the weights of the model that `adapt` was given, and takes them off."""
    adapted.merge_and_unload()


def _layers(model: Any) -> tuple[list[str], bool]:
    """The names of the layers that get adapters, and whether their weights are stored transposed (GPT-2's are)."""
    from transformers.pytorch_utils import Conv1D

    encoder = {id(parameter) for parameter in encoder_and_head(model)[0]}
    inside = {name: module for name, module in model.named_modules() if id(getattr(module, "weight", None)) in encoder}
    for kind in (torch.nn.Linear, Conv1D, torch.nn.Conv2d):
        names = [name for name, module in inside.items() if isinstance(module, kind)]
        if names:
            return names, kind is Conv1D
    return [], False
