# SPDX-License-Identifier: Apache-2.0
"""
Let a bare ``gemma4`` use ROS 2 from any folder, whether or not something was sourced.

Shared libraries of message types are found by variables that a process reads when it starts, so a process that lacks
them starts itself once more. Commands that need no ROS never call this. scripts/with_env.sh says the same for shells.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from gemma4_ros.core.errors import ConfigError

PACKAGE = 'gemma4_ros'
MARK = 'GEMMA4_ENVIRONMENT'
DEFAULTS = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
_INDEX = Path('share', 'ament_index', 'resource_index', 'packages', PACKAGE)
_HERE = Path(__file__).resolve()


def overlay() -> Path | None:
    """Return the colcon prefix of this copy of the code: beside the source tree, or the one that holds it."""
    beside = _HERE.parents[2] / 'install' / PACKAGE
    around = [folder for folder in _HERE.parents if (folder / _INDEX).is_file()]
    return next((folder for folder in (beside, *around) if (folder / _INDEX).is_file()), None)


def _entries(environment: Mapping[str, str], name: str) -> list[str]:
    return [entry for entry in environment.get(name, '').split(os.pathsep) if entry]


def _prepend(environment: dict[str, str], name: str, entry: Path) -> None:
    entries = _entries(environment, name)
    if str(entry) not in entries:
        environment[name] = os.pathsep.join([str(entry), *entries])


def _is_ready(environment: Mapping[str, str], prefixes: list[str]) -> bool:
    libraries = _entries(environment, 'LD_LIBRARY_PATH')
    return any((Path(prefix) / _INDEX).is_file() and str(Path(prefix, 'lib')) in libraries for prefix in prefixes)


def ros_environment(environment: Mapping[str, str], prefix: Path, venv: Path) -> dict[str, str]:
    """Return the environment with our overlay, the wheels where they are used, and our defaults in it."""
    result = dict(environment)
    has_wheels = (venv / 'share' / 'ament_index').is_dir()
    if has_wheels:
        result['AMENT_PREFIX_PATH'] = str(venv)
    _prepend(result, 'AMENT_PREFIX_PATH', prefix)
    _prepend(result, 'LD_LIBRARY_PATH', prefix / 'lib')
    version = f'python{sys.version_info[0]}.{sys.version_info[1]}'
    _prepend(result, 'PYTHONPATH', prefix / 'lib' / version / 'site-packages')
    _prepend(result, 'PATH', venv / 'bin')
    if has_wheels and str(venv / 'lib') not in _entries(result, 'LD_LIBRARY_PATH'):
        result.pop('_ROS_WHEELS_BOOTSTRAP_COMPLETE', None)
    return {**DEFAULTS, **result}


def _unsourced_distribution(environment: Mapping[str, str]) -> Path | None:
    """Return the setup.sh of the distribution that `make setup` found, if this shell has not sourced it."""
    note = Path(sys.prefix) / '.setup' / 'distribution.json'
    if not note.is_file():
        return None
    prefix = json.loads(note.read_text(encoding='utf-8'))['prefix']
    script = Path(prefix) / 'setup.sh'
    return script if prefix not in _entries(environment, 'AMENT_PREFIX_PATH') and script.is_file() else None


def _start_again(environment: dict[str, str]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    words = [sys.executable, *sys.orig_argv[1:]]
    script = _unsourced_distribution(environment)
    if script is not None:  # sourcing needs a shell; the new process then adds the overlay in front
        environment.pop(MARK, None)
        os.execvpe('sh', ['sh', '-c', '. "$0" && exec "$@"', str(script), *words], environment)
    os.execve(words[0], words, environment)


def ensure_ros_environment() -> None:
    """
    Return once this process can use ROS 2 and our message types; start it again with the right variables if need be.

    Raises ConfigError where there is no ROS 2, or our message types are not built. Call it first thing, before threads
    or files are open: nothing of the process survives but its arguments.
    """
    if _is_ready(os.environ, _entries(os.environ, 'AMENT_PREFIX_PATH')):
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        return
    if MARK not in os.environ:
        prefix = overlay()
        if prefix is None:
            raise ConfigError(
                'the message types of gemma4_ros are not built: run `make setup` in the source tree, '
                'or source the install/setup.bash of the workspace that holds them'
            )
        _start_again({**ros_environment(os.environ, prefix, Path(sys.prefix)), MARK: '1'})
    raise ConfigError(
        'ROS 2 cannot be set up from here: run `make setup`, or source your ROS 2 distribution and install/'
    )


def require_rclpy() -> None:
    """Raise ConfigError where rclpy cannot be imported."""
    if find_spec('rclpy') is None:
        raise ConfigError(
            'there is no ROS 2 here: run `make setup` in the source tree, or source your ROS 2 distribution'
        )
