# SPDX-License-Identifier: Apache-2.0
"""Tools files: what is taken, what is refused and how the refusal reads; arguments, goals and units of a toolset."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.errors import CheckError, ConfigError, ToolsError
from gemma4_ros.core.tools import (
    Arg,
    Tool,
    Toolset,
    args_schema,
    check_args,
    fill_goal,
    load_tools,
    return_unit,
)
from gemma4_ros.core.world import World
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    ('config/world.yaml', 'config/tools/cell.yaml'),
    ('config/worlds/bench.yaml', 'config/tools/arm.yaml'),
    ('config/worlds/lab.yaml', 'config/tools/lab.yaml'),
    ('config/worlds/warehouse.yaml', 'config/tools/warehouse.yaml'),
]
HEAD = """\
world: "1"
name: hall
frame: hall_map
robot: {id: robot, doc: a cart}
places:
  door: {doc: the door, pose: {x_m: 1.0, y_m: -2.0, yaw_rad: 3.141592653589793}}
  rack: {doc: the rack}
objects:
  box: {doc: a box, place: rack, mass_kg: 1.5}
equipment:
  dial: {kind: gauge, doc: a dial, place: door, unit: bar}
  tube: {kind: meter, doc: a glass tube, place: door, unit: mm}
  knob: {kind: knob, doc: a knob without unit, place: door}
functions:
  at: {of: [[robot, objects]], value: [places, robot]}
  open: {of: [[places]], value: ["yes", "no"]}
initial: ["at(robot, door)"]
"""
WORLD = load_world(HEAD, 'hall.yaml')
TOOLS = """\
tools: "1"

measure:
  doc: read an instrument
  words: [read, measure]
  interface: {service: gemma4_ros/srv/ReadGauge, name: perception/read_gauge}
  args: {at: {enum: [world.equipment.gauge, world.equipment.meter]}}
  goal: {gauge: $at}
  success: {success: true}
  returns:
    value: {field: reading.value, type: number, unit: $at.unit}
    share: {field: reading.share, type: number, unit: "1"}
    note: {field: reading.note, type: string}
  needs: ["at(robot, place_of($at))"]
  gives: []
  duration_s: {typical: 2, timeout: 10}
  risk: read

push:
  doc: push a box to a place
  interface: {action: gemma4_ros/action/ExecuteSkill, name: execute_skill}
  args:
    box: {enum: world.objects}
    to: {enum: world.places}
    speed_m_per_s: {type: number, min: 0.1, max: 1.5, step: 0.1, unit: m/s}
    times: {type: integer, min: 1, max: 5, unit: "1"}
    gently: {type: boolean}
    way: {enum: [left, right]}
  goal:
    skill: push
    header: {frame_id: $world.frame}
    parameters: {what: $box, mass: $box.mass_kg, poses: [$to.pose], list: [$times, $gently, fixed, 7, null], way: $way}
  success: {status: SUCCEEDED}
  needs: ["at(robot, at($box))"]
  gives: ["at($box, $to)"]
  duration_s: {typical: 4, timeout: 9.5}
  retry: {times: 2, recover: [halt]}
  cancel: {acknowledge_within_s: 0.25}
  resources: [base]
  risk: motion

halt:
  doc: stand still
  interface: {service: std_srvs/srv/Trigger, name: halt}
  args: {}
  goal: {}
  needs: []
  gives: []
  duration_s: {typical: 1, timeout: 1}
  inserted: false
  draft: true
  risk: reversible

intents:
  tidy:
    doc: put a box where it belongs
    words: [tidy]
    args: {box: {enum: world.objects}, to: {enum: world.places}}
    achieve: ["at($box, $to)"]
"""


def load(text: str = TOOLS, world: World = WORLD) -> Toolset:
    """Load one tools file."""
    return load_tools([('hall_tools.yaml', text)], world)


def with_pose(text: str = TOOLS) -> Toolset:
    """Load the tools for a hall in which the rack has been measured."""
    measured = HEAD.replace('rack: {doc: the rack}', 'rack: {doc: the rack, pose: {x_m: 0.0, y_m: 0.0, yaw_rad: 0.0}}')
    return load(text, load_world(measured, 'hall.yaml'))


def refusal(old: str, new: str) -> tuple[str, int]:
    """Return the message for the tools file with one change, and the line on which the change stands."""
    assert TOOLS.count(old) == 1, f'{old!r} stands {TOOLS.count(old)} times'
    with pytest.raises(ToolsError) as caught:
        load(TOOLS.replace(old, new))
    return str(caught.value), TOOLS[: TOOLS.index(old)].count('\n') + 1


TOOLSET = load()
PUSH = {'box': 'box', 'to': 'door', 'speed_m_per_s': 0.5, 'times': 2, 'gently': True, 'way': 'left'}


# Loading -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(('world_file', 'tools_file'), FILES)
def test_every_shipped_toolset_loads_and_each_goal_is_filled(world_file: str, tools_file: str) -> None:
    world = load_world((ROOT / world_file).read_text(encoding='utf-8'), world_file)
    toolset = load_tools([(tools_file, (ROOT / tools_file).read_text(encoding='utf-8'))], world)
    assert toolset.tools
    for tool in toolset.tools.values():
        args = {a.name: a.values[-1] if a.type == 'enum' else a.low for a in tool.args.values()}
        goal = fill_goal(tool, args, world)
        assert set(goal) == set(tool.goal)
        assert '$' not in json.dumps(goal)
        for returned in tool.returns.values():
            unit = return_unit(tool, returned, args, world)
            assert (unit != '') == (returned.type in ('number', 'integer')) and '$' not in unit


def test_what_the_file_says_is_in_the_tool() -> None:
    push = TOOLSET.tool('push')
    assert (push.interface.kind, push.interface.type, push.interface.name) == (
        'action',
        'gemma4_ros/action/ExecuteSkill',
        'execute_skill',
    )
    assert [(arg.name, arg.type) for arg in push.args.values()] == [
        ('box', 'enum'),
        ('to', 'enum'),
        ('speed_m_per_s', 'number'),
        ('times', 'integer'),
        ('gently', 'boolean'),
        ('way', 'enum'),
    ]
    speed = push.args['speed_m_per_s']
    assert (speed.low, speed.high, speed.step, speed.unit) == (0.1, 1.5, 0.1, 'm/s')
    assert push.args['way'].values == ('left', 'right')
    assert (push.typical_s, push.timeout_s, push.cancel_acknowledge_s) == (4.0, 9.5, 0.25)
    assert (push.retry_times, push.recover, push.resources, push.risk) == (2, ('halt',), ('base',), 'motion')
    assert [str(pattern) for pattern in (*push.needs, *push.gives)] == ['at(robot, at($box))', 'at($box, $to)']
    assert push.inserted and not push.draft


def test_what_the_file_leaves_out_has_its_default() -> None:
    halt = TOOLSET.tool('halt')
    assert (halt.words, dict(halt.returns), dict(halt.success)) == ((), {}, {})
    assert (halt.retry_times, halt.recover, halt.cancel_acknowledge_s, halt.resources) == (0, (), 0.5, ())
    assert not halt.inserted and halt.draft


def test_groups_become_the_names_of_the_world_in_its_order() -> None:
    assert TOOLSET.tool('measure').args['at'].values == ('dial', 'tube')
    tidy = TOOLSET.intents['tidy']
    assert (tidy.args['box'].values, tidy.args['to'].values) == (('box',), ('door', 'rack'))
    assert [str(pattern) for pattern in tidy.achieve] == ['at($box, $to)']


def test_an_unknown_tool_gets_the_nearest_name() -> None:
    with pytest.raises(CheckError, match=r"unknown tool 'pusch'; did you mean 'push'\?"):
        TOOLSET.tool('pusch')
    with pytest.raises(CheckError, match='halt, measure, push'):
        TOOLSET.tool('x')


def test_several_files_are_one_namespace() -> None:
    halt = TOOLS[TOOLS.index('halt:\n') : TOOLS.index('intents:')]
    first = TOOLS.replace(halt, '')
    second = f'tools: "1"\n{halt}'
    toolset = load_tools([('first.yaml', first), ('second.yaml', second)], WORLD)  # the recovery stands in the second
    assert set(toolset.tools) == {'measure', 'push', 'halt'}
    with pytest.raises(ToolsError, match=r"^second\.yaml:2: halt: a tool or intent 'halt' exists already"):
        load_tools([('first.yaml', TOOLS), ('second.yaml', second)], WORLD)
    with pytest.raises(ToolsError, match=r"^first\.yaml:37: push\.retry: unknown recovery 'halt'"):
        load_tools([('first.yaml', first)], WORLD)


def test_an_intent_has_no_name_of_a_tool() -> None:
    message, line = refusal('  tidy:\n', '  push:\n')
    assert message.startswith(f"hall_tools.yaml:{line}: intents.push: a tool or intent 'push' exists already")


NO_NAME = "'{}' is not a name: lower-case letters, digits and _, starting with a letter, at most 32"


# Refusals ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('old', 'new', 'field', 'saying'),
    [
        ('words: [read, measure]', 'wrods: [read]', 'measure', "'wrods'; did you mean 'words'?"),
        ('type: number, min: 0.1', 'type: nubmer, min: 0.1', 'push.args.speed_m_per_s.type', "did you mean 'number'?"),
        ('type: boolean', 'type: string', 'push.args.gently.type', "'string' is not taken; known are"),
        (', unit: m/s}', '}', 'push.args.speed_m_per_s', '\'unit\' is missing; a number needs a unit, "1" where'),
        ('min: 1, max: 5', 'max: 5', 'push.args.times', "'min' is missing; a number needs a bound"),
        ('min: 1, max: 5', 'min: 1', 'push.args.times', "'max' is missing; a number needs a bound"),
        ('min: 0.1, max: 1.5', 'min: 1.6, max: 1.5', 'push.args.speed_m_per_s', 'min 1.6 is above max 1.5'),
        ('step: 0.1', 'step: 0', 'push.args.speed_m_per_s.step', '0'),
        ('way: {enum: [left, right]}', 'way: {}', 'push.args.way', 'write one of enum:, type: and named:'),
        (
            'way: {enum: [left, right]}',
            'way: {enum: [left], type: boolean}',
            'push.args.way',
            'one of enum:, type: and',
        ),
        ('way: {enum: [left, right]}', 'way: {named: {left: 3}}', 'push.args.way.named.left', '3 is not of type'),
        ('way: {enum: [left, right]}', 'way: {named: {}}', 'push.args.way.named', 'non-empty'),
        ('way: {enum: [left, right]}', 'way: {named: {a: [$way]}}', 'push.args.way.named', 'no $ in it'),
        ('gently: {type: boolean}', 'gently: {enum: world.object}', 'push.args.gently', 'write world.places, world.'),
        ('gently: {type: boolean}', 'gently: {enum: world.equipment.tap}', 'push.args.gently', 'add it to the world'),
        ('share, type: number, unit: "1"', 'share, type: number', 'measure.returns.share', "'unit' is missing"),
        ('unit: $at.unit', 'unit: $att.unit', 'measure.returns.value', "did you mean 'at'?"),
        ('unit: $at.unit', 'unit: $at.unti', 'measure.returns.value', "'dial' has no 'unti'; did you mean 'unit'?"),
        ('unit: $at.unit', 'unit: $at', 'measure.returns.value', "write '$at.unit'"),
        ('goal: {gauge: $at}', 'goal: {gauge: $ta}', 'measure.goal.gauge', "unknown argument '$ta'; known are at"),
        ('mass: $box.mass_kg', 'mass: $box.mas_kg', 'push.goal.parameters.mass', "did you mean 'mass_kg'?"),
        ('mass: $box.mass_kg', 'mass: $box.pose', 'push.goal.parameters.mass', "'box' has no 'pose'"),
        ('mass: $box.mass_kg', 'mass: $times.unit', 'push.goal.parameters.mass', "'times' names nothing of the world"),
        ('[$to.pose]', '[1, $to.poes]', 'push.goal.parameters.poses.1', "did you mean 'pose'?"),
        ('way: $way}', 'way: $way.pose}', 'push.goal.parameters.way', "'left' is nothing of the world"),
        ('$world.frame', '$world.farme', 'push.goal.header.frame_id', 'unknown argument'),
        ('place_of($at)', 'palce_of($at)', 'measure.needs.0', "did you mean 'place_of'?"),
        ('place_of($at)', 'place_of($ta)', 'measure.needs.0', 'unknown argument $ta; known are at'),
        ('place_of($at))', 'place_of($at)', 'measure.needs.0', 'a bracket is not closed'),
        ('needs: ["at(robot, at($box))"]', 'needs: ["at(robot, box)"]', 'push.needs.0', "'box' cannot stand there"),
        ('needs: ["at(robot, at($box))"]', 'needs: ["at(robot)"]', 'push.needs.0', 'at takes 1 arguments and a value'),
        ('needs: ["at(robot, at($box))"]', 'needs: ["at(robot, $times)"]', 'push.needs.0', '$times is a number'),
        ('needs: ["at(robot, at($box))"]', 'needs: ["att(robot, door)"]', 'push.needs.0', "did you mean 'at'?"),
        ('needs: ["at(robot, at($box))"]', 'needs: ["at robot"]', 'push.needs.0', 'write name(argument, ..., value)'),
        ('achieve: ["at($box, $to)"]', 'achieve: []', 'intents.tidy.achieve', 'non-empty'),
        ('typical: 4, timeout: 9.5', 'typical: 10, timeout: 9.5', 'push.duration_s', 'longer than timeout 9.5 s'),
        ('typical: 4, timeout: 9.5', 'typical: 4', 'push.duration_s', "'timeout' is missing"),
        ('recover: [halt]', 'recover: [hlat]', 'push.retry', "did you mean 'halt'?"),
        ('recover: [halt]', 'recover: [measure]', 'push.retry', 'only tools without can recover'),
        ('retry: {times: 2, recover: [halt]}', 'pause: cancel', 'push.pause', 'wants retry.times of at least 1'),
        ('  risk: motion', '  risk: irreversible\n  pause: cancel', 'push.pause', 'is not for what is irreversible'),
        (
            '  draft: true',
            '  pause: cancel\n  retry: {times: 1}',
            'halt.pause',
            'a service request cannot be taken back',
        ),
        ('{service: std_srvs/srv/Trigger, name', '{name', 'halt.interface', 'write either action: or service:'),
        ('{service: std_srvs', '{action: std_srvs', 'halt.interface', 'its type is written package/action/Name'),
        ('risk: reversible', 'risk: reversable', 'halt.risk', "did you mean 'reversible'?"),
        ('tools: "1"', 'tools: "2"', 'tools', "'1' was expected"),
        (
            'gemma4_ros/srv/ReadGauge',
            'ReadGauge',
            'measure.interface.service',
            'a type of an interface: write package/msg/',
        ),
        ('name: halt}', 'name: Halt}', 'halt.interface.name', "'Halt' is not a ROS name: lower-case"),
        ('  tidy:\n', '  Tidy:\n', 'intents', "'Tidy' is not a name: lower-case"),
        ('enum: [left, right]', 'enum: 5', 'push.args.way.enum', '5 is not taken; write a group of the world (world.p'),
        ('max: 1.5', 'max: 1.0e400', 'push.args.speed_m_per_s.max', '1.0e400 is too large for a number'),
        ('max: 1.5', f'max: 1{"0" * 400}', 'push.args.speed_m_per_s.max', 'is too large: at most 2^53 - 1 is exact'),
        ('resources: [base]', 'resource: [base]', 'push', "unknown key 'resource'; did you mean 'resources'?"),
    ],
)
def test_a_mistake_is_named_with_line_field_and_what_to_do(old: str, new: str, field: str, saying: str) -> None:
    message, line = refusal(old, new)
    where, _, rest = message.partition(': ')
    assert where.startswith('hall_tools.yaml:')
    assert -1 <= line - int(where.rpartition(':')[2]) <= 2, f'{message!r}: the mistake is on line {line}'
    assert rest.startswith(f'{field}: '), message
    assert saying in rest, message


def test_a_tool_with_a_name_that_is_none_is_named_itself() -> None:
    message, line = refusal('\nhalt:', '\nHalt-now:')
    assert message == f'hall_tools.yaml:{line + 1}: {NO_NAME.format("Halt-now")}'


def test_a_misspelt_key_is_named_beside_the_one_that_is_missing() -> None:
    message, _ = refusal('risk: reversible', 'riks: reversible')
    assert message.endswith(": halt: 'risk' is missing; unknown key 'riks'; did you mean 'risk'?")


def test_a_result_has_a_unit_for_everything_that_can_be_read() -> None:
    message, _ = refusal('world.equipment.meter', 'world.equipment.knob')
    assert message == "hall_tools.yaml:11: measure.returns.value: '$at.unit': 'knob' has no 'unit'"


@pytest.mark.parametrize('key', ['doc', 'interface', 'args', 'goal', 'needs', 'gives', 'duration_s', 'risk'])
def test_a_tool_without_a_part_that_it_needs_is_refused(key: str) -> None:
    kept = [
        line for line in TOOLS[TOOLS.index('halt:\n') : TOOLS.index('intents:')].splitlines() if f'  {key}:' not in line
    ]
    with pytest.raises(ToolsError, match=rf"^t\.yaml:2: halt: '{key}' is missing$"):
        load_tools([('t.yaml', '\n'.join(['tools: "1"', *kept]))], WORLD)


@pytest.mark.parametrize(
    ('old', 'new', 'key'),
    [
        ('  risk: motion', '  risk: motion\n  risk: read', 'risk'),
        ('\nhalt:', '\npush:', 'push'),
        ('gently: {type: boolean}', 'times: {type: boolean}', 'times'),
    ],
)
def test_a_key_that_stands_twice_is_refused_on_its_second_line(old: str, new: str, key: str) -> None:
    message, line = refusal(old, new)
    second = line + 1 if new.startswith(('  risk', '\n')) else line
    assert message == f'hall_tools.yaml:{second}: the key {key!r} stands twice; keep one of them'


# Arguments -----------------------------------------------------------------------------------------------------------
def test_right_arguments_pass_at_both_bounds() -> None:
    push = TOOLSET.tool('push')
    for speed, times in ((0.1, 1), (1.5, 5), (1, 2.0)):
        check_args(push, {**PUSH, 'speed_m_per_s': speed, 'times': times}, 's1')


@pytest.mark.parametrize(
    ('name', 'value', 'saying'),
    [
        ('speed_m_per_s', 0.0999, 's1.speed_m_per_s: 0.0999 m/s is outside 0.1 to 1.5 m/s'),
        ('speed_m_per_s', 1.5001, '1.5001 m/s is outside 0.1 to 1.5 m/s'),
        ('speed_m_per_s', math.inf, 'outside'),
        ('speed_m_per_s', -math.inf, 'outside'),
        ('speed_m_per_s', 10**400, 'outside'),
        ('speed_m_per_s', -(10**400), 'outside'),
        ('speed_m_per_s', math.nan, 'wants a number in m/s, got nan'),
        ('speed_m_per_s', True, 'wants a number in m/s, got True'),
        ('speed_m_per_s', '0.5', "wants a number in m/s, got '0.5'"),
        ('speed_m_per_s', None, 'wants a number'),
        ('times', 2.5, 'wants a whole number, got 2.5'),
        ('times', 6, '6 1 is outside 1.0 to 5.0'),
        ('times', 10**400, 'outside'),
        ('gently', 1, 'wants true or false, got 1'),
        ('gently', 'true', "wants true or false, got 'true'"),
        ('way', 'lefft', "s1.way: unknown 'lefft'; did you mean 'left'?"),
        ('way', 1, 'unknown 1'),
        ('box', 'door', "unknown 'door'"),
    ],
)
def test_a_wrong_argument_is_refused(name: str, value: object, saying: str) -> None:
    with pytest.raises(CheckError) as caught:
        check_args(TOOLSET.tool('push'), {**PUSH, name: value}, 's1')
    assert str(caught.value).startswith(f's1.{name}: ') and saying in str(caught.value)


def test_no_number_without_bounds_is_infinite() -> None:
    anything = Arg('x', 'number')
    anything.check(-1e300, 's1')
    for value in (math.inf, -math.inf, math.nan):
        with pytest.raises(CheckError, match=r'^s1\.x: '):
            anything.check(value, 's1')


def test_missing_and_unknown_arguments_are_named() -> None:
    push = TOOLSET.tool('push')
    with pytest.raises(CheckError, match=r"^s1: push needs the argument 'way'$"):
        check_args(push, {name: value for name, value in PUSH.items() if name != 'way'}, 's1')
    with pytest.raises(CheckError, match=r"^s1: push takes no argument 'spede'; known are box, gently, "):
        check_args(push, {**PUSH, 'spede': 1}, 's1')
    with pytest.raises(CheckError, match=r"halt takes no argument 'x'$"):
        check_args(TOOLSET.tool('halt'), {'x': 1}, 's1')
    check_args(TOOLSET.intents['tidy'], {'box': 'box', 'to': 'rack'}, 's1')
    with pytest.raises(CheckError, match=r"^s1\.to: unknown 'box'"):
        check_args(TOOLSET.intents['tidy'], {'box': 'box', 'to': 'box'}, 's1')


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.integers(-15, 40).map(lambda tenths: round(tenths / 10, 1)),
    st.sampled_from(['left', 'right', 'box', 'door', 'rack', 'lef', '']),
    st.just([]),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    args=st.fixed_dictionaries(
        {},
        optional={
            **{name: st.one_of(st.just(value), _LEAVES) for name, value in PUSH.items()},
            'other': _LEAVES,
        },
    )
)
def test_the_schema_of_the_arguments_gives_the_verdict_of_the_check(args: dict[str, Any]) -> None:
    push = TOOLSET.tool('push')
    is_valid = jsonschema_rs.validator_for(args_schema(push)).is_valid(args)
    try:
        check_args(push, args, 's1')
    except CheckError:
        assert not is_valid
    else:
        assert is_valid


def test_the_schema_names_every_argument_with_its_bounds() -> None:
    schema = args_schema(TOOLSET.tool('push'))
    jsonschema_rs.meta.validate(schema)
    assert schema['required'] == list(PUSH) and schema['additionalProperties'] is False
    assert schema['properties']['to'] == {'type': 'string', 'enum': ['door', 'rack']}
    assert schema['properties']['speed_m_per_s'] == {
        'type': 'number',
        'minimum': 0.1,
        'maximum': 1.5,
        'multipleOf': 0.1,
    }


# Goals and units -----------------------------------------------------------------------------------------------------
def test_a_goal_is_filled_from_arguments_world_and_attributes() -> None:
    goal = fill_goal(TOOLSET.tool('push'), PUSH, WORLD)
    assert goal['skill'] == 'push' and goal['header'] == {'frame_id': 'hall_map'}
    inner = goal['parameters']
    assert (inner['what'], inner['mass'], inner['way']) == ('box', 1.5, 'left')
    assert inner['list'] == [2, True, 'fixed', 7, None]
    (pose,) = inner['poses']
    assert pose['position'] == {'x': 1.0, 'y': -2.0, 'z': 0.0}
    turned = pose['orientation']
    assert (turned['x'], turned['y']) == (0.0, 0.0)
    assert (turned['z'], turned['w']) == pytest.approx((1.0, 0.0), abs=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(yaw_rad=st.floats(-7.0, 7.0).map(lambda value: round(value, 4)))
def test_the_pose_of_a_place_turns_by_its_yaw(yaw_rad: float) -> None:
    world = load_world(HEAD.replace('yaw_rad: 3.141592653589793', f'yaw_rad: {yaw_rad:.4f}'), 'hall.yaml')
    goal = fill_goal(load(world=world).tool('push'), PUSH, world)
    turned = goal['parameters']['poses'][0]['orientation']
    heading = (1 - 2 * turned['z'] ** 2, 2 * turned['z'] * turned['w'])  # the x axis, turned
    assert heading == pytest.approx((math.cos(yaw_rad), math.sin(yaw_rad)), abs=1e-9)


def test_filling_a_goal_leaves_the_template_as_it_was() -> None:
    push = TOOLSET.tool('push')
    before = json.dumps(push.goal)
    first = fill_goal(push, PUSH, WORLD)
    first['parameters']['list'].append('more')
    assert json.dumps(push.goal) == before
    assert fill_goal(push, PUSH, WORLD)['parameters']['list'] == [2, True, 'fixed', 7, None]


def test_a_place_without_a_pose_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(CheckError, match=r"the place 'rack' has no pose in the world file; measure it and write it"):
        fill_goal(TOOLSET.tool('push'), {**PUSH, 'to': 'rack'}, WORLD)


def test_a_goal_takes_no_wrong_argument() -> None:
    with pytest.raises(CheckError, match=r'^push\.times: 9 1 is outside'):
        fill_goal(TOOLSET.tool('push'), {**PUSH, 'times': 9}, WORLD)


def test_text_of_an_argument_is_never_a_template() -> None:
    arg = Arg('way', 'enum', values=('$world.frame',))
    push = TOOLSET.tool('push')
    odd = Tool(
        **{**{name: getattr(push, name) for name in Tool.__slots__}, 'args': {'way': arg}, 'goal': {'x': '$way'}}
    )
    assert fill_goal(odd, {'way': '$world.frame'}, WORLD) == {'x': '$world.frame'}


def test_the_unit_of_a_result_is_its_own_or_that_of_the_thing_read() -> None:
    measure = TOOLSET.tool('measure')
    value, share, note = (measure.returns[name] for name in ('value', 'share', 'note'))
    assert return_unit(measure, value, {'at': 'dial'}, WORLD) == 'bar'
    assert return_unit(measure, value, {'at': 'tube'}, WORLD) == 'mm'
    assert return_unit(measure, share, {'at': 'dial'}, WORLD) == '1'
    assert return_unit(measure, note, {'at': 'dial'}, WORLD) == ''
    assert return_unit(measure, value, {}, WORLD) == ''


def test_errors_of_tools_files_are_errors_of_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        load('tools: "1"\npush: [1]\n')
    assert caught.value.code == 103 and str(caught.value).startswith('hall_tools.yaml:2: push: ')
