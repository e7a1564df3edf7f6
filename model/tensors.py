"""Reading and writing safetensors: a JSON header and raw numbers, nothing that could be executed.

Own code, because the core of the model runs where only torch and NumPy are installed; tests compare with the
safetensors library.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LARGEST_HEADER = 100_000_000


class DamagedFileError(ValueError):
    """A file that is not what its name says, or not whole."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors to a .safetensors file, whole or not at all."""
    header, parts, begin = {}, [], 0
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        raw = value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
        header[name] = {
            "dtype": _NAMES[value.dtype], "shape": list(value.shape), "data_offsets": [begin, begin + len(raw)]
        }
        parts.append(raw)
        begin += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(parts)
    partial.replace(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a .safetensors file. Raises DamagedFileError where header and bytes do not agree."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(_LARGEST_HEADER, len(data) - 8):
        raise DamagedFileError(f"{path} is no whole safetensors file ({len(data)} bytes); fetch or convert it again.")
    try:
        header = json.loads(data[8 : 8 + size])
        entries = {k: v for k, v in header.items() if k != "__metadata__"}
        return {name: _tensor(data, 8 + size, entry) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}); fetch or convert it again.") from error


def _tensor(data: bytes, start: int, entry: dict) -> Tensor:
    begin, end = entry["data_offsets"]
    dtype, shape = _DTYPES[entry["dtype"]], [int(n) for n in entry["shape"]]
    values = torch.Size(shape).numel()
    if not 0 <= begin <= end <= len(data) - start or values * dtype.itemsize != end - begin:
        raise ValueError("sizes and offsets disagree")
    if not values:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data[start + begin : start + end]), dtype=dtype).reshape(shape)
