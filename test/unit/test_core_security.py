# SPDX-License-Identifier: Apache-2.0
"""Enclaves from the table: who may what, and the shape that the schemas of sros2 and DDS-Security ask for."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from gemma4_ros.core import security
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.interfaces import Allowed, Endpoints, Robot, load_table

TABLE = """
interfaces: "1"
every: {publishes: {/rosout: rcl_interfaces/msg/Log}}
lifecycle: {}
nodes:
  gate:
    publishes: {~/state: gemma4_ros/msg/GateState}
    executes: {~/dispatch: gemma4_ros/action/DispatchStep}
    later: {calls: {$tools.services: each}, sends_goals: {$tools.actions: each}}
  deadman:
    subscribes: {$tools.actions/_action/status: action_msgs/msg/GoalStatusArray}
    calls: {$tools.actions/_action/cancel_goal: action_msgs/srv/CancelGoal}
  cell: {publishes: {mode: std_msgs/msg/String}, executes: {drive_to: a/action/Drive}, serves: {lamp: a/srv/Lamp}}
  operator: {later: {calls: {gate/set_armed: gemma4_ros/srv/SetArmed}}}
"""
ROBOT = Robot(actions={'drive_to': 'a/action/Drive'}, services={'lamp': 'a/srv/Lamp'})
VALID = security.Validity(7, '2026-02-03T04:05:06', '2027-02-03T04:05:06')
PROTECTION = {'ENCRYPT_WITH_ORIGIN_AUTHENTICATION', 'SIGN_WITH_ORIGIN_AUTHENTICATION', 'ENCRYPT', 'SIGN', 'NONE'}


def allowed(namespace: str = '/') -> dict[str, Allowed]:
    return load_table(TABLE, 'interfaces.yaml').of(ROBOT, namespace)


def parsed(namespace: str = '/') -> dict[str, ElementTree.Element]:
    made = security.documents(allowed(namespace), namespace, VALID)
    return {name: ElementTree.fromstring(text) for name, text in made.items()}


def rights(root: ElementTree.Element, right: str) -> list[str]:
    return [topic.text or '' for topic in root.findall(f'permissions/grant/allow_rule/{right}/topics/topic')]


def tags(element: ElementTree.Element) -> list[str]:
    return [child.tag for child in element]


def test_there_is_one_folder_an_enclave_as_in_a_keystore() -> None:
    assert sorted(parsed()) == [
        'enclaves/cell/permissions.xml',
        'enclaves/deadman/permissions.xml',
        'enclaves/gate/permissions.xml',
        'enclaves/governance.xml',
        'enclaves/operator/permissions.xml',
        'policy.xml',
    ]
    assert 'enclaves/r1/gate/permissions.xml' in parsed('/r1')


def test_the_policy_has_the_shape_of_the_schema() -> None:
    root = parsed()['policy.xml']
    assert (root.tag, root.attrib, tags(root)) == ('policy', {'version': '0.2.0'}, ['enclaves'])
    entries = {'topics': 'topic', 'services': 'service', 'actions': 'action'}
    of = {'topics': {'publish', 'subscribe'}, 'services': {'reply', 'request'}, 'actions': {'call', 'execute'}}
    for enclave in root[0]:
        assert enclave.tag == 'enclave' and set(enclave.attrib) == {'path'} and tags(enclave) == ['profiles']
        (profile,) = enclave[0]
        assert profile.tag == 'profile' and set(profile.attrib) == {'ns', 'node'}
        for group in profile:
            assert set(group.attrib) <= of[group.tag] and set(group.attrib.values()) == {'ALLOW'}
            assert len(group) and {entry.tag for entry in group} == {entries[group.tag]}
            assert all((entry.text or '').startswith('/') for entry in group)


def test_permissions_have_the_order_of_the_schema_and_deny_the_rest() -> None:
    for name, root in parsed().items():
        if not name.endswith('permissions.xml'):
            continue
        (grant,) = root.findall('permissions/grant')
        assert root.tag == 'dds' and tags(root) == ['permissions']
        assert tags(grant) == ['subject_name', 'validity', 'allow_rule', 'default']
        assert tags(grant[1]) == ['not_before', 'not_after'] and tags(grant[2]) == ['domains', 'publish', 'subscribe']
        assert (grant[1][0].text, grant[1][1].text) == (VALID.not_before, VALID.not_after)
        assert grant[0].text == f'CN={grant.get("name")}' == f'CN=/{name.split("/")[1]}'
        assert [each.text for each in grant.findall('allow_rule/domains/id')] == ['7']
        assert grant.findtext('default') == 'DENY'
        for topic in (*rights(root, 'publish'), *rights(root, 'subscribe')):
            assert re.fullmatch(r'ros_discovery_info|rt/[\w/]+|rq/[\w/*]+Request|rr/[\w/*]+Reply', topic), topic


def test_governance_has_the_order_of_the_schema_and_protects_everything() -> None:
    root = parsed()['enclaves/governance.xml']
    (rule,) = root.findall('domain_access_rules/domain_rule')
    assert tags(rule) == [
        'domains',
        'allow_unauthenticated_participants',
        'enable_join_access_control',
        'discovery_protection_kind',
        'liveliness_protection_kind',
        'rtps_protection_kind',
        'topic_access_rules',
    ]
    (topic,) = rule.findall('topic_access_rules/topic_rule')
    assert tags(topic) == [
        'topic_expression',
        'enable_discovery_protection',
        'enable_liveliness_protection',
        'enable_read_access_control',
        'enable_write_access_control',
        'metadata_protection_kind',
        'data_protection_kind',
    ]
    said = {each.tag: each.text for each in (*rule, *topic)}
    assert {value for name, value in said.items() if name.endswith('_kind')} <= PROTECTION - {'NONE'}
    assert said['allow_unauthenticated_participants'] == 'false' and said['topic_expression'] == '*'
    assert all(value == 'true' for name, value in said.items() if name.startswith('enable_'))
    assert rule.findtext('domains/id') == '7'


def test_only_the_gate_may_send_a_goal_and_call_a_service_of_the_robot() -> None:
    writes = {name.split('/')[1]: rights(root, 'publish') for name, root in parsed().items() if 'permissions' in name}
    for topic in ('rq/drive_to/_action/send_goalRequest', 'rq/drive_to/_action/get_resultRequest', 'rq/lampRequest'):
        assert [name for name, topics in writes.items() if topic in topics] == ['gate']
    cancels = 'rq/drive_to/_action/cancel_goalRequest'
    assert sorted(name for name, topics in writes.items() if cancels in topics) == ['deadman', 'gate']


def test_a_caller_writes_requests_and_reads_replies_and_a_server_the_other_way_round() -> None:
    made = parsed()
    gate, cell = (made[f'enclaves/{name}/permissions.xml'] for name in ('gate', 'cell'))
    assert 'rq/lampRequest' in rights(gate, 'publish') and 'rr/lampReply' in rights(gate, 'subscribe')
    assert 'rr/lampReply' in rights(cell, 'publish') and 'rq/lampRequest' in rights(cell, 'subscribe')
    assert 'rt/drive_to/_action/feedback' in rights(gate, 'subscribe')
    assert 'rt/drive_to/_action/feedback' in rights(cell, 'publish')
    assert 'rt/drive_to/_action/feedback' not in rights(gate, 'publish')


def test_what_one_may_publish_nobody_else_may() -> None:
    writes = {name: rights(root, 'publish') for name, root in parsed().items() if 'permissions' in name}
    assert [name for name, topics in writes.items() if 'rt/mode' in topics] == ['enclaves/cell/permissions.xml']
    assert [name for name, topics in writes.items() if 'rt/gate/state' in topics] == ['enclaves/gate/permissions.xml']


def test_everybody_may_take_part_in_discovery_and_log() -> None:
    for name, root in parsed().items():
        if name.endswith('permissions.xml'):
            assert {'ros_discovery_info', 'rt/rosout'} <= set(rights(root, 'publish'))
            assert 'ros_discovery_info' in rights(root, 'subscribe')


def test_topics_are_sorted_and_stand_once() -> None:
    for right in ('publish', 'subscribe'):
        for root in parsed().values():
            assert all(left < right for left, right in pairwise(rights(root, right)))


@pytest.mark.parametrize(
    ('role', 'name'),
    [
        ('calls', '/lamp'),
        ('sends_goals', '/drive_to'),
        ('calls', '/drive_to/_action/send_goal'),
        ('calls', '/drive_to/_action/get_result'),
    ],
)
@pytest.mark.parametrize('node', ['deadman', 'cell', 'operator'])
def test_a_way_past_the_gate_is_refused(node: str, role: str, name: str) -> None:
    made = allowed()
    security.check(made, ROBOT, '/')
    made[node] = Allowed(node, made[node].always, made[node].later | Endpoints(**{role: {name: 'x/srv/Y'}}))
    with pytest.raises(ConfigError, match=f'{node} must not call {name}: only the gate'):
        security.check(made, ROBOT, '/')


def test_only_the_deadman_may_cancel_beside_the_gate() -> None:
    made = allowed()
    cancel = Endpoints(calls={'/drive_to/_action/cancel_goal': 'action_msgs/srv/CancelGoal'})
    made['cell'] = Allowed('cell', made['cell'].always | cancel, made['cell'].later)
    with pytest.raises(ConfigError, match='cell must not call'):
        security.check(made, ROBOT, '/')


def test_names_of_the_namespace_are_guarded_too() -> None:
    made = allowed('/r1')
    security.check(made, ROBOT, '/r1')
    more = Endpoints(sends_goals={'/r1/drive_to': 'a/action/Drive'})
    made['operator'] = Allowed('operator', Endpoints(), more)
    with pytest.raises(ConfigError, match='/r1/drive_to'):
        security.check(made, ROBOT, '/r1')
