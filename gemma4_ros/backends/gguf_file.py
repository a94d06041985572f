# SPDX-License-Identifier: Apache-2.0
"""Is this file the model that it should be? Size and header before every start, checksum on demand."""

from __future__ import annotations

import struct
from pathlib import Path

from gemma4_ros.backends.profiles import ModelProfile
from gemma4_ros.core.errors import ModelFileError, ModelMissingError

__all__ = ['check_header']

_VERSIONS = (2, 3)


def check_header(path: Path, profile: ModelProfile) -> None:
    """Raise ModelMissingError or ModelFileError unless the file is there, whole and a GGUF; takes no time."""
    again = f'run: gemma4 model get {profile.id}'
    try:
        size = path.stat().st_size
        with path.open('rb') as file:
            head = file.read(8)
    except FileNotFoundError as error:
        raise ModelMissingError(f'{path} is not there; {again}') from error
    except OSError as error:
        raise ModelFileError(f'{path} cannot be read: {error.strerror}') from error
    if profile.size_bytes is not None and size != profile.size_bytes:
        raise ModelFileError(
            f'{path} has {size} bytes, wanted {profile.size_bytes}: it is cut or another file; {again}'
        )
    if len(head) < 8 or head[:4] != b'GGUF':
        raise ModelFileError(f'{path} ({size} bytes) is no GGUF file: it begins with {head[:4]!r}; {again}')
    version = struct.unpack('<I', head[4:])[0]
    if version not in _VERSIONS:
        raise ModelFileError(f'{path} is GGUF version {version}, wanted {_VERSIONS[0]} or {_VERSIONS[1]}; {again}')
