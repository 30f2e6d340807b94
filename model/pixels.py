"""Grey levels as the video encoder takes them.

Letters: T frames, C colours, H W pixels.
Notable: clips travel as whole grey levels, a quarter of the bytes, and become numbers where the
encoder is.
"""

from functools import lru_cache

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalised(video: Tensor) -> Tensor:
    """Give grey levels, 0 to 255, with ImageNet's mean at 0 and its deviation 1.

    Args:
        video: (..., C, H, W), RGB; uint8, or any float type.

    Returns:
        float32, the same shape, on the same device.
    """
    mean, std = _statistics(video.device)
    return (video.float() / 255 - mean) / std


@lru_cache(maxsize=8)
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation, (3, 1, 1) each; kept, as bringing them to a GPU makes the host wait."""
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1)
        for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return mean, std
