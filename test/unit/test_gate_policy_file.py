# SPDX-License-Identifier: Apache-2.0
"""The policy file's sections: what stands there is what the gate gets; what is wrong is refused by name and line."""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import replace

import pytest
from hand_gate import load as load_shipped

from gemma4_ros.core.errors import PolicyError
from gemma4_ros.core.gate import policy as policies
from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.diff import corpus, diff, shown
from gemma4_ros.core.gate.explain import explain
from gemma4_ros.core.gate.lint import lint
from gemma4_ros.core.gate.ordinary import ordinary_state, ordinary_value
from gemma4_ros.core.gate.policy import (
    Approval,
    ArgumentRule,
    Event,
    Limit,
    Person,
    Policy,
    Post,
    SequenceRule,
    SignalRule,
    When,
)
from gemma4_ros.core.gate.policy_file import load_policy, tier_of
from gemma4_ros.core.gate.verdict import Allow, Hold, NeedsApproval
from gemma4_ros.core.gate.zones import Point, Zones
from gemma4_ros.core.plan import Plan, Repeat, Step, plan_to_bytes
from gemma4_ros.core.tools import load_tools

_, CATALOGUE = load_shipped()
ANNA, BOB = (base64.b64encode(bytes([number] * 32)).decode() for number in (1, 2))
TEXT = f"""\
policy: "1"
name: full
version: 3
expires: "2030-02-28"
hazards: {{h1: it drives over a foot, h2: it spills}}
people:
  anna: {{key: {ANNA}, roles: [lead]}}
  bob: {{key: {BOB}, roles: [lead, safety]}}
signals:
  mode: {{topic: mode, type: std_msgs/msg/String, field: data, fresh_by: age, max_age_s: 2.0, needed_from: read}}
  estop: {{topic: estop, type: std_msgs/msg/Bool, field: data, fresh_by: liveliness, max_age_s: 1.0, needed_from: read}}
  pose: {{topic: odom, type: nav_msgs/msg/Odometry, fresh_by: age, max_age_s: 0.5,
    frozen_after_s: 1.0, needed_from: motion}}
  battery: {{topic: battery_state, type: sensor_msgs/msg/BatteryState, field: percentage, fresh_by: age, max_age_s: 5.0,
    needed_from: motion, publishers: [base/driver, spare]}}
zones:
  frame: map
  signal: pose
  margin_m: 0.5
  areas:
    hall: {{kind: allow, polygon: [[-5, -5], [5, -5], [5, 5], [-5, 5]]}}
    pit: {{kind: keep_out, polygon: [[1, 1], [2, 1], [2, 2], [1, 2]], margin_m: 0.1, hazard: h2}}
modes: {{AUTO: irreversible, MANUAL: read, MAINTENANCE: none}}
tools:
  navigate_to: {{risk: motion, hazard: h1, ends_at: pose, args: {{place: {{deny: [storage], from: [camera]}}}},
    when: [{{signal: battery, min: 0.2, max: 0.9}}, {{signal: mode, is: AUTO}}],
    post: {{signal: pose, near_end_m: 0.4, within_s: 2.0}},
    limits: {{per_minute: 6, at_once: 1, totals: [{{of: distance_m, max: 100, within_s: 3600}}]}}}}
  dock: {{risk: motion, hazard: h1, post: {{signal: estop, is: false, within_s: 1}},
    when: [{{signal: battery, min: 0.1}}]}}
  set_panel_value: {{risk: irreversible, hazard: h2, args: {{value_bar: {{min: 1.0, unit: bar}}}},
    when: [{{signal: battery, max: 0.5, else_cap: {{value_bar: 2}}}}],
    limits: {{totals: [{{max: 3, within_s: 60}}, {{of: value_bar, max: 9, within_s: 60}}]}}}}
  read_gauge: {{risk: read, trust: camera}}
sequences:
  first_dock: {{rule: precedence, first: {{tool: dock}}, then: {{tool: navigate_to, args: {{place: pump}}}},
    hazard: h1}}
  few: {{rule: at_most, first: {{tool: dock}}, times: 4, scope: session}}
  back: {{rule: response, first: {{tool: navigate_to}}, then: {{tool: dock}}, within_s: 30, scope: plan}}
  no_three: {{rule: never, first: {{tool: set_panel_value, args: {{value_bar: 3}}}}}}
rates: {{plans_per_minute: 30, plans_per_person: 10}}
approvals:
  time_to_live_s: 120
  read: {{typed: {{confirm: false, people: 0}}, speech: {{confirm: false, people: 0}}}}
  reversible: {{typed: {{confirm: false, people: 0}}, speech: {{confirm: true, people: 0}}}}
  motion: {{typed: {{confirm: false, people: 0}}, speech: {{confirm: true, people: 2, role: lead}}}}
  irreversible: {{typed: {{confirm: true, people: 1, role: safety}}, speech: {{confirm: true, people: 1}}}}
permit: {{time_to_live_s: 1800, start_within_s: 30}}
leases: {{executor_s: 1.0, deadman_s: 0.5}}
"""


def load(text: str = TEXT) -> Policy:
    return load_policy(text, 'policy.yaml', CATALOGUE.toolset)


POST = '    post: {signal: pose, near_end_m: 0.4, within_s: 2.0},\n'


def line_of(part: str) -> int:
    return next(number for number, line in enumerate(TEXT.splitlines(), 1) if part in line)


def test_head_signals_people_rates_and_times_are_what_stands_there() -> None:
    policy = load()
    assert (policy.name, policy.version, policy.expires) == ('full', 3, '2030-02-28')
    assert policy.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert policy.modes == {'AUTO': 3, 'MANUAL': 0, 'MAINTENANCE': -1}
    assert policy.people == {
        'anna': Person('anna', b'\x01' * 32, frozenset({'lead'})),
        'bob': Person('bob', b'\x02' * 32, frozenset({'lead', 'safety'})),
    }
    assert policy.signals['pose'] == SignalRule('pose', 'odom', 'nav_msgs/msg/Odometry', '', 0.5, 2, 'age', 1.0)
    assert policy.signals['battery'].publishers == {'base/driver', 'spare'}
    assert policy.signals['estop'].fresh_by == 'liveliness' and policy.signals['mode'].frozen_after_s == math.inf
    assert (policy.plans_per_minute, policy.plans_per_person) == (30.0, 10.0)
    assert policy.approvals[2, 'speech'] == Approval(True, 2, 'lead')
    assert policy.approvals[3, 'typed'] == Approval(True, 1, 'safety')
    times = (policy.approval_ttl_s, policy.permit_ttl_s, policy.start_within_s)
    assert times == (120.0, 1800.0, 30.0) and (policy.executor_lease_s, policy.deadman_lease_s) == (1.0, 0.5)


def test_tools_are_what_stands_there() -> None:
    tools, battery = load().tools, policies.Test('battery', low=0.2, high=0.9)
    drive, panel = tools['navigate_to'], tools['set_panel_value']
    assert (drive.tier, drive.hazard, drive.trust, drive.ends_at, drive.at_once) == (2, 'h1', '', 'pose', 1)
    assert drive.args == {
        'place': ArgumentRule(None, frozenset({'storage'}), -math.inf, math.inf, '', frozenset({'camera'}))
    }
    assert drive.when == (When(battery), When(policies.Test('mode', equals='AUTO')))
    assert drive.post == Post(policies.Test('pose'), 0.4, 2.0)
    assert drive.limits == (Limit('', 6, 60.0, is_rate=True), Limit('distance_m', 100.0, 3600.0))
    assert panel.args == {'value_bar': ArgumentRule(None, frozenset(), 1.0, math.inf, 'bar')}
    assert panel.when == (When(policies.Test('battery', high=0.5), {'value_bar': 2.0}),)
    assert panel.limits == (Limit('', 3.0, 60.0), Limit('value_bar', 9.0, 60.0)) and panel.at_once == 256
    assert tools['dock'].post == Post(policies.Test('estop', equals=False), math.inf, 1.0)
    assert (tools['read_gauge'].trust, tools['read_gauge'].post, tools['read_gauge'].when) == ('camera', None, ())


def test_zones_and_sequences_are_what_stands_there() -> None:
    policy = load()
    assert policy.zones is not None and (policy.zones.frame, policy.zones.signal) == ('map', 'pose')
    assert policy.zones.problem(Point(4.6, 0.0, 'map'))[0] and not policy.zones.problem(Point(4.4, 0.0, 'map'))[0]
    said = policy.zones.problem(Point(0.95, 1.5, 'map'))[1]
    assert said is not None and (said.name, said.hazard, said.is_keep_out) == ('pit', 'h2', True)
    assert not policy.zones.problem(Point(0.85, 1.5, 'map'))[0]
    first_dock, few, back, no_three = policy.sequences
    drive = Event('navigate_to', {'place': 'pump'})
    assert first_dock == SequenceRule('first_dock', 'precedence', Event('dock'), drive, 0, 0.0, False, 'h1')
    assert few == SequenceRule('few', 'at_most', Event('dock'), None, 4, 0.0, True, '')
    assert back == SequenceRule('back', 'response', Event('navigate_to'), Event('dock'), 0, 30.0, False, '')
    assert no_three.first == Event('set_panel_value', {'value_bar': 3}) and no_three.kind == 'never'


def test_sections_that_are_left_out_allow_and_ask_nothing_more() -> None:
    start, end = TEXT.index('zones:'), TEXT.index('modes:')
    text = TEXT[:start] + TEXT[end:]
    text = text[: text.index('sequences:')] + text[text.index('approvals:') :]
    text = text[: text.index('people:\n')] + text[text.index('signals:') :]
    text = text.replace(', role: lead', '').replace(', role: safety', '').replace('expires: "2030-02-28"\n', '')
    policy = load(text)
    assert (policy.zones, policy.sequences, policy.people, policy.expires) == (None, (), {}, '')
    assert policy.plans_per_minute == policy.plans_per_person == math.inf
    assert policy.approvals[2, 'speech'] == Approval(True, 2)


def test_risks_are_tiers() -> None:
    assert [tier_of(risk) for risk in ('none', 'read', 'reversible', 'motion', 'irreversible')] == [-1, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('2030-02-28', '2030-02-29', "expires: '2030-02-29' is no day of the calendar"),
        ('2030-02-28', '2030-13-01', 'no day of the calendar'),
        ('2030-02-28', '2030-00-01', 'no day of the calendar'),
        ('2030-02-28', '2030-01-00', 'no day of the calendar'),
        ('2030-02-28', '1999-01-01', 'expires'),
        (BOB, ANNA, 'people.anna: anna and bob have the same key; each person has an own one'),
        (f'key: {BOB}', f'key: {BOB[:-2]}', 'people.bob.key'),
        ('roles: [lead]', 'roles: []', 'people.anna.roles'),
        ('estop, type: std_msgs/msg/Bool, field: data,', 'estop, type: std_msgs/msg/Bool,', "'field' is missing"),
        ('mode, type: std_msgs/msg/String, field: data,', 'mode, type: std_msgs/msg/String,', "'field' is missing"),
        ('fresh_by: liveliness', 'fresh_by: lives', 'signals.estop.fresh_by'),
        ('[base/driver, spare]', '["/cmd vel"]', 'publishers'),
        ('signal: pose\n', 'signal: poses\n', "zones.signal: unknown signal 'poses'; did you mean 'pose'?"),
        ('margin_m: 0.1, hazard: h2', 'margin_m: 0.1, hazard: h7', "zones.areas.pit: unknown hazard 'h7'"),
        ('[5, 5], [-5, 5]', '[-5, 5], [5, 5]', 'zones.areas.hall: no simple polygon: Self-intersection'),
        ('margin_m: 0.5', 'margin_m: 5.0', 'zones.areas.hall: nothing is left of it with a margin of 5 m'),
        ('[[1, 1], [2, 1], [2, 2], [1, 2]]', '[[1, 1], [2, 1]]', 'zones.areas.pit.polygon'),
        ('  dock: {risk', '  duck: {risk', "tools.duck: unknown tool 'duck'; did you mean 'dock'?"),
        ('dock: {risk: motion', 'dock: {risk: reversible',
         "tools.dock: 'reversible' is below 'motion' of the tools file"),
        ('dock: {risk: motion, hazard: h1,', 'dock: {risk: motion,', "tools.dock: 'hazard' is missing"),
        ('ends_at: pose', 'ends_at: goal', "navigate_to.ends_at: the goal has no PoseStamped (header, pose) at 'goal'"),
        ('ends_at: pose', 'ends_at: pose.pose', "at 'pose.pose'"),
        ('ends_at: pose', 'ends_at: pose.header.frame_id.x', 'no PoseStamped'),
        ('ends_at: pose, ', '', 'near_end_m needs ends_at, and stands alone'),
        ('near_end_m: 0.4', 'near_end_m: 0.4, max: 1', 'near_end_m needs ends_at, and stands alone'),
        ('{signal: pose, near_end_m', '{signal: post, near_end_m', "navigate_to.post: unknown signal 'post'"),
        ('place: {deny: [storage], from: [camera]}', 'place: {}', 'names take allow or deny'),
        ('place: {deny: [storage], from: [camera]}', 'place: {max: 1}', 'names take allow or deny'),
        ('deny: [storage]', 'deny: [store]', "args.place: unknown name 'store'; did you mean 'storage'?"),
        ('deny: [storage]', 'allow: [moon]', "unknown name 'moon'"),
        ('from: [camera]', 'from: [rumour]', 'args.place.from'),
        ('place: {deny', 'plate: {deny', "navigate_to takes no such argument; did you mean 'place'?"),
        ('value_bar: {min: 1.0, unit: bar}', 'value_bar: {deny: [a]}', 'numbers take min, max and unit'),
        ('min: 1.0, unit: bar', 'min: 1.0', "the unit is None; the tool wants 'bar'"),
        ('min: 1.0, unit: bar', 'min: 1.0, unit: psi', "the unit is 'psi'; the tool wants 'bar'"),
        ('min: 1.0, unit: bar', 'unit: bar, min: 8.1', 'nothing between 8.1 and inf bar fits the tool'),
        ('min: 1.0, unit: bar', 'unit: bar, min: 3.0, max: 2.0', 'nothing between 3.0 and 2.0 bar fits the tool'),
        ('signal: battery, min: 0.2', 'signal: batery, min: 0.2', "unknown signal 'batery'; did you mean 'battery'?"),
        ('min: 0.2, max: 0.9', 'min: 0.9, max: 0.2', 'nothing lies between 0.9 and 0.2'),
        ('min: 0.2, max: 0.9', 'min: 0.2, is: a', 'write either is, or min and max'),
        ('{signal: battery, min: 0.2, max: 0.9}', '{signal: battery}', 'write either is, or min and max'),
        ('{signal: battery, min: 0.2, max: 0.9}', '{signal: pose, min: 1}', "the signal 'pose' has no field"),
        ('else_cap: {value_bar: 2}', 'else_cap: {panel: 2}',
         "entry 1 caps 'panel'; set_panel_value has no such number"),
        ('else_cap: {value_bar: 2}', 'else_cap: {value: 2}', "entry 1 caps 'value'"),
        ('of: distance_m', 'of: distance', "no number 'distance'; did you mean 'distance_m'?"),
        ('of: value_bar', 'of: panel', "set_panel_value has no number 'panel'"),
        ('per_minute: 6', 'per_minute: 0', 'per_minute'),
        ('max: 3, within_s: 60', 'max: 0, within_s: 60', 'max'),
        ('first: {tool: dock}, times: 4', 'first: {tool: dock}', 'at_most takes first, times, not first'),
        ('times: 4', 'times: 4, within_s: 1', 'at_most takes first, times, not first, times, within_s'),
        ('within_s: 30, scope', 'scope', 'response takes first, then, within_s, not first, then'),
        ('rule: precedence, first: {tool: dock}, then', 'rule: never, first: {tool: dock}, then',
         'never takes first, not'),
        ('rule: never', 'rule: exclusive', 'sequences.no_three: exclusive takes first, then, not first'),
        ('rule: never', 'rule: never_after', 'never_after takes first, then, not first'),
        ('rule: never', 'rule: sometimes', 'sequences.no_three.rule'),
        ('{rule: at_most, first: {tool: dock}', '{rule: at_most, first: {tool: pick}',
         "sequences.few: unknown tool 'pick'"),
        ('args: {place: pump}', 'args: {plate: pump}', "unknown argument 'plate'; did you mean 'place'?"),
        ('args: {place: pump}', 'args: {place: pumpe}', "unknown name 'pumpe'; did you mean 'pump'?"),
        ('args: {place: pump}', 'args: {place: 3}', "unknown name '3'"),
        ('{value_bar: 3}', '{value_bar: "3"}', "sequences.no_three: '3' is no number; value_bar is one"),
        ('{value_bar: 3}', '{value_bar: true}', 'sequences.no_three: True is no number; value_bar is one'),
        ('hazard: h1}\n  few', 'hazard: h5}\n  few', "sequences.first_dock: unknown hazard 'h5'"),
        ('people: 2, role: lead', 'people: 2, role: safety',
         "approvals.motion.speech: 2 people of role 'safety' must agree; 1"),
        ('role: safety', 'role: chief', "1 people of role 'chief' must agree; 0 are listed"),
    ],
)  # fmt: skip
def test_wrong_policy_is_refused_by_name_and_line(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(PolicyError) as caught:
        load(TEXT.replace(old, new, 1))
    assert said in str(caught.value)
    file, line, *_ = str(caught.value).split(':')
    assert file == 'policy.yaml' and line.isdigit()


def test_line_is_that_of_the_wrong_entry() -> None:
    for old, new in (
        ('2030-02-28', '2030-02-30'),
        ('times: 4', 'times: 4, within_s: 1'),
        ('ends_at: pose', 'ends_at: x'),
    ):
        with pytest.raises(PolicyError, match=f'^policy.yaml:{line_of(old)}: '):
            load(TEXT.replace(old, new, 1))


def test_role_without_people_is_refused() -> None:
    text = TEXT[: TEXT.index('people:\n')] + TEXT[TEXT.index('signals:') :]
    with pytest.raises(PolicyError, match=r"approvals\.motion\.speech: a role is asked for and 'people' lists nobody"):
        load(text)


BOOLEAN_TOOL = """
tools: "1"
lamp:
  doc: switch the lamp
  words: [lamp]
  interface: {service: std_srvs/srv/SetBool, name: lamp}
  args: {is_on: {type: boolean}}
  goal: {data: $is_on}
  success: {success: true}
  returns: {}
  needs: []
  gives: []
  duration_s: {typical: 1, timeout: 5}
  risk: reversible
"""


def lamp(args: str, event: str = 'true') -> Policy:
    toolset = load_tools([('lamp.yaml', BOOLEAN_TOOL)], CATALOGUE.world)
    start, end = TEXT.index('tools:'), TEXT.index('rates:')
    rule = f'sequences:\n  once: {{rule: never, first: {{tool: lamp, args: {{is_on: {event}}}}}}}\n'
    text = f'{TEXT[:start]}tools:\n  lamp: {{risk: reversible, args: {{is_on: {args}}}}}\n{rule}{TEXT[end:]}'
    return load_policy(text, 'policy.yaml', toolset)


def test_boolean_argument_takes_labels_of_results_alone() -> None:
    policy = lamp('{from: [camera]}')
    assert policy.tools['lamp'].args['is_on'].sources == {'camera'}
    assert policy.sequences[0].first == Event('lamp', {'is_on': True})
    for args in ('{allow: [yes_]}', '{from: [camera], deny: [on_]}', '{max: 1}', '{}'):
        with pytest.raises(PolicyError, match='all take from'):
            lamp(args)
    for event in ('1', '"true"'):
        with pytest.raises(PolicyError, match='is neither true nor false; is_on is'):
            lamp('{from: [camera]}', event)


# What the command line says about a policy ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('frame: map', 'frame: odom', "policy.zones.frame: the world is given in 'map', so every goal is refused"),
        ('ends_at: pose, ', 'post: {signal: mode, is: AUTO, within_s: 1}, ',
         'its goal has a pose, and without ends_at'),
        ('[[1, 1], [2, 1], [2, 2], [1, 2]]', '[[2, 1], [4, 1], [4, 3], [2, 3]]', 'policy.zones: pump is never reached'),
        ('[[1, 1], [2, 1], [2, 2], [1, 2]]', '[[-9, -9], [9, -9], [9, 9], [-9, 9]]', 'lies wholly in the keep-out'),
        ('{signal: mode, is: AUTO}]', '{signal: mode, is: AUTO}, {signal: mode, is: MANUAL}]',
         'mode can never be both'),
        ('max: 0.9}, {', 'max: 0.9}, {signal: battery, min: 0.95}, {', 'battery can never be both'),
        ('max: 0.9}, {', 'max: 0.9}, {signal: battery, max: 0.1}, {', 'battery can never be both'),
        ('value_bar: 2}', 'value_bar: 0.5}', 'the cap of value_bar at 0.5 is below its bounds; nothing passes it'),
        ('min: 1.0, unit: bar', 'min: 1.0, max: 2.0, unit: bar', 'cap of value_bar at 2 is as wide as its bounds'),
        ('per_minute: 6', 'per_minute: 1', '1 uses within 60 s are fewer than the 2 tries of one step'),
        ('{value_bar: 3}', '{}', 'policy.sequences.no_three: set_panel_value is never allowed; leave it out'),
        ('then: {tool: dock}', 'then: {tool: navigate_to}', 'policy.sequences.back: first and then are the same'),
        ('    hazard: h1}', '    scope: plan}', 'policy.sequences.first_dock: names no hazard'),
        ('max_age_s: 5.0,', 'max_age_s: 6.0,', 'policy.signals.battery: 6 s old still counts as fresh'),
        ('people: 2, role: lead', 'people: 0', 'sequences.few: names no hazard'),
    ],
)  # fmt: skip
def test_lint_names_what_cannot_work_or_has_no_effect(old: str, new: str, said: str) -> None:
    assert old in TEXT
    assert any(
        said in line
        for line in lint(load(TEXT.replace(old, new, 1).replace(POST if 'post:' in new else '\0', '')), CATALOGUE)
    )


def test_argument_rule_that_only_labels_results_has_an_effect() -> None:
    for old, new in (('deny: [storage], from', 'from'), ('min: 1.0, unit: bar', 'from: [camera]')):
        assert not any(
            'no effect' in line or 'as wide' in line for line in lint(load(TEXT.replace(old, new)), CATALOGUE)
        )
    names = sorted(CATALOGUE.toolset.tools['navigate_to'].args['place'].values)
    everything = TEXT.replace('deny: [storage], from: [camera]', f'allow: [{", ".join(names)}]')
    said = 'policy.tools.navigate_to.args.place: allows everything that the tool takes; it has no effect'
    assert said in lint(load(everything), CATALOGUE)


def test_lint_of_the_people_and_of_a_policy_without_zones() -> None:
    policy = load()
    nobody = {key: Approval(item.confirm, 0) for key, item in policy.approvals.items()}
    said = 'policy.people: nobody of them is ever asked; approvals want no people'
    assert said in lint(replace(policy, approvals=nobody), CATALOGUE) and said not in lint(policy, CATALOGUE)
    said = 'policy.people: is missing, so names are taken at their word'
    assert said in lint(replace(policy, people={}), CATALOGUE) and said not in lint(policy, CATALOGUE)
    assert not any('zones' in line for line in lint(replace(policy, zones=None), CATALOGUE))


def test_lint_names_a_recovery_that_is_not_listed() -> None:
    text = BOOLEAN_TOOL + 'lift:\n' + BOOLEAN_TOOL.split('lamp:\n')[1].replace('lamp', 'lift')
    text = text.replace('{is_on: {type: boolean}}', '{}').replace('$is_on', 'true')
    text = text.replace('  risk: reversible\nlift', '  retry: {times: 1, recover: [lift]}\n  risk: reversible\nlift')
    toolset = load_tools([('lamp.yaml', text)], CATALOGUE.world)
    catalogue = Catalogue(CATALOGUE.world, toolset, '', '')
    start, end = TEXT.index('tools:'), TEXT.index('rates:')
    policy = load_policy(f'{TEXT[:start]}tools: {{lamp: {{risk: reversible}}}}\n{TEXT[end:]}', 'policy.yaml', toolset)
    said = 'policy.tools.lamp: its recovery lift is not listed: plans with it are denied'
    assert said in lint(policy, catalogue)
    listed = replace(policy, tools={**policy.tools, 'lift': replace(policy.tools['lamp'], name='lift')})
    assert said not in lint(listed, catalogue)
    raw, state = plan_to_bytes(Plan('x', Step('s', 'lamp', {}))), ordinary_state(policy, CATALOGUE.world, 1.0)
    case_lines = explain(raw, policy, catalogue, state, 'anna', 0, 1.0)
    assert [line.subject for line in case_lines if line.verdict.rule == 'policy.tools'] == ['s/recover/lift']


JOINTS_TOOL = """tools: "1"
joints:
  doc: move joints
  interface: {action: control_msgs/action/FollowJointTrajectory, name: arm/follow}
  args: {motion: {named: {nod: {points: []}}}}
  goal: {trajectory: $motion.value}
  needs: []
  gives: []
  duration_s: {typical: 1, timeout: 2}
  risk: motion
"""


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('', '', ''),
        ('{named: {nod: {points: []}}}', '{type: boolean}', 'FollowJointTrajectory moves joints as the goal says'),
        ('{motion: {named: {nod: {points: []}}}}', '{}', 'let it take motions by name'),
        ('action: control_msgs/action/FollowJointTrajectory', 'service: x_msgs/srv/SwitchController', 'a person does'),
    ],
)
def test_lint_names_what_goes_past_a_planner_or_under_the_controllers(old: str, new: str, said: str) -> None:
    text = JOINTS_TOOL.replace(old, new)
    text = text if 'named' in text else text.replace('$motion.value', '1')
    toolset = load_tools([('joints.yaml', text)], CATALOGUE.world)
    start, end = TEXT.index('tools:'), TEXT.index('rates:')
    policy = load_policy(
        f'{TEXT[:start]}tools: {{joints: {{risk: motion, hazard: h1}}}}\n{TEXT[end:]}', 'policy.yaml', toolset
    )
    found = [line for line in lint(policy, Catalogue(CATALOGUE.world, toolset, '', '')) if 'tools.joints: ' in line]
    assert len(found) == bool(said)
    assert not said or said in found[0]


POSE = '{header: {frame_id: $world.frame}, pose: $place.pose}'


@pytest.mark.parametrize(
    ('goal', 'ends_at', 'said'),
    [
        (f'{{pose: {POSE}}}', 'pose', ''),
        (f'{{poses: {{goals: [{POSE}, {POSE}]}}}}', '', 'without ends_at no zone is held against it'),
        (f'{{pose: {POSE}, others: [{POSE}]}}', 'pose', 'its goal has 2 poses, and zones are held against one'),
        ('{name: $place, quick: true}', '', ''),
    ],
)
def test_lint_names_poses_that_no_zone_is_held_against(goal: str, ends_at: str, said: str) -> None:
    text = JOINTS_TOOL.replace('{motion: {named: {nod: {points: []}}}}', '{place: {enum: world.places}}')
    toolset = load_tools([('drive.yaml', text.replace('{trajectory: $motion.value}', goal))], CATALOGUE.world)
    start, end = TEXT.index('tools:'), TEXT.index('rates:')
    rule = f'{{risk: motion, hazard: h1{", ends_at: " + ends_at if ends_at else ""}}}'
    policy = load_policy(f'{TEXT[:start]}tools: {{joints: {rule}}}\n{TEXT[end:]}', 'policy.yaml', toolset)
    found = [line for line in lint(policy, Catalogue(CATALOGUE.world, toolset, '', '')) if 'pose' in line]
    assert len(found) == bool(said)
    assert not said or said in found[0]


def test_explain_names_what_whole_plans_and_unknown_tools_break() -> None:
    policy = load()
    state = ordinary_state(policy, CATALOGUE.world, 1.0)

    def lines(step: Step | Repeat) -> list[tuple[str, str, str]]:
        found = explain(plan_to_bytes(Plan('x', step)), policy, CATALOGUE, state, 'anna', 0, 1.0)
        return [(line.subject, line.verdict.name, line.verdict.rule) for line in found]

    assert lines(Step('s', 'fly', {}))[-1] == ('plan', 'deny', 'admission.tools')
    assert ('plan', 'deny', 'policy.sequences.few') in lines(Repeat(Step('s', 'dock', {}), 3))
    assert ('plan', 'allow', 'policy.sequences') in lines(Step('s', 'read_gauge', {'gauge': 'pressure_gauge'}))


def test_corpus_has_every_name_and_the_ends_and_middle_of_numbers() -> None:
    plans = dict(corpus(CATALOGUE))
    values = sorted(float(name.split('value_bar=')[1].rstrip(')')) for name in plans if 'value_bar' in name)
    assert values == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert sum('navigate_to' in name for name in plans) == 5 and sum('open_valve' in name for name in plans) == 2


def test_corpus_takes_booleans_and_integers_and_leaves_drafts_out() -> None:
    text = BOOLEAN_TOOL.replace(
        '{is_on: {type: boolean}}', '{is_on: {type: boolean}, n: {type: integer, min: 1, max: 3, unit: "1"}}'
    )
    text = text.replace('{data: $is_on}', '{data: $is_on, n: $n}')
    toolset = load_tools([('lamp.yaml', text)], CATALOGUE.world)
    plans = dict(corpus(Catalogue(CATALOGUE.world, toolset, '', '')))
    assert len(plans) == 6
    drafts = {'lamp': replace(toolset.tools['lamp'], draft=True)}
    assert dict(corpus(Catalogue(CATALOGUE.world, replace(toolset, tools=drafts), '', ''))) == {}


def test_diff_shows_what_is_decided_differently_and_nothing_else() -> None:
    old = load()
    read = plan_to_bytes(Plan('x', Step('s', 'read_gauge', {'gauge': 'pressure_gauge'})))
    panel = plan_to_bytes(Plan('x', Step('s', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': 4.0})))
    plans = {'read': read, 'panel': panel}
    assert diff(old, old, CATALOGUE, plans) == []
    found = diff(old, load(TEXT.replace('min: 1.0, unit', 'min: 5.0, unit')), CATALOGUE, plans)
    assert {(item.plan, item.channel, item.mode) for item in found} == {
        ('panel', channel, mode) for channel in ('typed', 'speech') for mode in ('AUTO', 'MANUAL', 'MAINTENANCE')
    }
    typed = next(item for item in found if (item.channel, item.mode) == ('typed', 'AUTO'))
    assert shown(typed.before) == 'needs a confirmation and 1 people of safety'
    assert shown(typed.after) == 'deny 625 (policy.tools.set_panel_value.args.value_bar)'
    found = diff(old, load(TEXT.replace('MANUAL: read', 'MANUAL: none')), CATALOGUE, {'read': read})
    assert {(item.mode, shown(item.before), shown(item.after)) for item in found} == {
        ('MANUAL', 'allow', 'hold 645 (policy.modes.MANUAL)')
    }
    found = diff(old, load(TEXT.replace('people: 1, role: safety', 'people: 1')), CATALOGUE, plans)
    assert {shown(item.after) for item in found} == {'needs a confirmation and 1 people'}


def test_ordinary_moment_lets_the_whole_policy_hold() -> None:
    policy = load()
    state = ordinary_state(policy, CATALOGUE.world, 7.0)
    values = {name: value.value for name, value in state.signals.items()}
    assert (values['mode'], values['estop']) == ('AUTO', False)
    assert (
        isinstance(values['pose'], Point) and policy.zones is not None and not policy.zones.problem(values['pose'])[0]
    )
    assert {value.at_s for value in state.signals.values()} == {7.0}
    assert ordinary_value(policy, CATALOGUE.world, 'battery') == pytest.approx(0.35)  # 0.2 to 0.5 fit all tests
    nowhere = replace(policy, zones=Zones('elsewhere', 'pose', ()))
    assert ordinary_value(nowhere, CATALOGUE.world, 'pose') is None


@pytest.mark.parametrize(
    ('tests', 'value'),
    [
        ([policies.Test('x', equals='shut'), policies.Test('x', low=1.0)], 'shut'),
        ([policies.Test('x', low=1.0)], 1.0),
        ([policies.Test('x', high=2.0)], 2.0),
        ([policies.Test('x', low=1.0), policies.Test('x', high=2.0)], 1.5),
        ([], None),
    ],
)
def test_ordinary_value_passes_every_test_that_is_made_of_it(tests: list[policies.Test], value: object) -> None:
    policy = load()
    dock = replace(policy.tools['dock'], when=tuple(When(test) for test in tests))
    assert ordinary_value(replace(policy, tools={'dock': dock}), CATALOGUE.world, 'x') == value


def test_verdict_in_a_few_words() -> None:
    assert shown(Allow()) == 'allow' and shown(Hold(Code.DISARMED, 'state.disarmed', '')) == 'hold 640 (state.disarmed)'
    assert shown(NeedsApproval(Code.DISARMED, '', '', confirm=True)) == 'needs a confirmation'
    assert shown(NeedsApproval(Code.DISARMED, '', '', people=2)) == 'needs 2 people'
