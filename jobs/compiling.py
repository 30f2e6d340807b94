"""Compiles a stage's video encoder where its recipe says so, or says what keeps it from being.

Notable: only the encoder's blocks are compiled: they see the same shapes in every step and hold
most of the operations outside the language model, which is another library's. Nobody gets it
unasked. On a CPU the compiled step of three blocks of width 384 took as long as the plain one
(0.99 of its speed) after 11 s of the processor for the compilation, which each attempt on a new
node begins with (`python -m bench.compile`, torch 2.13; on a GPU the same command measures it).
And the kernels that torch makes for a GPU follow in the order of their sums from the first shape
that they see: where pictures and videos are mixed, a resume that begins with the other kind may
differ from an undisturbed run in the last bits.
"""

import os
import shutil

import torch
from torch import nn

from jobs.contract.spec import Train
from jobs.job import RefusedError
from jobs.log import say
from model.video_encoder import VideoEncoder

COMPILERS = {"CXX": ("g++", "clang++"), "CC": ("gcc", "clang", "cc")}
"""By the variable that names another one: what torch looks for on a CPU, and what Triton does."""


def compile_encoder(module: nn.Module, recipe: Train) -> None:
    """Has the blocks of the module's video encoder compiled at the first step, if so wished.

    Args:
        module: The stage's model.
        recipe: Its `compile` says what is wished.

    Raises:
        RefusedError: It was wished for and cannot be done; the text says why.
    """
    if not recipe.compile:
        return
    encoder = getattr(module, "video_encoder", None)
    hindrance = hindrance_of(encoder, recipe.zero_stage, has_gpu=torch.cuda.is_available())
    if hindrance or not isinstance(encoder, VideoEncoder):
        raise RefusedError(f"compile: true, but {hindrance}; set it to false")
    encoder.compile_blocks()
    say("compile: the video encoder is compiled at the first step, which takes longer")


def hindrance_of(encoder: object, zero_stage: int, *, has_gpu: bool) -> str:
    """What keeps an encoder from being compiled here; empty: nothing."""
    if not isinstance(encoder, VideoEncoder):
        return "the stage has no video encoder"
    if zero_stage == 3:  # noqa: PLR2004 - a stage's number
        return "zero_stage is 3: DeepSpeed brings the weights of each layer while it runs"
    if encoder.cfg.drop_path:
        return "video_encoder.drop_path is not 0: each block would be compiled for itself"
    return _missing_tool(has_gpu=has_gpu)


def _missing_tool(*, has_gpu: bool) -> str:
    """What torch would lack to compile; empty: nothing."""
    variable = "CC" if has_gpu else "CXX"
    named = os.environ.get(variable)
    wanted = (named.split()[0],) if named else COMPILERS[variable]
    if not any(map(shutil.which, wanted)):
        return f"there is no compiler: {' or '.join(wanted)} (${variable}) is not on PATH"
    if has_gpu and not _has_triton():
        return "Triton, which makes a GPU's kernels, is not installed"
    if not _is_reproducible():
        return f"torch {torch.__version__} cannot be kept from choosing kernels by their speed"
    return ""


def _has_triton() -> bool:
    from torch.utils._triton import has_triton  # noqa: PLC0415 - see below

    return bool(has_triton())


def _is_reproducible() -> bool:
    """Whether this torch can be kept from timing kernels to choose one."""
    from torch._inductor import config  # noqa: PLC0415 - slow, and of use where one compiles

    return hasattr(config, "deterministic")
