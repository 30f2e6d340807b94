"""UMT's vision transformer: joint attention over all patches of all frames.

Letters: B clips, T frames, C colours, H W pixels, L = T * patches tokens, D width.
Notable: no class token, no final norm; positions are fixed sines over the flattened
(frame, row, column) index, and of a frame only the number of its patches counts, as in the
original; queries and values have a bias, keys have none.
"""

from functools import lru_cache
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from model.config import VideoEncoderConfig
from model.drop_path import DropPath, drop_path_rates
from model.errors import ConfigError, SpliceError
from model.pixels import normalised

NORM_EPS = 1e-6
VISUAL_NORM_EPS = 1e-12
"""Epsilon of the norm that follows the encoder in each model."""


@lru_cache(maxsize=16)
def position_table(
    width: int, frames: int, grid: int, *, table_frames: int, table_grid: int
) -> Tensor:
    """Give the fixed positions of a clip.

    They are those of `table_frames` frames of `table_grid` patches a side, made bicubic in
    space and then linear in time where the clip's sizes differ.

    Returns:
        float32 on the CPU, (frames * grid * grid, width).
    """
    table_LD = _sines(table_frames * table_grid**2, width)
    if grid != table_grid:
        planes = table_LD.view(table_frames, table_grid, table_grid, width).permute(0, 3, 1, 2)
        planes = functional.interpolate(planes, (grid, grid), mode="bicubic", align_corners=False)
        table_LD = planes.permute(0, 2, 3, 1).reshape(-1, width)
    if frames != table_frames:
        lines = table_LD.view(table_frames, -1, width).permute(1, 2, 0)
        lines = functional.interpolate(lines, frames, mode="linear", align_corners=False)
        table_LD = lines.permute(2, 0, 1).reshape(-1, width)
    return table_LD


@lru_cache(maxsize=8)
def _placed_table(
    width: int,
    frames: int,
    grid: int,
    *,
    table_frames: int,
    table_grid: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """The table where the clips are; kept, as bringing it to a GPU makes the host wait."""
    table_LD = position_table(width, frames, grid, table_frames=table_frames, table_grid=table_grid)
    return table_LD.to(device, dtype)


def _sines(length: int, width: int) -> Tensor:
    position_L = torch.arange(length, dtype=torch.float64, device="cpu")
    pair_D = torch.arange(width, dtype=torch.float64, device="cpu") // 2
    angle_LD = position_L[:, None] / 10000 ** (2 * pair_D / width)
    even_D = torch.arange(width, device="cpu") % 2 == 0
    return torch.where(even_D, angle_LD.sin(), angle_LD.cos()).float()


class Attention(nn.Module):
    """Self-attention over all tokens of a clip."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Give the attended tokens, (B, L, D) as they came."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = functional.linear(x_BLD, self.qkv.weight, bias)
        q, k, v = qkv.view(*x_BLD.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y_BLD = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = self.proj(y_BLD)
        return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, cfg: VideoEncoderConfig, drop_path: float) -> None:
        super().__init__()
        hidden = int(cfg.width * cfg.mlp_ratio)
        self.norm1 = nn.LayerNorm(cfg.width, eps=NORM_EPS)
        self.attn = Attention(cfg.width, cfg.heads)
        self.norm2 = nn.LayerNorm(cfg.width, eps=NORM_EPS)
        self.fc1 = nn.Linear(cfg.width, hidden)
        self.fc2 = nn.Linear(hidden, cfg.width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Give the next tokens, (B, L, D)."""
        x_BLD = x_BLD + self.drop_path(self.attn(self.norm1(x_BLD)))
        mlp_BLD = self.fc2(functional.gelu(self.fc1(self.norm2(x_BLD))))
        out: Tensor = x_BLD + self.drop_path(mlp_BLD)
        return out


class VideoEncoder(nn.Module):
    """From pixels to tokens; an image is a clip of one frame."""

    def __init__(self, cfg: VideoEncoderConfig) -> None:
        super().__init__()
        self.cfg = cfg
        kernel = (1, cfg.patch_size, cfg.patch_size)
        self.patch_embed = nn.Conv3d(3, cfg.width, kernel_size=kernel, stride=kernel)
        rates = drop_path_rates(cfg.drop_path, cfg.depth)[: cfg.blocks_built]
        self.blocks = nn.ModuleList(Block(cfg, rate) for rate in rates)
        self.apply(_initialise)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """Encode clips.

        Args:
            video_BTCHW: Grey levels, uint8, which are normalised here in float32; or pixels
                that are normalised already, any float type. Cast to the weights' type. Height
                and width are multiples of the patch, and a frame's number of patches is a
                square: 224 x 224 and 112 x 448 are both 14 x 14.

        Returns:
            tokens_BLD without a final norm, L = T * patches in (frame, row, column) order.

        Raises:
            SpliceError: The pixels of a frame are no such size.
        """
        grid = self._grid(video_BTCHW)
        if video_BTCHW.dtype == torch.uint8:
            video_BTCHW = normalised(video_BTCHW)
        video_BCTHW = video_BTCHW.transpose(1, 2).to(self.patch_embed.weight.dtype)
        x_BLD = self.patch_embed(video_BCTHW).flatten(2).transpose(1, 2)
        x_BLD = x_BLD + self._positions(video_BTCHW.shape[1], grid, x_BLD)
        for block in self.blocks:
            if self.cfg.recompute and torch.is_grad_enabled():
                x_BLD = checkpoint(block, x_BLD, use_reentrant=False)
            else:
                x_BLD = block(x_BLD)
        tokens_BLD: Tensor = x_BLD
        return tokens_BLD

    def compile_blocks(self) -> None:
        """Have torch compile the blocks, forward and backward, when they are first called.

        One compilation serves all of them and all numbers of clips and frames, and no code is
        chosen by how fast it ran. Names of weights stay as they are.

        Raises:
            ConfigError: The blocks differ: with stochastic depth each would be compiled anew.
        """
        if self.cfg.drop_path:
            raise ConfigError(
                f"video_encoder.drop_path is {self.cfg.drop_path}: blocks that differ cannot be "
                "compiled as one; set it to 0, or do not compile"
            )
        for block in self.blocks:
            block.compile(dynamic=True, options={"deterministic": True})

    def _grid(self, video_BTCHW: Tensor) -> int:
        """Patches a side of the square with as many patches as a frame has."""
        colours, height, width = video_BTCHW.shape[2:]
        patch = self.cfg.patch_size
        patches = (height // patch) * (width // patch)
        grid = isqrt(patches)
        if colours != 3 or height % patch or width % patch or grid**2 != patches or not grid:
            raise SpliceError(
                f"video: a frame is {(colours, height, width)} (colours, height, width); the "
                f"encoder wants 3 colours and a square number of patches of {patch} x {patch}, "
                f"such as {(3, self.cfg.image_size, self.cfg.image_size)}"
            )
        return grid

    def _positions(self, frames: int, grid: int, like: Tensor) -> Tensor:
        """An image has a table of its own, made for one frame."""
        return _placed_table(
            self.cfg.width,
            frames,
            grid,
            table_frames=1 if frames == 1 else self.cfg.position_frames,
            table_grid=self.cfg.position_grid,
            device=like.device,
            dtype=like.dtype,
        )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
