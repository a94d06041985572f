# SPDX-License-Identifier: Apache-2.0
"""What this machine must have before anything can be built, and how to get what it lacks."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from provision.commands import SetupError, Shell


@dataclass(frozen=True)
class Need:
    """One thing of the system: how to see that it is there, its Debian package, and why it is wanted."""

    name: str
    package: str
    why: str
    is_there: Callable[[], bool]
    is_required: bool = True


def _program(name: str, package: str, why: str) -> Need:
    return Need(name, package, why, lambda: shutil.which(name) is not None)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _has_software_renderer() -> bool:
    folders = [*Path('/usr/lib').glob('*-linux-gnu'), Path('/usr/lib64'), Path('/usr/lib')]
    return any(next(folder.glob(name), None) for folder in folders for name in ('dri/swrast_dri.so', 'libgallium-*.so'))


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get('CXX') or 'g++', 'g++', 'c++', 'clang++'))


def needs() -> list[Need]:
    """List what the build and the simulated cell use from the system."""
    headers = Path(sysconfig.get_path('include')) / 'Python.h'
    version = sysconfig.get_python_version()
    return [
        Need('a C++ compiler', 'g++', 'llama.cpp and the message types are compiled', _has_compiler),
        _program('cmake', 'cmake', 'it drives both builds'),
        _program('make', 'make', 'it runs both builds'),
        _program('git', 'git', 'reports name the commit that they were made from'),
        Need('venv', f'python{version}-venv', 'everything goes into .venv', lambda: find_spec('ensurepip') is not None),
        Need('Python.h', f'python{version}-dev', 'the message types are Python extensions', headers.is_file),
        Need('libEGL.so.1', 'libegl1', 'the cell draws without a display', lambda: _loads('libEGL.so.1'), False),
        Need('a software OpenGL', 'libgl1-mesa-dri', 'the cell draws without a GPU', _has_software_renderer, False),
    ]


def lacking() -> list[Need]:
    """List the needs that this machine does not meet."""
    return [need for need in needs() if not need.is_there()]


def install_prefix() -> list[str] | None:
    """Return the words in front of apt-get with which packages may be installed here, or None."""
    if shutil.which('apt-get') is None:
        return None
    if os.geteuid() == 0:
        return []
    if (
        shutil.which('sudo')
        and subprocess.run(['sudo', '-n', 'true'], capture_output=True, check=False).returncode == 0
    ):
        return ['sudo', '-n']
    return None


def install(missing: list[Need], shell: Shell) -> list[Need]:
    """Install what is lacking where that is allowed; return what is lacking still."""
    prefix = install_prefix()
    if prefix is None:
        return missing
    quiet = [*prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q']
    packages = [need.package for need in missing]
    try:
        shell.run([*quiet, 'install', '-y', '--no-install-recommends', *packages])
    except SetupError:  # an image without package lists: fetch them, then once more
        try:
            shell.run([*quiet, 'update'])
            shell.run([*quiet, 'install', '-y', '--no-install-recommends', *packages])
        except SetupError:
            return [need for need in missing if not need.is_there()]
    return [need for need in missing if not need.is_there()]


def advice(missing: list[Need]) -> str:
    """Say what is lacking, why it matters, and the one line that mends it."""
    lines = [f'  {need.name}: {need.why} (Debian, Ubuntu: {need.package})' for need in missing]
    packages = ' '.join(need.package for need in missing)
    return '\n'.join([*lines, f'  run: sudo apt-get update && sudo apt-get install -y {packages}'])
