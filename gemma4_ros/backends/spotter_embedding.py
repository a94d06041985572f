# SPDX-License-Identifier: Apache-2.0
"""Stop words by a small classifier over Google's speech embedding; 80 ms a step."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemma4_ros.backends.spotter_files import EMBEDDING
from gemma4_ros.backends.whisper_files import check
from gemma4_ros.core.errors import ModelFileError

__all__ = ['STEP', 'EmbeddingSpotter', 'SpeechEmbedding', 'StopNetwork']

STEP = 1280
"""Samples of one step: 80 ms at 16 kHz."""
_OVERLAP = 480
_MEL_FRAMES, _MELS, _SIZE = 76, 32, 96
_WEIGHTS = Path(__file__).with_name('spotter_stop.npz')


class SpeechEmbedding:
    """
    Speech embedding of a stream: 96 numbers every 80 ms that describe the last 0.78 s.

    Networks: Lin et al., "Training keyword spotters with limited and synthesized speech data", 2020 (Google).
    """

    def __init__(self, folder: Path | None = None) -> None:
        path = check(EMBEDDING, folder)
        import onnxruntime  # slow to import, and only the spotter needs it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._mel, self._embed = (
            onnxruntime.InferenceSession(str(path / name), options, providers=['CPUExecutionProvider'])
            for name in ('melspectrogram.onnx', 'embedding_model.onnx')
        )
        self._sound: NDArray[np.float32] = np.zeros(_OVERLAP, dtype=np.float32)
        self._frames: NDArray[np.float32] = np.ones((_MEL_FRAMES, _MELS), dtype=np.float32)

    def feed(self, samples: NDArray[np.int16]) -> list[NDArray[np.float32]]:
        """Take the next piece of mono sound at 16 kHz; return the embeddings that it completes."""
        self._sound = np.concatenate([self._sound, np.asarray(samples, dtype=np.float32)])
        found: list[NDArray[np.float32]] = []
        while len(self._sound) >= STEP + _OVERLAP:
            mel: Any = self._mel.run(None, {'input': self._sound[None, : STEP + _OVERLAP]})[0]
            self._sound = self._sound[STEP:]
            fresh = mel.reshape(-1, _MELS) / 10.0 + 2.0
            self._frames = np.concatenate([self._frames, fresh])[-_MEL_FRAMES:].astype(np.float32)
            embedding: Any = self._embed.run(None, {'input_1': self._frames[None, :, :, None]})[0]
            found.append(np.asarray(embedding, dtype=np.float32).reshape(_SIZE))
        return found


@dataclass(frozen=True, slots=True)
class StopNetwork:
    """
    Two layers over the last embeddings: a score above 0 means that a stop word has just ended.

    Attributes
    ----------
    mean, scale : (96,) float32
        Standardise an embedding.
    hidden : (context * 96, H) float32
    hidden_bias, out : (H,) float32
    out_bias : float
    context : int
        Embeddings that it sees.

    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    hidden: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    out: NDArray[np.float32]
    out_bias: float
    context: int

    @classmethod
    def load(cls, path: Path = _WEIGHTS) -> StopNetwork:
        """Read the weights; raise ModelFileError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: np.asarray(stored[name], dtype=np.float32) for name in stored.files}
            context = len(arrays['hidden']) // _SIZE
            out_bias = float(arrays.pop('out_bias'))
            return cls(out_bias=out_bias, context=context, **arrays)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFileError(
                f'{path} holds no weights of the stop word network: install the package again'
            ) from error

    def score(self, embeddings: NDArray[np.float32]) -> float:
        """Return the score of ``(context, 96)`` embeddings, oldest first."""
        inputs = ((embeddings - self.mean) / self.scale).reshape(-1)
        return float(np.maximum(inputs @ self.hidden + self.hidden_bias, 0.0) @ self.out + self.out_bias)


class EmbeddingSpotter:
    """Score of the sound heard last, every 80 ms."""

    def __init__(self, embedding: SpeechEmbedding, network: StopNetwork) -> None:
        self._embedding = embedding
        self._network = network
        self._last: deque[NDArray[np.float32]] = deque(maxlen=network.context)

    def feed(self, samples: NDArray[np.int16]) -> list[float]:
        """Take the next piece of mono sound at 16 kHz; return the scores of the steps that it completes."""
        scores: list[float] = []
        for embedding in self._embedding.feed(samples):
            self._last.append(embedding)
            if len(self._last) == self._network.context:
                scores.append(self._network.score(np.stack(self._last)))
        return scores
