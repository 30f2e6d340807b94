"""The weights that a stage hands on."""

import deepspeed
from torch import Tensor, nn

from jobs.checkpoint.state import kept_buffers


def weights_to_keep(module: nn.Module) -> dict[str, Tensor]:
    """What another stage starts from: all but the frozen weights of the language model.

    Those come from their own folder. Under ZeRO-3 every rank must call this, and gets whole
    tensors, on the host.
    """
    kept = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad or not name.startswith("language_model."):
            with deepspeed.zero.GatheredParameters(
                [parameter], enabled=hasattr(parameter, "ds_id")
            ):
                kept[name] = parameter.detach().to("cpu", copy=True)
    for name, buffer in kept_buffers(module).items():
        kept[name] = buffer.detach().to("cpu", copy=True)
    return kept
