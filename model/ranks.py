"""Where the ranks tell each other what the host must know."""

from functools import lru_cache
from typing import Any

from torch import distributed


def host_group() -> Any:  # noqa: ANN401 - torch names no one type for it
    """Give a group of all ranks whose collectives run on the host; all must ask together.

    Those of a GPU (NCCL) wait for all that the GPU still has to do, and the host with them.

    Returns:
        The ranks' own group where that is gloo's, else another one, made at the first call.
    """
    return _host_group_of(distributed.group.WORLD)


@lru_cache(maxsize=1)
def _host_group_of(world: Any) -> Any:  # noqa: ANN401
    if distributed.get_backend(world) == distributed.Backend.GLOO:
        return world
    return distributed.new_group(backend=distributed.Backend.GLOO)
