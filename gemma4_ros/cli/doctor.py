# SPDX-License-Identifier: Apache-2.0
"""``gemma4 doctor``: what is missing on this machine, each with the command that mends it."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import psutil
import typer

from gemma4_ros.backends.model_store import ModelStore, cache_folder
from gemma4_ros.backends.profiles import load_profiles
from gemma4_ros.backends.spotter_files import EMBEDDING
from gemma4_ros.backends.whisper_files import TINY_EN
from gemma4_ros.cli.console_output import DONE, NOT_RUNNING, show, show_json
from gemma4_ros.cli.environment import overlay
from gemma4_ros.core.errors import Gemma4Error
from gemma4_ros.ros import transport

__all__ = ['Finding', 'doctor', 'examine']

DISK_BYTES, MEMORY_BYTES = 3_000_000_000, 4_000_000_000
SHARED_MEMORY = Path('/dev/shm')


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `level` is ok, warning or missing; `mend` the command that mends it."""

    name: str
    level: str
    text: str
    mend: str = ''


def examine() -> Iterator[Finding]:
    """Look at this machine; starts and changes nothing."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python, _venv, _ros, _overlay, _engine, _model, _speech, _egl, _disk, _memory, _discovery, _transport,
        _shared_memory,
    )  # fmt: skip
    for check in checks:
        yield check()


def _found(name: str, good: bool, text: str, mend: str, level: str = 'missing') -> Finding:
    return Finding(name, 'ok', text) if good else Finding(name, level, text, mend)


def _python() -> Finding:
    version = '.'.join(str(number) for number in sys.version_info[:3])
    good = (3, 10) <= sys.version_info[:2] < (3, 14)
    return _found('python', good, f'{version} (wanted 3.10 to 3.13)', 'make setup PYTHON=python3.11')


def _venv() -> Finding:
    return _found('venv', sys.prefix != sys.base_prefix, sys.prefix, 'make setup', 'warning')


def _ros() -> Finding:
    good = find_spec('rclpy') is not None
    return _found('ros', good, 'rclpy is here' if good else 'rclpy is missing', 'make setup')


def _overlay() -> Finding:
    prefix = overlay()
    return _found('message types', prefix is not None, str(prefix or 'not built'), 'make build')


def _engine() -> Finding:
    lacking = [name for name in ('llama_cpp', 'llguidance') if find_spec(name) is None]
    return _found('engine', not lacking, ', '.join(lacking) + ' missing' if lacking else 'llama.cpp', 'make setup')


def _model() -> Finding:
    try:
        profile, store = load_profiles().get(''), ModelStore()
        store.check_size(profile)
    except Gemma4Error as error:
        return Finding('language model', 'missing', str(error), 'make models')
    return Finding('language model', 'ok', f'{profile.id}: {store.path(profile)}')


def _speech() -> Finding:
    files = [Path(each.folder / file) for each in (TINY_EN, EMBEDDING) for file in each.files]
    lacking = [str(path) for path in files if not path.is_file()]
    text = f'missing: {", ".join(lacking)}' if lacking else 'recogniser and stop-word spotter'
    return _found('speech models', not lacking, text, 'make models')


def _egl() -> Finding:
    try:
        ctypes.CDLL('libEGL.so.1')
    except OSError:
        mend = 'sudo apt-get install -y libegl1 libgl1-mesa-dri'
        return Finding('OpenGL', 'warning', 'no libEGL: the simulated cell has no cameras', mend)
    return Finding('OpenGL', 'ok', 'libEGL')


def _disk() -> Finding:
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f'{free / 1e9:.1f} GB free below {folder} (wanted {DISK_BYTES / 1e9:.0f})'
    return _found('disk', free >= DISK_BYTES, text, f'df -h {folder}', 'warning')


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    text = f'{free / 1e9:.1f} GB free (wanted {MEMORY_BYTES / 1e9:.0f}), {os.cpu_count()} cores'
    return _found('memory', free >= MEMORY_BYTES, text, 'gemma4 model list', 'warning')


def _discovery() -> Finding:
    reach = os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    good = reach in ('LOCALHOST', 'OFF')
    text = f'ROS_AUTOMATIC_DISCOVERY_RANGE={reach}' + (
        '' if good else ': every machine of the network may call the gate'
    )
    return _found('network', good, text, 'export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST', 'warning')


def _transport() -> Finding:
    names = ('FASTDDS_BUILTIN_TRANSPORTS', 'FASTDDS_DEFAULT_PROFILES_FILE', *transport.OTHERS, 'RMW_IMPLEMENTATION')
    said = [f'{name}={os.environ[name]}' for name in names if os.environ.get(name)]
    if transport.choose(os.environ, pictures=False):
        return Finding('transports', 'ok', 'chosen by each node: UDP, and shared memory where pictures pass')
    text = f'{", ".join(said)}: where that means shared memory, a killed process can stall the deadman for seconds'
    return Finding('transports', 'warning', text, f'unset {" ".join(item.partition("=")[0] for item in said)}')


def _shared_memory() -> Finding:
    """Look for ports that a killed process left half made: who uses such a port waits for ever."""
    broken = [
        path for path in SHARED_MEMORY.glob('fastdds_port*') if path.name[12:].isdigit() and not path.stat().st_size
    ]
    names = ' '.join(str(path) for path in sorted(broken))
    text = f'{len(broken)} ports of a killed process: nodes that use one hang' if broken else f'{SHARED_MEMORY} is well'
    return _found('shared memory', not broken, text, f'rm {names}', 'warning')


def doctor(
    as_json: Annotated[bool, typer.Option('--json', help='one JSON document on standard output')] = False,
) -> None:
    """Say what is missing on this machine, with the mending command. Exit 6 if something is. Example: gemma4 doctor"""
    findings = list(examine())
    is_whole = not any(finding.level == 'missing' for finding in findings)
    if as_json:
        show_json({'ok': is_whole, 'findings': [asdict(finding) for finding in findings]})
    for finding in [] if as_json else findings:
        show(
            f'{finding.level:<8} {finding.name}: {finding.text}'
            + (f'\n         mend: {finding.mend}' if finding.mend else '')
        )
    raise typer.Exit(DONE if is_whole else NOT_RUNNING)
