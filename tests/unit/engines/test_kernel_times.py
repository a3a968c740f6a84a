"""What a GPU's kernels come to: the time in which it worked, and what an RTX 3090 would take."""

import pytest
import torch

from benchmarks.kernel_times import (
    REACHED,
    RTX_3090,
    Figures,
    Kernel,
    Options,
    busy_ms,
    kernels_of,
    main,
    projected_ms,
    summed,
    table,
)
from svam_ros.engines.device_roof import DeviceRoof

HERE = DeviceRoof(flop_per_s=10 * REACHED * 71e12, bytes_per_s=4 * REACHED * 936e9, bytes_per_number=2)
"""Ten times the RTX 3090's arithmetic, four times its memory."""
GEMM = "sm90_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize128x128x64"
NORM = "void at::native::vectorized_layer_norm_kernel<c10::Half, float>"


def test_time_in_which_two_kernels_overlap_counts_once():
    overlapping = [Kernel(NORM, 0.0, 100.0), Kernel(GEMM, 50.0, 150.0), Kernel(NORM, 60.0, 70.0)]
    later = Kernel(GEMM, 1000.0, 1250.0)
    assert busy_ms([later, *overlapping]) == pytest.approx(0.4)
    assert busy_ms([]) == 0.0


@pytest.mark.parametrize(
    ("name", "multiplies"),
    [
        (GEMM, True),
        ("cutlass_80_tensorop_f16_s16816fprop_optimized_f16", True),
        ("pytorch_flash::flash_fwd_kernel<...>", True),
        ("triton_tem_fused_addmm_12", True),
        (NORM, False),
        ("nvjet_sm90_hss_320x128_64x3_1x2_h_bz_coopA_NTT", True),
        ("triton_poi_fused_convolution_silu_3", False),
        ("triton_red_fused_addmm_native_layer_norm_5", False),
        ("Memcpy HtoD (Pinned -> Device)", False),
    ],
)
def test_products_are_told_from_what_moves_memory(name, multiplies):
    assert Kernel(name, 0.0, 1.0).multiplies == multiplies


def test_products_scale_with_arithmetic_and_all_else_with_memory():
    kernels = [Kernel(GEMM, 0.0, 1000.0), Kernel(NORM, 1000.0, 3000.0)]
    kernels.append(Kernel("Memcpy HtoD (Pinned -> Device)", 3000.0, 3500.0))
    middle, band = projected_ms(kernels, HERE, RTX_3090[torch.float16])
    assert middle == pytest.approx(1.0 * 10 + 2.0 * 4 + 0.5)
    assert band == pytest.approx((3.0 * 4 + 0.5, 3.0 * 10 + 0.5))


def test_what_computes_in_single_precision_is_projected_to_less_arithmetic():
    """The same product with the same time here: half the arithmetic there takes twice as long."""
    kernels = [Kernel(GEMM, 0.0, 1000.0)]
    half, single = (
        projected_ms(kernels, HERE, RTX_3090[dtype])[0] for dtype in (torch.float16, torch.float32)
    )
    assert single / half == pytest.approx(71 / 35.6)


def test_parts_add_up_and_ratios_are_the_published_forms_over_ours():
    plain = Figures(20.0, 12.0, 600, 100.0, (90.0, 120.0))
    ours = Figures(4.0, 3.0, 80, 40.0, (30.0, 50.0))
    assert summed([ours, ours]) == Figures(8.0, 6.0, 160, 80.0, (60.0, 100.0))
    lines = table({"plain": plain, "compiled": ours}).splitlines()
    assert lines[2].startswith("| plain | 20.00 | 1.00 | 12.00 | 1.00 | 600 ")
    assert lines[3] == "| compiled | 4.00 | 5.00 | 3.00 | 4.00 | 80 | 40.0 (30 to 50) | 2.50 |"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert main(Options()) == 2
    assert "needs an NVIDIA GPU" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_product_on_the_gpu_is_seen_as_one():
    left = torch.randn(2048, 2048, device="cuda", dtype=torch.float16)
    kernels = kernels_of(lambda: left @ left)
    assert any(kernel.multiplies for kernel in kernels)
    assert busy_ms(kernels) > 0.0
