# SPDX-License-Identifier: Apache-2.0
"""The node ``spotter``: stop words from sound to gate and deadman; no recogniser or planner is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

from gemma4_ros.backends.spotter import PocketSpotter
from gemma4_ros.backends.spotter_embedding import EmbeddingSpotter, SpeechEmbedding, StopNetwork
from gemma4_ros.backends.spotter_pair import SpotterPair
from gemma4_ros.core.errors import AudioError, ConfigError, ModelError
from gemma4_ros.core.speech.words import STOP_PHRASES
from gemma4_ros.msg import AudioChunk, StopRequest
from gemma4_ros.ros import params, qos
from gemma4_ros.ros.audio import samples_of

__all__ = ['Spotter', 'SpotterConfig', 'SpotterNode', 'make_spotter']

STOP_TOPICS = ('gate/stop', 'deadman/stop')
DETECTORS = ('auto', 'network', 'search', 'both')


class Spotter(Protocol):
    """Hears stop words in a stream."""

    def feed(self, samples: NDArray[np.int16]) -> str | None:
        """Take the next piece of mono sound at 16 kHz; return what was heard, or None."""


@dataclass(frozen=True)
class SpotterConfig:
    """Parameters of the node; docs/speech.md says how the thresholds were found."""

    detector: str = params.param(
        'auto', doc='auto: the network, or the keyphrase search where its files are missing', choices=DETECTORS
    )
    min_score: float = params.param(
        2.5, doc='score at which the network stops; lower is more eager', low=-10.0, high=20.0
    )
    phrases: tuple[str, ...] = params.param(STOP_PHRASES, doc='stop words of the keyphrase search')
    thresholds: tuple[float, ...] = params.param(
        (-10.0, -20.0, -10.0, -20.0),
        doc='log10 of the threshold of each phrase; lower is more eager',
        low=-60.0,
        high=0.0,
    )


def make_spotter(config: SpotterConfig, warn: Callable[[str], object]) -> Spotter:
    """Load the detectors that the parameters name."""
    if len(config.phrases) != len(config.thresholds) or not config.phrases:
        raise ConfigError(
            f'parameter thresholds has {len(config.thresholds)} values for {len(config.phrases)} phrases: one each'
        )
    network: EmbeddingSpotter | None = None
    if config.detector != 'search':
        try:
            network = EmbeddingSpotter(SpeechEmbedding(), StopNetwork.load())
        except ModelError as error:
            if config.detector == 'network':
                raise
            warn(f'keyphrase search alone, which misses half of the stop words: code={error.code} {error}')
    search: PocketSpotter | None = None
    if network is None or config.detector == 'both':
        search = PocketSpotter(dict(zip(config.phrases, config.thresholds, strict=True)))
    return SpotterPair(search, network, config.min_score)


class SpotterNode(Node):
    """Sound in, stop requests out."""

    def __init__(
        self,
        make: Callable[[SpotterConfig, Callable[[str], object]], Spotter] = make_spotter,
        **kwargs: Any,
    ) -> None:
        super().__init__('spotter', **kwargs)
        params.declare(self, SpotterConfig)
        self._spotter = make(params.read(self, SpotterConfig), self.get_logger().warning)
        self._stops = [self.create_publisher(StopRequest, topic, qos.STOP) for topic in STOP_TOPICS]
        self.create_subscription(AudioChunk, 'audio', self._on_audio, qos.AUDIO)
        self.get_logger().info('listening for stop words on audio')

    def _on_audio(self, chunk: AudioChunk) -> None:
        try:
            heard = self._spotter.feed(samples_of(chunk))
        except AudioError as error:
            self.get_logger().warning(f'code={error.code} {error}', throttle_duration_sec=10.0)
            return
        if heard is None:
            return
        request = StopRequest(stamp=self.get_clock().now().to_msg(), source='spotter', reason=f'spoken: {heard}'[:256])
        for topic in self._stops:
            topic.publish(request)
        self.get_logger().info(f'stop heard="{heard}"')
