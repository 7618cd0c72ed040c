"""Filling on a GPU: the kernels in Triton's interpreter, compiled for GPUs that are not there, and on one that is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fanin.frameworks.torch.writing import gpu
from fanin.stream import key, reference, words
from fanin.stream.distributions import _window
from fanin.stream.laws import NORMAL, TRUNCATED, UNIFORM, Law

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
WEIGHT = key(0, "weight")
NORMALS: Law = (NORMAL, 0, 0, 0, 0, 0.02 * 2.0**-27, 0.0)
SHIFTED: Law = (NORMAL, 0, 0, 0, 0, 0.02 * 2.0**-27, 1.5)
UNIFORMS: Law = (UNIFORM, 0, 0, 0, 0, 0.05 * 2.0**-24, -0.3)
BETWEEN: Law = (TRUNCATED, *_window(-2.0, 2.0), 0.02 * 2.0**-27, 0.0)


@needs_triton
def test_in_the_interpreter() -> None:
    """Every law, dtype and shape of a request against `fanin.stream`, in a process of its own."""
    file = Path(__file__).with_name("interpreted_gpu.py")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", str(file)]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"TRITON_INTERPRET": "1"}
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def compiled(target: tuple[str, int | str, int], stored: str, **constants: object) -> Any:
    """The kernel, compiled for a GPU that need not be there, with fusion allowed."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from fanin.frameworks.torch.writing import gpu_kernels

    constants = {"TILE": gpu_kernels.UNITS, "WHOLE": True, "RUNS": False, "SKIPS": False, **constants}
    types = {name: "constexpr" if name in constants else "i32" for name in gpu_kernels.fill.arg_names}
    types |= {"out": f"*{stored}", "table": "*i64"}
    aligned = {(0,): [["tt.divisibility", 16]], (1,): [["tt.divisibility", 16]]}
    source = ASTSource(gpu_kernels.fill, types, constants, aligned)
    options = {"num_warps": gpu_kernels.WARPS, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget(*target), options=options)


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@needs_triton
@pytest.mark.usefixtures("_own_cache")
class TestCompiled:
    @pytest.mark.parametrize("stored", ["fp32", "fp64", "fp16", "i16"])
    def test_for_nvidia(self, stored: str) -> None:
        """A product and a sum stay two operations, no subnormal number is dropped, 16 bytes are stored at a time."""
        kernel = compiled(("cuda", 90, 32), stored, KIND=NORMAL, SHIFTED=True)
        operations = set(re.findall(r"^\s+(?:@%p\d+ )?([a-z][\w.:]+)", kernel.asm["ptx"], re.MULTILINE))
        product, total = ("mul.f64", "add.f64") if stored == "fp64" else ("mul.f32", "add.f32")
        assert {product, total} <= operations
        assert not [name for name in operations if "fma" in name or "ftz" in name]
        assert operations & {"st.global.v4.b32", "st.global.v2.b64"}
        assert not re.search(r"\b[FD]FMA\b", kernel.asm["sass"])

    def test_for_amd(self) -> None:
        kernel = compiled(("hip", "gfx942", 64), "fp32", KIND=TRUNCATED, SHIFTED=True)
        assembly = kernel.asm["amdgcn"]
        assert re.search(r"v_(pk_)?mul_f32", assembly)
        assert not re.search(r"v_\w*(fma|fmac|mad)_f32", assembly)
        assert re.search(r"\.amdhsa_float_denorm_mode_32 3", assembly)

    @pytest.mark.parametrize("whole", [True, False])
    def test_runs(self, whole: bool) -> None:
        assert compiled(("cuda", 80, 32), "fp32", KIND=UNIFORM, SHIFTED=False, RUNS=True, WHOLE=whole).asm["cubin"]


def test_what_is_not_on_a_gpu_is_not_available() -> None:
    assert not gpu.available(torch.zeros(3))
    assert not gpu.available(torch.zeros(3, device="meta"))


@needs_a_gpu
class TestOnTheGPU:
    """Every value of large tensors, on the device itself."""

    def assert_filled(self, tensor: torch.Tensor, law: Law, elements: range) -> None:
        flat, form, chunk = tensor.view(-1), gpu.DTYPES[tensor.dtype], 1 << 22
        for begin in range(0, len(elements), chunk):
            expected = reference.values(words(WEIGHT, elements[begin : begin + chunk]), law, form)
            drawn = flat[begin : begin + chunk].view(torch.uint8).cpu().numpy()
            assert np.array_equal(drawn, expected.view(np.uint8)), f"after element {elements[begin]}"

    @pytest.mark.parametrize("law", [NORMALS, SHIFTED, UNIFORMS, BETWEEN], ids=["normal", "shift", "uniform", "cuts"])
    @pytest.mark.parametrize("dtype", gpu.DTYPES)
    def test_every_dtype(self, law: Law, dtype: torch.dtype) -> None:
        tensor = torch.empty(10_000_003, dtype=dtype, device="cuda")
        assert gpu.available(tensor)
        for start in (0, (1 << 34) + 3):
            gpu.fill_(tensor, WEIGHT, law, start)
            self.assert_filled(tensor, law, range(start, start + tensor.numel()))

    def test_2_to_the_28_values(self) -> None:
        tensor = torch.empty(1 << 28, device="cuda")
        gpu.fill_(tensor, WEIGHT, NORMALS)
        self.assert_filled(tensor, NORMALS, range(1 << 28))

    def test_beyond_offsets_of_31_bits(self) -> None:
        count = (1 << 31) + 5000
        tensor = torch.empty(count, dtype=torch.bfloat16, device="cuda")
        gpu.fill_(tensor, WEIGHT, UNIFORMS)
        self.assert_filled(tensor[-10_000:], UNIFORMS, range(count - 10_000, count))

    @pytest.mark.parametrize("unit", [4, 1], ids=["blocks", "elements"])
    def test_runs_into_a_transposed_tensor(self, unit: int) -> None:
        whole, part = torch.empty(3000, 4000, device="cuda"), torch.empty(900 * unit, 3000, device="cuda").T
        gpu.fill_(whole, WEIGHT, SHIFTED)
        gpu.fill_(part, WEIGHT, SHIFTED, 3 * unit, step=4000, length=900 * unit)
        assert torch.equal(part, whole[:, 3 * unit : 903 * unit])

    def test_another_stream(self) -> None:
        stream, tensor = torch.Stream(device="cuda"), torch.zeros(1 << 20, device="cuda")
        stream.wait_stream(torch.accelerator.current_stream())
        with stream:
            gpu.fill_(tensor, WEIGHT, NORMALS)
        torch.accelerator.current_stream().wait_stream(stream)
        self.assert_filled(tensor, NORMALS, range(1 << 20))
