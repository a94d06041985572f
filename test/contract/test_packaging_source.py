# SPDX-License-Identifier: Apache-2.0
"""There is one copy of the code, one version and one list of nodes, whatever was sourced and wherever one stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gemma4_ros.cli.paths import config_dir, source_root
from gemma4_ros.nodes.table import TABLE

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'scripts'))

from lint_tree import tracked  # noqa: E402

OVERLAY = ROOT / 'install' / 'gemma4_ros'
PACKAGES = OVERLAY / 'lib' / f'python{sys.version_info[0]}.{sys.version_info[1]}' / 'site-packages'
PYTHON = ROOT / '.venv' / 'bin' / 'python'
WHERE = (
    'import gemma4_ros.core.errors as e, gemma4_ros.cli.paths as p, gemma4_ros.msg as m; '
    'print(e.__file__, p.__file__, m.__file__)'
)

needs_setup = pytest.mark.skipif(
    not (OVERLAY.is_dir() and PYTHON.exists()), reason='no overlay beside the source: run `make setup`'
)


def _places(command: list[str], folder: Path, environment: dict[str, str]) -> list[Path]:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [Path(word) for word in done.stdout.split()]


@needs_setup
@pytest.mark.ros
@pytest.mark.parametrize(
    'folder', [ROOT, ROOT / 'test', OVERLAY, PACKAGES, PACKAGES / 'gemma4_ros', Path('/')], ids=str
)
@pytest.mark.parametrize(
    'command',
    [
        [str(PYTHON), '-c', WHERE],
        [str(ROOT / 'scripts' / 'with_env.sh'), 'python', '-c', WHERE],
        ['sh', '-c', f'. {ROOT}/install/local_setup.sh && exec {PYTHON} -c "$0"', WHERE],
    ],
    ids=['bare', 'with_env', 'sourced'],
)
def test_pip_copy_and_colcon_copy_are_one_source(
    command: list[str], folder: Path, clean_environment: dict[str, str]
) -> None:
    core, cli, messages = _places(command, folder, clean_environment)
    assert core == ROOT / 'gemma4_ros' / 'core' / 'errors.py'
    assert cli == ROOT / 'gemma4_ros' / 'cli' / 'paths.py'
    assert PACKAGES in messages.parents


@needs_setup
def test_the_overlay_holds_no_copy_of_the_code() -> None:
    code = {path.name for path in (ROOT / 'gemma4_ros').iterdir() if path.is_dir() and path.name != '__pycache__'}
    assert code
    assert not code & {path.name for path in (PACKAGES / 'gemma4_ros').iterdir()}


@needs_setup
def test_share_shows_the_configuration_of_the_source_tree() -> None:
    for name in ('config', 'launch'):
        assert (OVERLAY / 'share' / 'gemma4_ros' / name).resolve() == ROOT / name


def test_code_finds_the_configuration_and_the_tree_that_it_runs_from() -> None:
    assert config_dir() == ROOT / 'config'
    assert source_root() == ROOT


def test_the_version_stands_in_package_xml_alone() -> None:
    version = re.search(r'<version>([^<]+)</version>', (ROOT / 'package.xml').read_text())
    assert version is not None
    done = subprocess.run(
        [sys.executable, 'setup.py', '--version'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == version[1]
    for name in ('setup.py', 'pyproject.toml', 'CMakeLists.txt', 'gemma4_ros/__init__.py'):
        assert version[1] not in (ROOT / name).read_text(), f'{name} repeats the version'
    headings = re.findall(r'^(\d+\.\d+\.\d+)', (ROOT / 'CHANGELOG.rst').read_text(), re.MULTILINE)
    assert headings
    assert headings[0] == version[1]


def test_nodes_txt_lists_the_nodes_of_the_table() -> None:
    lines = (ROOT / 'config' / 'nodes.txt').read_text().splitlines()
    listed = [line for line in lines if line and not line.startswith('#')]
    assert sorted(listed) == sorted(process.name for process in TABLE)


@needs_setup
def test_every_node_has_an_executable_that_names_the_python_of_this_clone() -> None:
    for process in TABLE:
        first = (OVERLAY / 'lib' / 'gemma4_ros' / process.name).read_text().split('\n')[0]
        assert Path(first.removeprefix('#!')).exists(), first


@pytest.mark.slow
def test_a_wheel_carries_code_and_configuration(tmp_path: Path, clean_environment: dict[str, str]) -> None:
    words = ['wheel', '-q', '--no-deps', '--no-build-isolation', '--no-index', '--wheel-dir', str(tmp_path), str(ROOT)]
    subprocess.run([sys.executable, '-m', 'pip', *words], check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob('gemma4_ros-*.whl')
    target = tmp_path / 'site'
    words = ['install', '-q', '--no-deps', '--no-index', '--target', str(target), str(wheel)]
    subprocess.run([sys.executable, '-m', 'pip', *words], check=True, capture_output=True, timeout=100)
    script = f'import sys; sys.path.insert(0, {str(target)!r}); import gemma4_ros.cli.paths as p; print(p.config_dir())'
    (folder,) = _places([sys.executable, '-c', script], Path('/'), clean_environment)
    assert folder == target / 'gemma4_ros' / 'config'
    assert (folder / 'tools' / 'cell.yaml').is_file()
    wanted = {path.relative_to(ROOT) for path in tracked(ROOT, 'gemma4_ros')}
    assert not {path for path in wanted if not (target / path).is_file()}
