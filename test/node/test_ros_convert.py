# SPDX-License-Identifier: Apache-2.0
"""JSON to messages and back by field types."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticStatus
from gemma4_ros.action import DriveTo, ExecuteSkill, MakePlan, OperateValve
from gemma4_ros.msg import Fact, GateState, Reading, TreeState
from gemma4_ros.srv import AdmitPlan, SetFacts
from geometry_msgs.msg import PoseWithCovariance
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from rosidl_parser.definition import (
    AbstractNestedType,
    AbstractString,
    Array,
    BasicType,
    BoundedSequence,
    NamespacedType,
)
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import SetBool, Trigger
from unique_identifier_msgs.msg import UUID

from gemma4_ros.core.errors import ConversionError
from gemma4_ros.ros.convert import describe, message_class, to_json, to_message
from gemma4_ros.ros.types import FLOATS, INTEGERS, fields, request_class, result_class

pytestmark = pytest.mark.ros

MESSAGES = [
    DriveTo.Goal, MakePlan.Goal, MakePlan.Result, TreeState, GateState, Reading, AdmitPlan.Request, AdmitPlan.Response,
    SetFacts.Request, CameraInfo, Image, JointState, UUID, DiagnosticStatus, PoseWithCovariance, Trigger.Request,
]  # fmt: skip


def json_of(kind: Any) -> st.SearchStrategy[Any]:
    """Draw a JSON value that fits a rosidl type; written from the types alone, apart from the code under test."""
    if isinstance(kind, AbstractNestedType):
        low, high = (kind.size, kind.size) if isinstance(kind, Array) else (0, 4)
        if isinstance(kind, BoundedSequence):
            high = min(high, kind.maximum_size)
        if isinstance(kind.value_type, BasicType) and kind.value_type.typename == 'uint8':
            return st.binary(min_size=low, max_size=high).map(lambda data: base64.b64encode(data).decode())
        return st.lists(json_of(kind.value_type), min_size=low, max_size=high)
    if isinstance(kind, AbstractString):
        size = min(kind.maximum_size, 8) if kind.has_maximum_size() else 8
        return st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\0'), max_size=size)
    if isinstance(kind, NamespacedType):
        if kind.name in ('Time', 'Duration'):
            return st.fixed_dictionaries({'sec': st.integers(0, 2**31 - 1), 'nanosec': st.integers(0, 999_999_999)})
        return message_json('/'.join([*kind.namespaces, kind.name]))
    if kind.typename == 'boolean':
        return st.booleans()
    if kind.typename in FLOATS:
        return st.floats(allow_nan=False, allow_infinity=False, width=32)
    return st.integers(*INTEGERS[kind.typename])


def message_json(cls_or_name: Any) -> st.SearchStrategy[dict[str, Any]]:
    cls = message_class(cls_or_name) if isinstance(cls_or_name, str) else cls_or_name
    return st.fixed_dictionaries({name: json_of(kind) for name, kind in fields(cls).items()})


@pytest.mark.parametrize('cls', MESSAGES, ids=lambda cls: cls.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_json_survives_the_way_through_a_message_and_the_wire(cls: Any, data: Any) -> None:
    value = data.draw(message_json(cls))
    message = to_message(cls, value)
    assert to_json(message) == value
    on_the_wire = deserialize_message(serialize_message(message), cls)
    assert to_json(on_the_wire) == value
    assert to_message(cls, json.loads(json.dumps(to_json(message)))) == message


POSE: dict[str, Any] = {'pose': {'header': {'frame_id': 'map'}, 'pose': {'position': {'x': 1, 'y': 2.5}}}}


def test_what_is_left_out_keeps_the_default_of_the_message() -> None:
    goal = to_message('gemma4_ros/action/DriveTo', POSE)
    assert (goal.pose.pose.position.x, goal.pose.pose.position.y, goal.pose.pose.position.z) == (1.0, 2.5, 0.0)
    assert goal.pose.pose.orientation.w == 1.0
    assert to_message(Trigger, {}) == Trigger.Request()


@pytest.mark.parametrize(
    ('cls', 'value', 'says'),
    [
        (DriveTo, {'pose': {'header': {'frame_id': 3}}}, 'goal.pose.header.frame_id: wants string, got 3'),
        (DriveTo, {'pose': []}, 'goal.pose: wants an object with the fields of PoseStamped, got []'),
        (DriveTo, {'speed': 1}, 'goal.speed: DriveTo_Goal has no such field; it has pose'),
        (
            DriveTo,
            {'pose': {'pose': {'position': {'x': True}}}},
            'goal.pose.pose.position.x: wants float64, got True',
        ),
        (
            DriveTo,
            {'pose': {'pose': {'position': {'x': math.nan}}}},
            'goal.pose.pose.position.x: wants a finite float64, got nan',
        ),
        (
            DriveTo,
            {'pose': {'pose': {'position': {'x': -math.inf}}}},
            'goal.pose.pose.position.x: wants a finite float64, got -inf',
        ),
        (
            DriveTo,
            {'pose': {'pose': {'position': {'x': 10**400}}}},
            'goal.pose.pose.position.x: wants a finite float64, got 1000',
        ),
        (Reading, {'confidence': 1e39}, 'goal.confidence: wants a finite float32, got 1e+39'),
        (OperateValve, {'command': 256}, 'goal.command: wants uint8 from 0 to 255, got 256'),
        (OperateValve, {'command': -1}, 'goal.command: wants uint8 from 0 to 255, got -1'),
        (OperateValve, {'command': 1.0}, 'goal.command: wants uint8 from 0 to 255, got 1.0'),
        (OperateValve, {'command': True}, 'goal.command: wants uint8 or one of CLOSE, OPEN, got True'),
        (OperateValve, {'command': 'SHUT'}, "goal.command: wants uint8 or one of CLOSE, OPEN, got 'SHUT'"),
        (OperateValve, {'command': None}, 'goal.command: wants uint8 or one of CLOSE, OPEN, got None'),
        (OperateValve, {'valve_id': 'v' * 65}, 'goal.valve_id: wants at most 64 characters, got 65'),
        (OperateValve, {'valve_id': 'v\0w'}, 'goal.valve_id: wants a string without NUL characters'),
        (OperateValve, {'valve_id': '\ud800'}, 'goal.valve_id: wants text that UTF-8 can carry'),
        (SetBool, {'data': 1}, 'goal.data: wants bool, got 1'),
        (SetFacts, {'facts': [{}, {'args': ['a'] * 5}]}, 'goal.facts[1].args: wants at most 4 elements, got 5'),
        (SetFacts, {'facts': [{'args': ['a', 2]}]}, 'goal.facts[0].args[1]: wants string<=64, got 2'),
        (SetFacts, {'facts': 'none'}, "goal.facts: wants a list for gemma4_ros/Fact[], got 'none'"),
        (SetFacts, {'facts': {}}, 'goal.facts: wants a list for gemma4_ros/Fact[], got {}'),
        (ExecuteSkill, {'parameters': ['a']}, "goal.parameters: wants string<=4096, got ['a']"),
        (ExecuteSkill, {'parameters': {'a': math.nan}}, 'goal.parameters: wants what JSON text can carry: '),
        (ExecuteSkill, {'parameters': {'a': 2**60}}, 'goal.parameters: wants what JSON text can carry: '),
        (ExecuteSkill, {'parameters': {'a': '\ud800'}}, 'goal.parameters: wants what JSON text can carry: '),
        (ExecuteSkill, {'parameters': {'a': 'x' * 4096}}, 'goal.parameters: wants at most 4096 characters, got 4104'),
        (UUID, {'uuid': [0] * 15}, 'goal.uuid: wants exactly 16 elements, got 15'),
        (UUID, {'uuid': [0] * 15 + [256]}, 'goal.uuid[15]: wants uint8 from 0 to 255, got 256'),
        (AdmitPlan, {'plan': 'not base64!'}, 'goal.plan: wants base64: '),
        (AdmitPlan, {'plan': 'aGVsbG8'}, 'goal.plan: wants base64: '),
        (AdmitPlan, {'plan': 3}, 'goal.plan: wants a list for uint8[<=65537] or base64, got 3'),
        (AdmitPlan, {'plan': [0] * 65538}, 'goal.plan: wants at most 65537 elements, got 65538'),
        (GateState, {'stamp': math.inf}, 'goal.stamp: wants finite seconds, got inf'),
        (GateState, {'stamp': 'now'}, "goal.stamp: wants seconds or {sec, nanosec}, got 'now'"),
        (GateState, {'stamp': 3e9}, 'goal.stamp.sec: wants int32 from -2147483648 to 2147483647, got 3000000000'),
        (
            GateState,
            {'stamp': {'sec': 1, 'nanosec': 10**9}},
            'goal.stamp.nanosec: wants less than 1000000000, got 1000000000',
        ),
        (PoseWithCovariance, {'covariance': [0.0] * 35}, 'goal.covariance: wants exactly 36 elements, got 35'),
    ],
)
def test_what_does_not_fit_is_named_with_its_path(cls: Any, value: dict[str, Any], says: str) -> None:
    with pytest.raises(ConversionError) as caught:
        to_message(cls, value, path='goal')
    assert str(caught.value).startswith(says)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ('name', 'says'),
    [
        ('nowhere_msgs/action/Go', 'nowhere_msgs/action/Go: no package nowhere_msgs with action types here'),
        ('gemma4_ros/action/Fly', 'gemma4_ros/action/Fly: package gemma4_ros has no such type'),
        ('os/system', "'os/system' is not a type name"),
        ('gemma4_ros/msg/Fact\n', "'gemma4_ros/msg/Fact\\n' is not a type name"),
        ('../msg/Fact', "'../msg/Fact' is not a type name"),
        ('', "'' is not a type name"),
    ],
)
def test_a_type_that_is_not_here_is_named(name: str, says: str) -> None:
    with pytest.raises(ConversionError) as caught:
        message_class(name)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        ({'z': 1, 'a': {'c': [True, None], 'b': 'é"'}}, '{"a":{"b":"é\\"","c":[true,null]},"z":1}'),
        ({'speed': 1.0, 'far': 1e21, 'near': 1e-7}, '{"far":1e+21,"near":1e-7,"speed":1}'),
        ({}, '{}'),
    ],
)
def test_a_mapping_is_sent_as_canonical_json_text(value: dict[str, Any], text: str) -> None:
    goal = to_message('gemma4_ros/action/ExecuteSkill', {'skill': 'grab', 'parameters': value})
    assert goal.parameters == text
    assert json.loads(goal.parameters) == value


def test_constants_are_taken_by_name() -> None:
    assert to_message(OperateValve, {'command': 'OPEN'}).command == OperateValve.Goal.OPEN
    assert to_message(DiagnosticStatus, {'level': 'ERROR'}).level == DiagnosticStatus.ERROR
    assert to_message(DiagnosticStatus, {'level': 2}).level == DiagnosticStatus.ERROR
    assert to_json(DiagnosticStatus(level=DiagnosticStatus.STALE))['level'] == 3


@pytest.mark.parametrize(
    ('seconds', 'sec', 'nanosec'), [(1.5, 1, 500_000_000), (0, 0, 0), (-0.25, -1, 750_000_000), (0.9999999999, 1, 0)]
)
def test_times_are_taken_in_seconds(seconds: float, sec: int, nanosec: int) -> None:
    stamped = to_message(GateState, {'stamp': seconds}).stamp
    assert (stamped.sec, stamped.nanosec) == (sec, nanosec)
    assert isinstance(stamped, Time)
    alone = to_message('builtin_interfaces/Duration', {'sec': 2})
    assert (type(alone), alone.sec) == (Duration, 2)


def test_bytes_are_taken_as_a_list_or_base64() -> None:
    for value in ([1, 2, 255], 'AQL/', b'\x01\x02\xff'):
        assert bytes(to_message(AdmitPlan, {'plan': value}).plan) == b'\x01\x02\xff'
    assert to_json(to_message(AdmitPlan, {'plan': [1, 2, 255]}))['plan'] == 'AQL/'


def test_a_float_that_is_not_finite_becomes_null() -> None:
    assert to_json(Reading(value=math.nan, low=-math.inf))['value'] is None


def test_an_action_stands_for_its_goal_and_a_service_for_its_request() -> None:
    assert request_class('gemma4_ros/action/DriveTo') is DriveTo.Goal
    assert result_class(DriveTo) is DriveTo.Result
    assert request_class(SetBool) is SetBool.Request
    assert result_class('std_srvs/srv/SetBool') is SetBool.Response
    assert request_class(Fact) is result_class(Fact) is Fact
    assert message_class('gemma4_ros/action/DriveTo_Result') is DriveTo.Result


def test_a_description_names_types_bounds_and_constants() -> None:
    described = describe('gemma4_ros/action/OperateValve')
    assert described['kind'] == 'action'
    assert described['request']['fields']['valve_id'] == {'type': 'string<=64', 'max_length': 64}
    assert described['request']['constants'] == {'CLOSE': 0, 'OPEN': 1}
    facts = describe('gemma4_ros/srv/SetFacts')['request']['fields']['facts']
    assert facts['type'] == 'gemma4_ros/Fact[]'
    assert facts['items']['fields']['args'] == {
        'type': 'string<=64[<=4]',
        'max_size': 4,
        'items': {'type': 'string<=64', 'max_length': 64},
    }
    assert describe('unique_identifier_msgs/UUID')['request']['fields']['uuid']['size'] == 16
    json.dumps(described)
