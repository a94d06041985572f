# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 distribution that the shell has sourced, if there is one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

# Kept as the distribution has them: its message types and its build were compiled against these.
HELD = ('numpy', 'PyYAML', 'setuptools', 'empy', 'lark', 'catkin_pkg', 'packaging', 'pytest')
RECORD = 'distribution.json'


@dataclass(frozen=True)
class Distribution:
    """The sourced distribution: its name and the folder whose setup.sh was sourced last."""

    name: str
    prefix: str


def find(environment: Mapping[str, str], root: Path) -> Distribution | None:
    """Return the distribution whose rclpy this Python imports; wheels in our own venv are none."""
    prefixes = [Path(p) for p in environment.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    outside = [p for p in prefixes if root not in (p, *p.parents)]
    if not outside:
        return None
    spec = find_spec('rclpy')
    if spec is None or spec.origin is None or root in Path(spec.origin).parents:
        name = environment.get('ROS_DISTRO', 'of unknown name')
        print(
            f'setup: ROS 2 {name} is sourced, but Python {sys.version_info[0]}.{sys.version_info[1]} cannot import '
            'its rclpy; using wheels. To use the distribution run its own Python: make setup PYTHON=/usr/bin/python3'
        )
        return None
    return Distribution(environment.get('ROS_DISTRO', 'unknown'), str(outside[0]))


def source_again(venv: Path, environment: Mapping[str, str]) -> None:
    """Source the distribution that the venv was made with, if this shell has none."""
    record = venv / '.setup' / RECORD
    if not record.is_file() or 'GEMMA4_SOURCED' in environment:
        return
    script = Path(json.loads(record.read_text())['prefix']) / 'setup.sh'
    if not environment.get('AMENT_PREFIX_PATH') and script.is_file():
        words = ['sh', '-c', '. "$0" && GEMMA4_SOURCED=1 exec "$@"', str(script), sys.executable, *sys.argv]
        os.execvp('sh', words)


def write(distribution: Distribution | None, venv: Path) -> None:
    """Leave a note for scripts/with_env.sh and for the next setup."""
    record = venv / '.setup' / RECORD
    record.unlink(missing_ok=True)
    if distribution is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(asdict(distribution)) + '\n')


def constraints(root: Path) -> str:
    """Write pip constraints: what the distribution holds stays, the rest as in our lock for its numpy."""
    held = {}
    for name in HELD:
        try:
            held[name.lower()] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    is_old = held.get('numpy', '').startswith('1.')
    lock = root / 'requirements' / ('ubuntu-24.04.txt' if is_old else 'base.txt')
    lines = [f'{name}=={version}' for name, version in held.items()]
    for line in lock.read_text().splitlines():
        pin = line.rstrip('\\ ')
        if pin[:1].isalnum() and pin.split('==')[0].lower() not in held:
            lines.append(pin)
    return '\n'.join(lines) + '\n'
