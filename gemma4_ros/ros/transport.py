# SPDX-License-Identifier: Apache-2.0
"""
Which Fast DDS transports a process uses: shared memory only where pictures pass.

A writer puts messages for a reader on the same machine into a queue in shared memory, under a lock that both processes
hold in turn (Fast DDS, ``SharedMemManager::Port::try_push``). A process that is killed, or stopped, while it holds the
lock makes every peer that writes to it wait, in our measurements 1 to 3 s, and with it the reader's lock that the
peer's own callbacks need. A deadman must not wait for the dead: gate, deadman and whatever handles no picture use UDP.

`ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST` makes rmw_fastrtps set up shared memory and UDP whatever
FASTDDS_BUILTIN_TRANSPORTS says (``create_participant`` in rmw_fastrtps_shared_cpp), so there the range is given by a
profile of Fast DDS instead (``config/fastdds``), with the same reach: this machine. docs/adr/0016 has the figures.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.ros import gate_files

__all__ = ['apply', 'choose', 'folder']

PROFILE, BUILTIN, RANGE = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTDDS_BUILTIN_TRANSPORTS', 'ROS_AUTOMATIC_DISCOVERY_RANGE'
SMALL, LARGE = 'UDPv4', 'DEFAULT?sockets_size=8MB'
OTHERS = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'ROS_STATIC_PEERS')
"""Set by a person, these decide for themselves."""


def folder() -> Path:
    """Return the folder of the profiles; raise ConfigError where the package has none."""
    return gate_files.config_folder() / 'fastdds'


def choose(environment: Mapping[str, str], *, pictures: bool) -> dict[str, str]:
    """
    Return the variables that the process must have before ROS starts in it.

    Parameters
    ----------
    environment : mapping of str
        What the process has. A profile, static peers, transports or a middleware that a person chose stay.
    pictures : bool
        Whether camera frames pass, which need the room of shared memory.

    """
    profile = environment.get(PROFILE, '')
    is_ours = bool(profile) and Path(profile).resolve().parent == folder().resolve()
    is_fast = environment.get('RMW_IMPLEMENTATION', '') in ('', 'rmw_fastrtps_cpp', 'rmw_fastrtps_dynamic_cpp')
    if not is_fast or (profile and not is_ours) or any(environment.get(name) for name in OTHERS):
        return {}
    wanted = folder() / ('pictures.xml' if pictures else 'small.xml')
    if is_ours or _is_local(environment):
        if not wanted.is_file():  # without it, Fast DDS would take every interface
            raise ConfigError(f'{wanted} is missing: install the package again')
        return {PROFILE: str(wanted), RANGE: 'SYSTEM_DEFAULT', 'ROS_LOCALHOST_ONLY': '0'}
    if environment.get(BUILTIN, SMALL) not in (SMALL, LARGE):
        return {}
    return {BUILTIN: LARGE if pictures else SMALL}


def _is_local(environment: Mapping[str, str]) -> bool:
    return environment.get(RANGE, '').upper() == 'LOCALHOST' or environment.get('ROS_LOCALHOST_ONLY') == '1'


def apply(*, pictures: bool = False) -> None:
    """Set what `choose` says in this process; call it before the first context of ROS."""
    os.environ.update(choose(os.environ, pictures=pictures))
