"""What devices could do at most, by the names that torch gives them."""

import pytest

from jobs.watch.peak import peak_flops


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989.4),
        ("NVIDIA A10", 125),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
    ],
)
def test_known_devices_peak_is_that_of_its_form(name, teraflops):
    assert peak_flops(name, "bf16") == pytest.approx(teraflops * 1e12)


@pytest.mark.parametrize(
    "name",
    ["NVIDIA A10G", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA H100 NVL", "NVIDIA L40"],
)
def test_device_that_is_not_in_the_table_has_no_peak_instead_of_anothers(name):
    assert peak_flops(name, "bf16") is None


def test_precision_without_tensor_cores_has_no_peak():
    assert peak_flops("Tesla V100-SXM2-32GB", "bf16") is None
    assert peak_flops("Tesla V100-SXM2-32GB", "fp16") == pytest.approx(125e12)
    assert peak_flops("NVIDIA A100-SXM4-80GB", "fp32") is None
