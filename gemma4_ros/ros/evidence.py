# SPDX-License-Identifier: Apache-2.0
"""The folder of evidence pictures: written whole or not at all, under names that only the node makes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.errors import CannotReadError, ConfigError
from gemma4_ros.core.reading.evidence import evidence_name, pixels_sha256

__all__ = ['EvidenceFolder', 'evidence_folder']

_JPEG = b'\xff\xd8\xff'


def evidence_folder(given: str = '') -> Path:
    """Return where pictures lie: the folder named, or one below the user's state folder."""
    if given:
        return Path(given).expanduser()
    state = os.environ.get('XDG_STATE_HOME') or '~/.local/state'
    return Path(state).expanduser() / 'gemma4_ros' / 'evidence'


class EvidenceFolder:
    """A folder into which pictures are put by atomic rename."""

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f'parameter evidence_dir: cannot make {path}: {error}') from None
        if not os.access(path, os.W_OK):
            raise ConfigError(f'parameter evidence_dir: cannot write to {path}; name a folder of this user')
        self.path = path

    def store(self, image: NDArray[np.uint8], stamp_ns: int, target: str, encoded: bytes = b'') -> tuple[str, str]:
        """
        Store a picture and return its name below the folder and the SHA-256 of its pixels.

        ``encoded`` is the JPEG that the camera sent: it is kept as it came, anything else becomes PNG.

        Raises
        ------
        CannotReadError
            The disk does not take it: a picture without evidence is no answer.

        """
        sha256 = pixels_sha256(image)
        is_jpeg = encoded.startswith(_JPEG)
        data = encoded if is_jpeg else _png(image)
        name = evidence_name(stamp_ns, target, sha256, '.jpg' if is_jpeg else '.png')
        try:
            self._write(name, data)
        except OSError as error:
            raise CannotReadError(f'the picture cannot be stored in {self.path}: {error.strerror}; make room') from None
        return name, sha256

    def _write(self, name: str, data: bytes) -> None:
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix='.part_')
        try:
            with os.fdopen(handle, 'wb') as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(self.path / name)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise


def _png(image: NDArray[np.uint8]) -> bytes:
    _, encoded = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    return bytes(encoded.tobytes())
