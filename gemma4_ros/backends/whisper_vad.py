# SPDX-License-Identifier: Apache-2.0
"""Speech or not, by the Silero model that comes inside the faster-whisper package; frame after frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.errors import ModelMissingError
from gemma4_ros.core.speech.endpointing import FRAME

__all__ = ['SileroVoice']

_CONTEXT = 64


class SileroVoice:
    """
    Silero VAD v6, streaming: 0.2 ms for a frame of 32 ms.

    The network sees the last 64 samples of the frame before and carries its own state.
    """

    def __init__(self) -> None:
        import onnxruntime  # slow to import, and only a node that listens needs it

        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = session.inter_op_num_threads = 1
        session.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(str(_model_path()), session, providers=['CPUExecutionProvider'])
        self.reset()

    def reset(self) -> None:
        """Forget what was heard before."""
        self._h = np.zeros((1, 1, 128), dtype=np.float32)
        self._c = np.zeros((1, 1, 128), dtype=np.float32)
        self._context = np.zeros(_CONTEXT, dtype=np.float32)

    def probability(self, frame: NDArray[np.float32]) -> float:
        """Return how probably the next 512 samples are speech, 0..1."""
        if frame.shape != (FRAME,):
            raise ValueError(f'a frame has {FRAME} samples, not {frame.shape}')
        inputs = {'input': np.concatenate([self._context, frame])[None], 'h': self._h, 'c': self._c}
        output, self._h, self._c = self._session.run(None, inputs)
        self._context = frame[-_CONTEXT:]
        return float(np.asarray(output).reshape(-1)[0])


def _model_path() -> Path:
    import faster_whisper

    folder = Path(faster_whisper.__file__).parent / 'assets'
    for path in sorted(folder.glob('silero_vad_v6*.onnx')):
        return path
    raise ModelMissingError(f'{folder} has no silero_vad_v6.onnx: install faster-whisper 1.2.1 again')
