# SPDX-License-Identifier: Apache-2.0
"""Compile llama.cpp and its Python bindings for this machine, once: the wheel is kept."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from provision.commands import SetupError, Shell
from provision.stamps import digest

# LLAMA_BUILD_COMMON stays on whatever is passed with -D (the bindings' own CMakeLists.txt sets it), so a file that
# CMake includes when llama.cpp's project() is reached turns it off: no command line tools, no HTTP server.
# See docs/adr/0002-packaging-llama-cpp.md.
ONLY_LIBRARIES = 'set(LLAMA_BUILD_COMMON OFF)\n'
# A wheel that was compiled elsewhere (an image with CUDA, a build machine) is used as it is.
GIVEN = 'GEMMA4_ENGINE_WHEEL'
ARGUMENTS = ('-DLLAMA_BUILD=ON', '-DLLAVA_BUILD=OFF', '-DLLAMA_OPENSSL=OFF')


def cache_folder() -> Path:
    """Return where wheels that were compiled here are kept: XDG_CACHE_HOME, else ~/.cache."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'gemma4_ros' / 'wheels'


def _processor() -> str:
    """Return what the compiler's -march=native depends on."""
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return platform.processor()
    found = re.search(r'^(?:flags|Features)\s*:(.*)$', text, re.MULTILINE)
    return ' '.join(sorted(found[1].split())) if found else platform.processor()


def _compiler() -> str:
    name = os.environ.get('CXX') or 'g++'
    try:
        return subprocess.run([name, '-dumpfullversion'], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return 'none'


def key(root: Path) -> str:
    """Hash all that decides what the wheel holds."""
    return digest(
        [
            root / 'requirements' / 'llama.txt',
            root / 'requirements' / 'llama-build.txt',
            *ARGUMENTS,
            ONLY_LIBRARIES,
            os.environ.get('CMAKE_ARGS', ''),
            *([os.environ[GIVEN]] if os.environ.get(GIVEN) else []),
            _processor(),
            _compiler(),
            platform.machine(),
            '.'.join(platform.python_version_tuple()[:2]),
            *platform.libc_ver(),
        ]
    )


def _counted(report: Callable[[str], None]) -> Callable[[str], None]:
    def on_line(line: str) -> None:
        found = re.search(r'\[(\d+)/(\d+)\]', line)
        if found:
            report(f'compiled {found[1]} of {found[2]}')

    return on_line


def wheel(root: Path, python: Path, shell: Shell, report: Callable[[str], None]) -> Path:
    """Return the wheel for this machine, compiling it if it is not in the cache."""
    given = os.environ.get(GIVEN)
    if given:
        if not Path(given).is_file():
            raise SetupError(f'{GIVEN} names {given}, which is no file')
        return Path(given)
    kept = cache_folder() / key(root)
    found = next(iter(kept.glob('*.whl')), None)
    if found is not None:
        report('from the cache')
        return found
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix='.compiling-') as scratch:
        include = Path(scratch) / 'only_libraries.cmake'
        include.write_text(ONLY_LIBRARIES)
        arguments = [*ARGUMENTS, f'-DCMAKE_PROJECT_llama.cpp_INCLUDE={include}', os.environ.get('CMAKE_ARGS', '')]
        build_pins = str(root / 'requirements' / 'llama-build.txt')
        report('fetching the sources')
        shell.run(
            [
                *(python, '-m', 'pip', 'wheel', '-v', '--no-input', '--no-deps', '--no-cache-dir', '--require-hashes'),
                *('--no-binary', 'llama-cpp-python', '--wheel-dir', scratch),
                *('-r', root / 'requirements' / 'llama.txt'),
            ],
            extra={
                'CMAKE_ARGS': ' '.join(word for word in arguments if word),
                'CMAKE_BUILD_PARALLEL_LEVEL': str(os.cpu_count() or 1),
                'PIP_CONSTRAINT': build_pins,
                'PIP_BUILD_CONSTRAINT': build_pins,
            },
            on_line=_counted(report),
        )
        built = next(iter(Path(scratch).glob('*.whl')), None)
        if built is None:
            raise SetupError(f'pip made no wheel of llama-cpp-python; see {shell.log}')
        kept.mkdir(exist_ok=True)
        fresh = kept / f'{built.name}.part'
        shutil.copyfile(built, fresh)
        return fresh.replace(kept / built.name)
