"""Weights from a safetensors file, written here by the format's description."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fanin.errors import BadInput, UnknownName
from fanin.initializers import Pretrained, Target, from_dict, to_dict
from fanin.stream import Runs, to_bfloat16_bits

W = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
KINDS: dict[str, Any] = {
    "F64": W.astype(np.float64),
    "F32": W,
    "F16": W.astype(np.float16),
    "BF16": to_bfloat16_bits(W.ravel()),
    "I64": W.astype(np.int64),
}


def save(path: Path, **changed: Any) -> Path:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    blob = b""
    for kind, values in KINDS.items():
        data = values.tobytes()
        header[f"layer.{kind}"] = {
            "dtype": kind,
            "shape": list(W.shape),
            "data_offsets": [len(blob), len(blob) + len(data)],
        }
        blob += data
    text = json.dumps(header | changed).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + blob)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save(tmp_path / "w.safetensors")


@pytest.mark.parametrize("kind", ["F64", "F32", "F16"])
def test_a_tensor_is_read_as_it_was_written(file: Path, kind: str) -> None:
    what = Pretrained(str(file))
    values = what.draw(Target(f"layer.{kind}", (6, 4), "float64"), seed=0)
    assert (values == KINDS[kind].astype(np.float64).ravel()).all()


def test_bfloat16_comes_back_bit_for_bit(file: Path) -> None:
    what = Pretrained(str(file), "layer.BF16")
    assert (what.draw(Target("other", (6, 4), "bfloat16"), seed=0) == KINDS["BF16"]).all()
    assert what.draw(Target("other", (6, 4)), seed=0) == pytest.approx(W.ravel(), rel=2**-8)


def test_only_what_is_asked_for_is_read(file: Path) -> None:
    target = Target("layer.F32", (6, 4))
    what = Pretrained(str(file))
    for region in (range(4, 12), range(0), np.array([23, 0]), Runs(1, 4, 3, 2)):
        chosen = region[:] if isinstance(region, Runs) else np.asarray(region, dtype=int)
        assert (what.draw(target, 0, region) == W.ravel()[chosen.astype(int)]).all()


def test_a_plan_may_be_made_where_the_file_is_not(tmp_path: Path) -> None:
    what = Pretrained(str(tmp_path / "elsewhere.safetensors"))
    target = Target("w", (2, 2))
    assert np.isnan(what.law(target).std)
    assert from_dict(to_dict(what)) == what
    with pytest.raises(BadInput, match=r"cannot read '.*elsewhere\.safetensors' as a safetensors file: .*No such file"):
        what.draw(target, seed=0)


def test_the_file_is_the_one_that_was_meant(file: Path) -> None:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    target = Target("layer.F32", (6, 4))
    assert len(Pretrained(str(file), sha256=digest).draw(target, seed=0)) == 24
    with pytest.raises(BadInput, match="is not the file that was meant: its SHA-256 is not"):
        Pretrained(str(file), sha256="0" * 64).draw(target, seed=0)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("layer.F23", (6, 4), r"no tensor in w\.safetensors 'layer\.F23'\. Did you mean 'layer\.F32'"),
        ("layer.F32", (4, 6), r"has shape \(6, 4\); 'layer\.F32' has \(4, 6\)"),
        ("layer.I64", (6, 4), "is of type I64; expected one of F64, F32, F16, BF16"),
    ],
)
def test_what_the_file_does_not_hold_is_said_already_in_the_plan(
    file: Path, name: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        Pretrained(str(file)).law(Target(name, shape))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layer.F32": {"dtype": "F32", "shape": [6, 4], "data_offsets": [0, 9999]}}, "does not fit into it"),
        ({"layer.F32": {"dtype": "F32", "shape": [6, 4], "data_offsets": [0, 95]}}, "does not fit into it"),
        ({"layer.F32": {"dtype": "F32"}}, "does not describe 'layer.F32'"),
    ],
)
def test_a_file_that_is_cut_off_or_wrong_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Pretrained(str(save(tmp_path / "w.safetensors", **changed))).law(Target("layer.F32", (6, 4)))


@pytest.mark.parametrize("content", [b"", b"\x02\0\0\0\0\0\0\0{", b"\xff" * 16, b"\x02\0\0\0\0\0\0\0[]", b"pickle"])
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="cannot read"):
        Pretrained(str(path)).law(Target("w", (1,)))


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    nans = np.full((6, 4), np.nan, np.float32)
    path = save(tmp_path / "w.safetensors")
    path.write_bytes(path.read_bytes().replace(W.tobytes(), nans.tobytes()))
    with pytest.raises(BadInput, match="that are not finite"):
        Pretrained(str(path)).draw(Target("layer.F32", (6, 4)), seed=0)


def test_arguments_are_checked_at_construction() -> None:
    with pytest.raises(BadInput, match="must name a safetensors file; got ''"):
        Pretrained("")
    with pytest.raises(BadInput, match="64 hexadecimal digits"):
        Pretrained("w", sha256="abc")
    with pytest.raises(UnknownName):
        from_dict({"law": "Pretained"})
