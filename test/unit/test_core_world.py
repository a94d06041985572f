# SPDX-License-Identifier: Apache-2.0
"""World and tool files: what is wrong is named with file, line and the nearest right name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4_ros.core import strict_yaml
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]
WORLD = (ROOT / 'config/world.yaml').read_text(encoding='utf-8')
TOOLS = (ROOT / 'config/tools/cell.yaml').read_text(encoding='utf-8')


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('place: storage, mass_kg: 1.0', 'place: storagee, mass_kg: 1.0'),
        ('place: storage, mass_kg: 1.0', 'plaec: storage, mass_kg: 1.0'),
        ('place: storage, mass_kg: 1.0', 'place: storage, place: pump'),
        ('name: plant_room', 'name: 7'),
        ('at(robot, charging_dock)', 'at(robot, charging_dok)'),
    ],
)
def test_a_wrong_world_names_file_and_line(old, new):
    assert WORLD.count(old) == 1
    line = WORLD[: WORLD.index(old)].count('\n') + 1
    with pytest.raises(ConfigError, match=rf'world\.yaml:{line}:'):
        load_world(WORLD.replace(old, new), 'world.yaml')


def test_a_typo_gets_the_nearest_name():
    with pytest.raises(ConfigError, match='storage'):
        load_world(WORLD.replace('place: storage, mass_kg: 1.0', 'place: storagee, mass_kg: 1.0'), 'world.yaml')


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('args: {place: {enum: world.places}}', 'args: {place: {enum: world.placess}}'),
        ('needs: ["docked(robot, no)"]', 'needs: ["dokced(robot, no)"]'),
        ('  risk: motion', '  risk: motoin'),
    ],
)
def test_a_wrong_tool_names_the_file(old, new):
    world = load_world(WORLD, 'world.yaml')
    assert old in TOOLS
    with pytest.raises(ConfigError, match=r'cell\.yaml:[0-9]+'):
        load_tools([('cell.yaml', TOOLS.replace(old, new, 1))], world)


@pytest.mark.parametrize(
    'text',
    ['a: 1\na: 2\n', 'a: yes\n', 'a: 010\n', 'a: &x 1\n', 'a: !t 1\n', 'a: 1\n---\nb: 2\n', '[\n']
    + [f'- 0\n- {number}\n' for number in ('1.0e400', '-1.0e400', '1.0e-400', '9007199254740992', f'1{"0" * 5000}')],
)
def test_what_yaml_would_change_silently_is_refused(text):
    with pytest.raises(ConfigError, match=r'f\.yaml:[0-9]+'):
        strict_yaml.parse(text, 'f.yaml')


def test_a_number_that_cannot_be_held_is_named_with_its_place():
    with pytest.raises(ConfigError, match=r'^f\.yaml:2: a\.b\.0: 1\.0e-400 is too small: it would be taken as 0$'):
        strict_yaml.parse('a:\n  b: [1.0e-400]\n', 'f.yaml')


@pytest.mark.parametrize('text', ['9007199254740991', '-9007199254740991', '0.0', '-0.0e-400', '1.0e-300', '1.7e308'])
def test_numbers_are_taken_as_they_are_written(text):
    assert strict_yaml.parse(f'a: {text}', 'f.yaml').root['a'] == float(text)
