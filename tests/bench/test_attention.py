import pytest
import torch

from bench.attention import CLOSE, WAYS, Measured, Ratio, Sizes, difference, in_child
from bench.plain_attention import plain_attention

TINY = Sizes(
    width=48, depth=2, heads=4, frames=2, image_size=32, queries=6, visual_tokens=10, batch=2
)


@pytest.mark.parametrize("name", sorted(WAYS))
def test_both_forms_of_attention_give_the_same_outputs(name):
    apart = difference(name, TINY)

    assert apart <= CLOSE


def test_plain_attention_looks_only_where_the_mask_is_true():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 5, 4)
    seen = torch.tensor([True, True, False, True, False])

    masked = plain_attention(query, key, value, seen.expand(5, 5))

    alone = plain_attention(query, key[..., seen, :], value[..., seen, :])
    torch.testing.assert_close(masked, alone)


def test_a_way_is_measured_in_a_process_of_its_own():
    measured = in_child("encoder", "fused, recompute", TINY, steps=2, threads=1)

    assert len(measured.step_s) == len(measured.cpu_s) == 2
    assert min(measured.step_s) > 0
    assert 0 < measured.imports_mb < measured.peak_mb


def test_ratio_compares_medians_with_the_baseline():
    baseline = [Measured((4.0, 2.0), (8.0, 8.0), 100, 300), Measured((3.0,), (8.0,), 100, 300)]
    way = [Measured((1.5,), (4.0,), 100, 200)]

    ratio = Ratio.of(baseline, way)

    assert ratio == Ratio(faster=2, less_cpu=2, memory=0.5, memory_with_imports=2 / 3)
