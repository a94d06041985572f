# SPDX-License-Identifier: Apache-2.0
"""Names, hashes and sharpness of pictures that are kept as evidence."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ['evidence_name', 'pixels_sha256', 'sharpness']

_ID = re.compile(r'[a-z][a-z0-9_]{0,63}')
_HASH_SHOWN = 12


def pixels_sha256(image: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of the pixels, row by row, RGB."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def evidence_name(stamp_ns: int, target: str, sha256: str, suffix: str) -> str:
    """
    Return the file name of a picture: time, what it shows, hash; never text that somebody wrote.

    Parameters
    ----------
    stamp_ns : int
        When it was taken, nanoseconds since 1970.
    target : str
        An id of the world.
    sha256 : str
        Hash of its pixels.
    suffix : str
        ``.png`` or ``.jpg``.

    """
    if _ID.fullmatch(target) is None or suffix not in ('.png', '.jpg') or re.fullmatch('[0-9a-f]{64}', sha256) is None:
        raise ValueError(f'not an evidence name: {target!r} {suffix!r}')
    seconds, rest_ns = divmod(stamp_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return f'{moment:%Y%m%dT%H%M%S}.{rest_ns // 1_000_000:03d}Z_{target}_{sha256[:_HASH_SHOWN]}{suffix}'


def sharpness(image: NDArray[np.uint8]) -> float:
    """
    Return the variance of the Laplacian, 8-bit grey levels squared: the lower, the more blurred.

    Method: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
