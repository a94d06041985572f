# SPDX-License-Identifier: Apache-2.0
"""Where the files that belong to the package are: source tree, colcon prefix, or a wheel."""

from __future__ import annotations

from pathlib import Path

from gemma4_ros.core.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]


def _candidates() -> list[Path]:
    shares = [folder / 'share' / 'gemma4_ros' / 'config' for folder in _PACKAGE.parents]
    return [_PACKAGE.parent / 'config', *shares, _PACKAGE / 'config']


def config_dir() -> Path:
    """Return the folder config/: of the source tree, of the colcon prefix around this file, or inside the wheel."""
    for folder in _candidates():
        if (folder / 'world.yaml').is_file():
            return folder
    looked = ', '.join(str(folder) for folder in (_candidates()[0], _PACKAGE / 'config'))
    raise ConfigError(f'the configuration of gemma4_ros is missing (looked in {looked}): install the package again')


def source_root() -> Path | None:
    """Return the root of the source tree that this code runs from, or None where it was copied or installed."""
    root = _PACKAGE.parent
    return root if (root / 'package.xml').is_file() and (root / 'CMakeLists.txt').is_file() else None
