"""Tensors and what they mean in one safetensors file, or not at all.

Encoders and states of training are both packed by `pack` and unpacked by `unpack`: tensors plus one JSON header, which
names the kind of file and the version of its format and holds a sha256 over everything else. safetensors refuses a
file that is cut off, but does not notice a flipped bit; the sha256 does. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from taxoscape.errors import InputError
from taxoscape.files import replacing

FORMAT = 1
"""Version of what this module writes; a file of another version is refused."""
KEY = "taxoscape"


def pack(kind: str, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """Return tensors and a JSON header as the bytes of a safetensors file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {"kind": kind, "format": FORMAT, **header}
    about["sha256"] = _digest(plain, about)
    return save(plain, metadata={KEY: json.dumps(about)})


def unpack(data: bytes, kind: str, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the header that `pack` put together.

    Raises
    ------
    InputError
        Where the bytes are no safetensors file, are cut off or altered, or are of another kind or format; ``name``
        says in the message what was read.
    """
    try:
        tensors = load(data)
        (length,) = struct.unpack("<Q", data[:8])
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (SafetensorError, ValueError, struct.error) as error:
        raise InputError(f"{name} is not a whole safetensors file ({error}): copy or make it again") from None
    if KEY not in metadata:
        raise InputError(f"{name} was not written by taxoscape: it has no description; see taxoscape import-weights")
    about: dict[str, Any] = json.loads(metadata[KEY])
    if about.get("kind") != kind:
        raise InputError(f"{name} holds {about.get('kind')!r}, wanted is {kind!r}: give another file")
    if about.get("format") != FORMAT:
        raise InputError(
            f"{name} has format {about.get('format')}, this version of taxoscape reads format {FORMAT}: use the "
            "version that wrote it, or make it again"
        )
    if about.pop("sha256", None) != _digest(tensors, about):
        raise InputError(f"{name} was altered after it was written (sha256 differs): copy or make it again")
    return tensors, about


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data)


def read(path: str | os.PathLike[str], kind: str) -> bytes:
    """Return the bytes of a file that shall hold ``kind``, for `unpack`.

    Raises
    ------
    InputError
        Where there is no such file, or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path} as {kind}: {error.strerror or error}") from None


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
