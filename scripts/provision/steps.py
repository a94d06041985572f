# SPDX-License-Identifier: Apache-2.0
"""The steps of `make setup`, each with the key that says whether it must be done again."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provision import distribution, engine
from provision.commands import Shell
from provision.distribution import Distribution
from provision.stamps import Stamps, digest

Report = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One step: what it is called, what it depends on, how long it usually takes, and its work."""

    name: str
    title: str
    key: str
    typical_s: float
    work: Callable[[Report], None]
    is_there: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Place:
    """Where things are put, and with what."""

    root: Path
    shell: Shell
    ros: Distribution | None

    @property
    def venv(self) -> Path:
        """Return the virtual environment's folder."""
        return self.root / '.venv'

    @property
    def python(self) -> Path:
        """Return the virtual environment's Python."""
        return self.venv / 'bin' / 'python'

    @property
    def stamps(self) -> Stamps:
        """Return the notes on what is done; they go away with the virtual environment."""
        return Stamps(self.venv / '.setup')

    def requirements(self, name: str) -> Path:
        """Return a file of requirements/."""
        return self.root / 'requirements' / name


def _venv_step(place: Place) -> Step:
    version = '.'.join(str(part) for part in sys.version_info[:3])
    kind = ['--system-site-packages'] if place.ros else []
    key = digest([version, str(place.root), place.ros.prefix if place.ros else ''])

    def work(_report: Report) -> None:
        # One that was made by hand for this folder, this Python and this purpose will do.
        path = place.venv / 'pyvenv.cfg'
        text = path.read_text() if path.is_file() and not place.stamps.folder.exists() else ''
        system = f'include-system-site-packages = {"true" if kind else "false"}'
        if not all(line in text for line in (f'version = {version}', f' -m venv {place.venv}', system)):
            shutil.rmtree(place.venv, ignore_errors=True)
            place.shell.run([sys.executable, '-m', 'venv', *kind, place.venv])
        distribution.write(place.ros, place.venv)

    return Step('venv', 'virtual environment .venv', key, 4, work, place.python.exists)


def _pins(path: Path) -> int:
    return sum(1 for line in path.read_text().splitlines() if line[:1].isalnum())


def _install(place: Place, arguments: list[str | Path], total: int) -> Callable[[Report], None]:
    def work(report: Report) -> None:
        seen: set[str] = set()

        def on_line(line: str) -> None:
            found = re.match(r'\s*(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)', line)
            if found:
                seen.add(found[1])
                report(f'{min(len(seen), total)} of {total} packages')
            elif line.startswith('Installing collected'):
                report('unpacking')

        place.shell.run([place.python, '-m', 'pip', 'install', '--no-input', *arguments], on_line=on_line)

    return work


def _wheels_step(place: Place, name: str, title: str, file: str, typical_s: float) -> Step:
    path = place.requirements(file)
    arguments: list[str | Path] = ['--no-deps', '--require-hashes', '-r', path]
    return Step(name, title, digest([path]), typical_s, _install(place, arguments, _pins(path)))


def _beside_distribution(place: Place) -> Step:
    limits = distribution.constraints(place.root)
    sources = [place.requirements('base.in'), place.requirements('dev.in')]
    path = place.root / 'build' / 'constraints.txt'

    def work(report: Report) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(limits)
        arguments: list[str | Path] = ['-c', path]
        for source in sources:
            arguments += ['-r', source]
        if shutil.which('colcon') is None:
            arguments += ['colcon-core', 'colcon-cmake', 'colcon-ros']
        _install(place, arguments, _pins(path))(report)

    return Step('packages', 'Python packages beside the distribution', digest([*sources, limits]), 40, work)


def _engine_step(place: Place) -> Step:
    def work(report: Report) -> None:
        wheel = engine.wheel(place.root, place.python, place.shell, report)
        command = ['-m', 'pip', 'install', '--no-input', '--no-deps', '--no-index', '--force-reinstall', str(wheel)]
        place.shell.run([place.python, *command])

    return Step('engine', 'llama.cpp, compiled for this processor', engine.key(place.root), 160, work)


def _remove_copies(root: Path) -> None:
    """Remove copies of the code that an earlier build without GEMMA4_PYTHON_IN_PLACE left in the overlay."""
    names = [path.name for path in (root / 'gemma4_ros').iterdir() if path.is_dir()]
    for package in (root / 'install' / 'gemma4_ros').glob('lib/python*/site-packages/gemma4_ros'):
        for name in names:
            shutil.rmtree(package / name, ignore_errors=True)


def _percent(report: Report) -> Callable[[str], None]:
    def on_line(line: str) -> None:
        found = re.match(r'\[ *(\d+)%\]', line)
        if found:
            report(f'{found[1]} %')

    return on_line


def _workspace_step(place: Place) -> Step:
    root, venv = place.root, place.venv
    numpy = [line for line in place.requirements('base.txt').read_text().splitlines() if line.startswith('numpy==')]
    prefix = place.ros.prefix if place.ros else str(venv)
    basis = digest([str(root), sys.version, prefix, place.requirements('ros-kilted.txt'), *numpy])
    sources = [path for folder in ('msg', 'srv', 'action') for path in sorted((root / folder).iterdir())]
    sources += [root / 'CMakeLists.txt', root / 'package.xml', root / 'config' / 'nodes.txt']
    sources += [root / 'launch' / 'node_executable.py.in', root / 'scripts' / 'overlay_init.py.in']

    def work(report: Report) -> None:
        built_on = Stamps(root / 'build' / 'gemma4_ros')
        if not built_on.matches('.basis', basis):
            shutil.rmtree(built_on.folder, ignore_errors=True)
        colcon = venv / 'bin' / 'colcon'
        options = {
            'GEMMA4_PYTHON_ONLY': 'ON',
            'GEMMA4_PYTHON_IN_PLACE': 'ON',
            'BUILD_TESTING': 'OFF',
            'Python3_EXECUTABLE': str(place.python),
        }
        wheels = {'AMENT_PREFIX_PATH': str(venv), 'CMAKE_PREFIX_PATH': str(venv), 'PYTHONPATH': ''}
        place.shell.run(
            [
                *(colcon if colcon.exists() else 'colcon', 'build', '--base-paths', root),
                *('--event-handlers', 'console_direct+'),
                *('--cmake-args', *(f'-D{name}={value}' for name, value in options.items())),
            ],
            extra={
                **({} if place.ros else wheels),
                'PATH': f'{venv / "bin"}{os.pathsep}{place.shell.environment.get("PATH", "")}',
                'MAKEFLAGS': f'-j{os.cpu_count() or 1}',
            },
            on_line=_percent(report),
        )
        _remove_copies(root)
        built_on.write('.basis', basis)

    is_built = (root / 'install' / 'gemma4_ros' / 'share' / 'gemma4_ros' / 'package.xml').is_file
    return Step('workspace', 'message types (colcon build)', digest([basis, *sources]), 45, work, is_built)


def _command_step(place: Place) -> Step:
    root = place.root
    description = [root / 'setup.py', root / 'pyproject.toml', root / 'package.xml']

    def work(_report: Report) -> None:
        arguments = ['--no-deps', '--no-build-isolation', '-e', str(root)]
        place.shell.run([place.python, '-m', 'pip', 'install', '--no-input', *arguments])
        # The overlay's msg, srv and action come in from anywhere, without sourcing; the rest is the source tree.
        version = f'python{sys.version_info[0]}.{sys.version_info[1]}'
        overlay = root / 'install' / 'gemma4_ros' / 'lib' / version / 'site-packages'
        (place.venv / 'lib' / version / 'site-packages' / 'zz_gemma4_ros_overlay.pth').write_text(f'{overlay}\n')

    return Step('command', 'the command gemma4', digest(description), 5, work, (place.venv / 'bin' / 'gemma4').exists)


def all_steps(place: Place) -> list[Step]:
    """Return the steps in their order."""
    if place.ros:
        packages = [_beside_distribution(place)]
    else:
        packages = [
            _wheels_step(place, 'ros', 'ROS 2 Kilted from wheels', 'ros-kilted.txt', 35),
            _wheels_step(place, 'packages', 'Python packages', 'base.txt', 40),
            _wheels_step(place, 'tools', 'tools for tests and lint', 'dev.txt', 15),
        ]
    return [_venv_step(place), *packages, _engine_step(place), _workspace_step(place), _command_step(place)]
