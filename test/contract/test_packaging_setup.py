# SPDX-License-Identifier: Apache-2.0
"""`make setup` does again what has changed, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'scripts'))

import setup_env  # noqa: E402
from provision import distribution, engine, interpreter, machine, steps  # noqa: E402
from provision.commands import SetupError, Shell  # noqa: E402
from provision.stamps import Stamps, digest  # noqa: E402


@pytest.fixture
def clone(tmp_path: Path) -> steps.Place:
    """Return a copy of the files that setup's keys are made from, with every step marked as done."""
    for name in ('requirements', 'msg', 'srv', 'action', 'scripts'):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in (
        'package.xml',
        'CMakeLists.txt',
        'setup.py',
        'pyproject.toml',
        'config/nodes.txt',
        'launch/node_executable.py.in',
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for made in ('.venv/bin/python', '.venv/bin/gemma4', 'install/gemma4_ros/share/gemma4_ros/package.xml'):
        (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).touch()
    place = steps.Place(tmp_path, Shell(tmp_path / 'build' / 'setup.log', os.environ, tmp_path), None)
    for step in steps.all_steps(place):
        place.stamps.write(step.name, step.key)
    return place


def _todo(place: steps.Place) -> list[str]:
    return [step.name for step in setup_env.pending(place)]


def test_nothing_is_done_twice(clone: steps.Place) -> None:
    assert _todo(clone) == []


@pytest.mark.parametrize(
    ('file', 'names'),
    [
        ('requirements/base.txt', ['packages']),
        ('requirements/dev.txt', ['tools']),
        ('requirements/llama.txt', ['engine']),
        ('requirements/llama-build.txt', ['engine']),
        ('requirements/ros-kilted.txt', ['ros', 'workspace']),
        ('msg/GateState.msg', ['workspace']),
        ('CMakeLists.txt', ['workspace']),
        ('config/nodes.txt', ['workspace']),
        ('package.xml', ['workspace', 'command']),
        ('setup.py', ['command']),
    ],
)
def test_a_change_does_only_its_own_steps_again(clone: steps.Place, file: str, names: list[str]) -> None:
    with (clone.root / file).open('a') as stream:
        stream.write('\n# changed\n')
    assert _todo(clone) == names


def test_a_new_interface_builds_the_messages_again(clone: steps.Place) -> None:
    (clone.root / 'msg' / 'Fresh.msg').write_text('bool is_fresh\n')
    assert _todo(clone) == ['workspace']


def test_a_removed_overlay_is_built_again(clone: steps.Place) -> None:
    shutil.rmtree(clone.root / 'install')
    assert _todo(clone) == ['workspace']


def test_a_removed_virtual_environment_means_everything(clone: steps.Place) -> None:
    shutil.rmtree(clone.venv)
    assert _todo(clone) == ['venv', 'ros', 'packages', 'tools', 'engine', 'workspace', 'command']


def test_a_sourced_distribution_replaces_the_wheels(clone: steps.Place) -> None:
    beside = steps.Place(clone.root, clone.shell, distribution.Distribution('jazzy', '/opt/ros/jazzy'))
    assert _todo(beside) == ['venv', 'packages', 'engine', 'workspace', 'command']


def test_an_interrupted_setup_goes_on_with_the_step_that_it_was_at(clone: steps.Place) -> None:
    done: list[str] = []

    def ends(name: str, *, well: bool) -> steps.Step:
        def work(_report: steps.Report) -> None:
            done.append(name)
            if not well:
                raise KeyboardInterrupt

        return steps.Step(name, name, 'key', 1.0, work)

    first = [ends('one', well=True), ends('two', well=False), ends('three', well=True)]
    with pytest.raises(KeyboardInterrupt):
        setup_env.carry_out(clone, first)
    assert done == ['one', 'two']
    assert [clone.stamps.matches(name, 'key') for name in ('one', 'two', 'three')] == [True, False, False]


def test_a_failed_program_shows_its_last_lines_and_where_the_rest_is(tmp_path: Path) -> None:
    shell = Shell(tmp_path / 'log', os.environ, tmp_path)
    script = 'for number in range(100): print("line", number)\nraise SystemExit(7)'
    with pytest.raises(SetupError) as caught:
        shell.run([sys.executable, '-c', script])
    text = str(caught.value)
    assert 'ended with code 7' in text
    assert 'line 99' in text
    assert 'line 50' not in text
    assert str(tmp_path / 'log') in text
    assert 'line 50' in (tmp_path / 'log').read_text()


def test_the_wheel_of_the_engine_is_kept_by_pin_arguments_and_processor(
    clone: steps.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = engine.key(clone.root)
    assert engine.key(clone.root) == before
    monkeypatch.setenv('CMAKE_ARGS', '-DGGML_CUDA=ON')
    assert engine.key(clone.root) != before
    monkeypatch.delenv('CMAKE_ARGS')
    monkeypatch.setattr(engine, '_processor', lambda: 'another')
    assert engine.key(clone.root) != before


def test_what_the_machine_lacks_is_named_with_one_line_that_mends_it() -> None:
    needs = [need for need in machine.needs() if need.package in ('g++', 'libegl1')]
    text = machine.advice(needs)
    assert 'a C++ compiler' in text
    assert text.splitlines()[-1].endswith('apt-get install -y g++ libegl1')


def test_without_the_right_to_install_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, 'install_prefix', lambda: None)
    needs = machine.needs()[:2]
    assert machine.install(needs, Shell(tmp_path / 'log', {}, tmp_path)) == needs


@pytest.mark.parametrize(('version', 'is_right'), [((3, 9), False), ((3, 10), True), ((3, 13), True), ((3, 14), False)])
def test_pythons_that_have_wheels_fit(version: tuple[int, int], *, is_right: bool) -> None:
    assert interpreter.fits(version) == is_right


def test_our_own_wheels_are_no_distribution() -> None:
    assert distribution.find({'AMENT_PREFIX_PATH': f'{ROOT}/install/gemma4_ros:{ROOT}/.venv'}, ROOT) is None
    assert distribution.find({}, ROOT) is None


def test_constraints_beside_a_distribution_keep_what_it_has() -> None:
    lines = distribution.constraints(ROOT).splitlines()
    names = [line.split('==')[0].lower() for line in lines if ' ; ' not in line]
    assert 'numpy' in names
    assert len(names) == len(set(names)), 'a name held twice cannot be met'


def test_keys_follow_contents_not_times(tmp_path: Path) -> None:
    path = tmp_path / 'file'
    path.write_text('one')
    before = digest([path])
    os.utime(path, (1, 1))
    assert digest([path]) == before
    path.write_text('two')
    assert digest([path]) != before
    stamps = Stamps(tmp_path / 'stamps')
    stamps.write('step', before)
    assert stamps.matches('step', before)
    stamps.clear('step')
    assert not stamps.matches('step', before)


@pytest.mark.ros
def test_warm_setup_takes_less_than_two_seconds() -> None:
    if not (ROOT / '.venv' / '.setup' / 'command').is_file():
        pytest.skip('this environment was not made by `make setup`')
    started_s = time.monotonic()
    done = subprocess.run(['make', 'setup'], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    if not done.stdout:  # it may have had work to do, if a file was edited since
        assert time.monotonic() - started_s < 2.0 * 5, 'the limit is ten times what it takes on an idle machine'
