# SPDX-License-Identifier: Apache-2.0
"""The command sets are well-formed: schema, names that exist, and the mix that docs/evaluation.md promises."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gemma4_ros.core.tools import fill_goal, load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]
NAMES = ('dev', 'dev2', 'dev3', 'test')
LEAST_OF_DEV = {
    'simple': 20, 'composed': 25, 'referring': 8, 'negated': 6, 'numeric': 8, 'conditional': 10,
    'repeated': 4, 'parallel': 3, 'impossible': 12, 'ambiguous': 6, 'question': 6, 'hostile': 5,
}  # fmt: skip
SAME_MIX = 0.03  # share of a kind in a set of other worlds against its share in the development set


class UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that says the same key twice: the second would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f'{node.start_mark}: duplicate key in {keys}'
        return super().construct_mapping(node, deep)


@functools.cache
def load(path: str) -> Any:
    return yaml.load((ROOT / path).read_text(encoding='utf-8'), UniqueKeys)


def commands(name: str) -> list[dict[str, Any]]:
    return list(load(f'config/eval/commands_{name}.yaml')['commands'])


def every_entry() -> list[Any]:
    return [pytest.param(entry, id=entry['id']) for name in NAMES for entry in commands(name)]


def parts(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The expectation, and its branches where it has them."""
    expect = entry['expect']
    return [expect, *(expect['if'][side] for side in ('then', 'else') if 'if' in expect)]


def ids_of(world: dict[str, Any], classes: list[str]) -> set[str]:
    """Ids of classes as ``world.functions`` writes them: a section, a section's kind, the robot, or a literal."""
    out: set[str] = set()
    for name in classes:
        section, _, kind = name.partition('.')
        if section in ('places', 'objects', 'equipment'):
            out |= {key for key, value in world[section].items() if not kind or value['kind'] == kind}
        else:
            out.add(world['robot']['id'] if name == 'robot' else name)
    return out


def enum_of(world: dict[str, Any], enum: Any) -> set[str]:
    return ids_of(world, [part.removeprefix('world.') for part in (enum if isinstance(enum, list) else [enum])])


@pytest.mark.parametrize('name', NAMES)
def test_a_command_set_fits_its_schema(name: str) -> None:
    schema = json.loads((ROOT / 'config/schema/eval-1.json').read_text(encoding='utf-8'))
    jsonschema.Draft202012Validator.check_schema(schema)
    found = load(f'config/eval/commands_{name}.yaml')
    validator = jsonschema.Draft202012Validator(schema)
    errors = [f'{list(error.absolute_path)}: {error.message}' for error in validator.iter_errors(found)]
    assert not errors
    assert found['name'] == name


@pytest.mark.parametrize(
    ('change', 'mistake'),
    [
        ({'kind': 'plan'}, 'a plan without goal, steps or condition'),
        ({'kind': 'ask', 'goal': ['at(crate, pump)']}, 'a goal where no plan is wanted'),
        ({'kind': 'plan', 'goal': ['at(crate)']}, 'a fact without a value'),
        ({'kind': 'plan', 'goal': ['at(crate, pump)'], 'nevr': []}, 'a misspelt key'),
        ({'kind': 'plan', 'steps': ['read gauge']}, 'a step that is no pattern'),
        ({'kind': 'refuse'}, 'an unknown kind'),
    ],
)
def test_the_schema_refuses(change: dict[str, Any], mistake: str) -> None:
    schema = json.loads((ROOT / 'config/schema/eval-1.json').read_text(encoding='utf-8'))
    entry = {**commands('dev')[0], 'expect': change}
    whole = {'eval': '1', 'name': 'dev', 'commands': [entry]}
    assert not jsonschema.Draft202012Validator(schema).is_valid(whole), mistake


def test_ids_and_texts_are_unique() -> None:
    entries = [entry for name in NAMES for entry in commands(name)]
    for keys in (['id'], ['text', 'state', 'dialogue']):
        counted = Counter(str([entry.get(key) for key in keys]) for entry in entries)
        assert max(counted.values()) == 1, counted.most_common(2)


@pytest.mark.parametrize('entry', every_entry())
def test_every_fact_of_an_entry_can_be_said_in_its_world(entry: dict[str, Any]) -> None:
    world = load(entry['world'])
    facts = entry.get('state', []) + [fact for part in parts(entry) for fact in part.get('goal', [])]
    for fact in facts:
        name, *terms = re.findall(r'\w+', fact)
        function = world['functions'][name]
        for term, classes in zip(terms, [*function['of'], function['value']], strict=True):
            assert term in ids_of(world, classes), f'{fact}: {term} is none of {classes}'


@pytest.mark.parametrize('entry', every_entry())
def test_every_step_of_an_entry_can_be_said_with_its_tools(entry: dict[str, Any]) -> None:
    world = load(entry['world'])
    tools = {name: tool for path in entry['tools'] for name, tool in load(path).items()}
    listed = [p for part in parts(entry) for key in ('steps', 'never', 'count') for p in part.get(key, [])]
    for pattern in listed + entry['expect'].get('if', {}).get('after', []):
        name, _, inner = pattern.partition('(')
        for text in inner.rstrip(')').split(', ') if inner else []:
            arg, value = text.split('=')
            spec = tools[name]['args'][arg]
            if 'enum' in spec:
                assert value in enum_of(world, spec['enum']), pattern
            else:
                assert spec['min'] <= float(value) <= spec['max'], pattern
                assert abs(float(value) / spec['step'] - round(float(value) / spec['step'])) < 1e-6, pattern
        assert name in tools and 'interface' in tools[name], f'{pattern}: no such tool'


@pytest.mark.parametrize('entry', [p for p in every_entry() if 'if' in p.values[0]['expect']])
def test_a_condition_reads_a_number(entry: dict[str, Any]) -> None:
    tools = {name: tool for path in entry['tools'] for name, tool in load(path).items()}
    reader = entry['expect']['if']['after'][-1].partition('(')[0]
    assert any(value['type'] == 'number' and value['unit'] for value in tools[reader]['returns'].values())


@pytest.mark.parametrize('world_path', sorted({p.values[0]['world'] for p in every_entry()}))
def test_the_stack_loads_the_world_and_fills_the_goal_of_every_tool(world_path: str) -> None:
    entry = next(p.values[0] for p in every_entry() if p.values[0]['world'] == world_path)
    world = load_world((ROOT / world_path).read_text(encoding='utf-8'), world_path)
    toolset = load_tools([(path, (ROOT / path).read_text(encoding='utf-8')) for path in entry['tools']], world)
    assert set(toolset.tools) == set().union(*(load(path) for path in entry['tools'])) - {'tools', 'intents'}
    for tool in toolset.tools.values():
        args = {arg.name: arg.values[0] if arg.values else arg.low for arg in tool.args.values()}
        assert '$' not in json.dumps(fill_goal(tool, args, world)), tool.name


def test_the_development_set_has_the_promised_mix() -> None:
    kinds = Counter(entry['kind'] for entry in commands('dev'))
    assert {kind: kinds[kind] for kind in LEAST_OF_DEV if kinds[kind] < LEAST_OF_DEV[kind]} == {}
    assert sum(kinds.values()) >= 110


@pytest.mark.parametrize(('name', 'a_world'), [('test', [20, 20, 20]), ('dev2', [30, 30])])
def test_a_set_of_other_worlds_is_a_like_mix_with_as_many_commands_a_world(name: str, a_world: list[int]) -> None:
    found = {which: commands(which) for which in ('dev', name)}
    share = {which: Counter(e['kind'] for e in found[which]) for which in found}
    for kind in LEAST_OF_DEV:
        assert abs(share[name][kind] / len(found[name]) - share['dev'][kind] / len(found['dev'])) <= SAME_MIX, kind
    assert sorted(Counter(e['world'] for e in found[name]).values()) == a_world


@pytest.mark.parametrize('name', NAMES)
def test_what_must_be_declined_expects_no_plan(name: str) -> None:
    for entry in commands(name):
        kinds = entry['expect']['kind']
        if entry['kind'] in ('impossible', 'hostile', 'ambiguous', 'question'):
            assert 'plan' not in kinds, entry['id']
        else:
            assert 'plan' in kinds, entry['id']
