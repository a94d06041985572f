# SPDX-License-Identifier: Apache-2.0
"""What the tree may not hold, and what its lists must."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'scripts'))

from lint_tree import documents, licences, sizes, tracked  # noqa: E402

# What requirements/base.in names, and its key in rosdep where there is one for every distribution.
ROSDEP = {'numpy': 'python3-numpy', 'opencv-python-headless': 'python3-opencv', 'PyYAML': 'python3-yaml'}
ROSDEP |= {
    'jsonschema': 'python3-jsonschema',
    'typer': 'python3-typer',
    'rich': 'python3-rich',
    'psutil': 'python3-psutil',
}
ROSDEP |= {'jinja2': 'python3-jinja2', 'cryptography': 'python3-cryptography', 'shapely': 'python3-shapely'}
# Written so that this file does not hold what it looks for.
HOSTS = [
    'pypi' + '.org',
    'python' + 'hosted.org',
    'registry.npmjs' + '.org',
    'deb.debian' + '.org',
    'proxy.golang' + '.org',
]
# With a dot: the paths of a plan's nodes begin with the same word.
MACHINE_PATHS = ['/' + 'work/', '/tmp' + '/w', '/ro' + 'ot/.', '/opt/' + 'pypi', '/home/' + 'user']


def _declared() -> set[str]:
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    return {element.text or '' for element in package if element.tag.endswith('depend')}


def _direct() -> list[str]:
    lines = (ROOT / 'requirements' / 'base.in').read_text().splitlines()
    return [re.split(r'[ <=>#\[]', line)[0] for line in lines if line[:1].isalnum()]


def test_package_xml_lists_the_rosdep_key_of_every_dependency_that_has_one() -> None:
    wanted = {ROSDEP[name] for name in _direct() if name in ROSDEP}
    assert wanted
    assert not wanted - _declared()


def test_package_xml_lists_every_ros_package_that_the_code_imports() -> None:
    packages = {
        'rclpy',
        'action_msgs',
        'builtin_interfaces',
        'diagnostic_msgs',
        'geometry_msgs',
        'lifecycle_msgs',
        'nav_msgs',
    }
    packages |= {'rcl_interfaces', 'sensor_msgs', 'std_msgs', 'std_srvs', 'unique_identifier_msgs', 'rosidl_parser'}
    pattern = re.compile(r'^\s*(?:from|import) (\w+)', re.MULTILINE)
    imported = {
        name
        for path in (ROOT / 'gemma4_ros').rglob('*.py')
        for name in pattern.findall(path.read_text(encoding='utf-8'))
    }
    assert 'rclpy' in imported
    assert not (imported & packages) - _declared()


def test_every_direct_dependency_is_imported_somewhere() -> None:
    modules = {
        'PyYAML': 'yaml',
        'opencv-python-headless': 'cv2',
        'mcap-ros2-support': 'mcap_ros2',
        'jsonschema-rs': 'jsonschema_rs',
    }
    needed_by_others = {'diskcache'}  # llama-cpp-python imports it
    folders = [ROOT / name for name in ('gemma4_ros', 'bench', 'demo', 'scripts')]
    text = '\n'.join(path.read_text(encoding='utf-8') for folder in folders for path in folder.rglob('*.py'))
    idle = [
        name
        for name in _direct()
        if name not in needed_by_others
        and not re.search(rf'(?:from|import) {modules.get(name, name.replace("-", "_"))}\b', text)
    ]
    assert not idle, f'nobody imports {idle}: take them out of requirements/base.in'


@pytest.mark.parametrize('name', ['base', 'dev', 'ros-kilted', 'llama'])
def test_every_pin_is_exact_and_has_hashes(name: str) -> None:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    pins = [number for number, line in enumerate(lines) if line[:1].isalnum()]
    assert pins
    for number in pins:
        assert re.match(r'[A-Za-z0-9._-]+==[^ ]+( ; .*)? \\$', lines[number]), lines[number]
        assert lines[number + 1].lstrip().startswith('--hash=sha256:'), lines[number]


def test_every_direct_dependency_is_pinned() -> None:
    pinned = {line.split('==')[0] for line in (ROOT / 'requirements' / 'base.txt').read_text().splitlines()}
    assert not {name.lower().replace('_', '-') for name in _direct()} - pinned


def test_the_tree_names_no_registry_host_and_no_path_of_a_machine() -> None:
    found = []
    for path in tracked(ROOT):
        try:
            text = path.read_text(encoding='utf-8')
        except UnicodeDecodeError:
            continue
        found += [f'{path.relative_to(ROOT)}: {word}' for word in (*HOSTS, *MACHINE_PATHS) if word in text]
    assert not found


def test_make_help_names_every_target_that_the_house_style_asks_for() -> None:
    done = subprocess.run(['make', 'help'], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r'^  make (\w+)', done.stdout, re.MULTILINE))
    assert {
        'setup',
        'models',
        'demo',
        'test',
        'fmt',
        'lint',
        'types',
        'bench',
        'eval',
        'docs',
        'up',
        'clean',
    } <= targets


def test_every_target_that_runs_code_sets_up_first() -> None:
    text = (ROOT / 'Makefile').read_text()
    for name in ('models', 'demo', 'up', 'test', 'fmt', 'lint', 'types', 'bench', 'eval', 'docs'):
        assert re.search(rf'^{name}: setup\b', text, re.MULTILINE), name


def test_ci_runs_what_the_readme_says() -> None:
    script = ROOT / '.ci' / 'run'
    assert script.stat().st_mode & 0o111
    assert script.read_text().rstrip().endswith('exec make test')


def test_rules_of_the_house_find_what_they_are_for(tmp_path: Path) -> None:
    subprocess.run(['git', 'init', '-q', str(tmp_path)], check=True)
    (tmp_path / 'Makefile').write_text('# SPDX-License-Identifier: Apache-2.0\nsetup:\n')
    (tmp_path / 'long.py').write_text('# SPDX-License-Identifier: Apache-2.0\n' + 'x = 1\n' * 400)
    (tmp_path / 'bare.py').write_text('x = 1\n')
    (tmp_path / 'page.md').write_text('See [it](nowhere.md) and [that](long.py), then `make nothing`, `make setup`.\n')
    assert [line.split(':')[0] for line in sizes(tmp_path)] == ['long.py']
    assert [line.split(':')[0] for line in licences(tmp_path)] == ['bare.py']
    assert documents(tmp_path) == [
        'page.md:1: the link nowhere.md leads nowhere',
        'page.md:1: there is no `make nothing`',
    ]
