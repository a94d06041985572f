# SPDX-License-Identifier: Apache-2.0
"""Where nodes find the files of a configuration; imports next to nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from gemma4_ros.core.errors import ConfigError

__all__ = ['CELL_TOOLS', 'audit_folder', 'config_folder', 'files_in', 'read_text']

CELL_TOOLS = ('tools/cell.yaml',)


def config_folder(given: str = '') -> Path:
    """Return the folder named, or the source tree's, or that of the installed package; raise ConfigError."""
    prefixes = [prefix for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if prefix]
    places = [Path(__file__).resolve().parents[2] / 'config']
    places += [Path(prefix) / 'share' / 'gemma4_ros' / 'config' for prefix in prefixes]
    for place in [Path(given).expanduser()] if given else places:
        if (place / 'world.yaml').is_file():
            return place
    raise ConfigError(
        f'no configuration with a world.yaml in {given or places[0]}; name the folder in the parameter config'
    )


def files_in(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return files by name: absolute, or below the configuration's folder; empty names are left out."""
    return [folder / Path(name).expanduser() for name in names if name]


def audit_folder(given: str = '') -> Path:
    """Return where audit logs lie: the folder named, or one below the user's state folder."""
    if given:
        return Path(given).expanduser()
    state = os.environ.get('XDG_STATE_HOME') or '~/.local/state'
    return Path(state).expanduser() / 'gemma4_ros' / 'audit'


def read_text(path: Path) -> str:
    """Return a file's text; raise ConfigError."""
    try:
        return path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'cannot read {path}: {error}') from None
