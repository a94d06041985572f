# SPDX-License-Identifier: Apache-2.0
"""Parameters from frozen dataclasses."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

pytest.importorskip('rclpy')

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from gemma4_ros.core.errors import ParameterError
from gemma4_ros.ros.params import declare, param, read

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.ros


@dataclasses.dataclass(frozen=True)
class Config:
    deadline_s: float = param(30.0, doc='how long to wait', unit='s', low=0.1, high=600.0)
    threads: int = param(2, doc='worker threads', low=1, high=8)
    mode: str = param('auto', doc='which way', choices=['auto', 'manual'])
    cameras: tuple[str, ...] = param((), doc='image topics')
    gains: tuple[float, ...] = param((1.0, 2.0), doc='gains', low=0.0)
    strict: bool = param(True, doc='refuse the unknown')


@pytest.fixture
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


def node_with(context: Context, **overrides: object) -> Node:
    node = Node(
        'params_test',
        context=context,
        parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()],
    )
    declare(node, Config)
    return node


def test_defaults_and_overrides_are_read(context: Context) -> None:
    node = node_with(context, deadline_s=5, cameras=['front', 'wrist'], strict=False)
    config = read(node, Config)
    assert config == Config(deadline_s=5.0, cameras=('front', 'wrist'), strict=False)
    assert isinstance(config.deadline_s, float)
    node.destroy_node()


@pytest.mark.parametrize(
    ('name', 'value', 'says'),
    [
        ('deadline_s', 700.0, 'parameter deadline_s: 700.0 is not from 0.1 to 600 s'),
        ('deadline_s', float('nan'), 'parameter deadline_s: nan is not from 0.1 to 600 s'),
        ('deadline_s', True, 'parameter deadline_s: wants float from 0.1 to 600 s, got True'),
        ('threads', True, 'parameter threads: wants int from 1 to 8, got True'),
        ('threads', 2.5, 'parameter threads: wants int from 1 to 8, got 2.5'),
        ('threads', 9, 'parameter threads: 9 is not from 1 to 8'),
        ('mode', 'fast', "parameter mode: 'fast' is not one of auto, manual"),
        ('cameras', 'front', "parameter cameras: wants a list of str, got 'front'"),
        ('cameras', [1, 2], 'parameter cameras[0]: wants str, got 1'),
        ('gains', [1.0, -1.0], 'parameter gains[1]: -1.0 is not from 0 to inf'),
        ('strict', 1, 'parameter strict: wants bool, got 1'),
    ],
)
def test_a_wrong_override_is_named_with_its_value_and_bounds(
    context: Context, name: str, value: object, says: str
) -> None:
    node = node_with(context, **{name: value})
    with pytest.raises(ParameterError) as caught:
        read(node, Config)
    assert str(caught.value) == says
    node.destroy_node()


def test_a_wrong_value_is_refused_while_running(context: Context) -> None:
    node = node_with(context)
    refused, taken = node.set_parameters([Parameter('threads', value=99), Parameter('threads', value=3)])
    assert (refused.successful, refused.reason) == (False, 'parameter threads: 99 is not from 1 to 8')
    assert taken.successful
    assert read(node, Config).threads == 3
    node.destroy_node()


def test_documentation_units_and_bounds_reach_the_descriptor(context: Context) -> None:
    node = node_with(context)
    descriptor = node.describe_parameter('deadline_s')
    assert descriptor.description == 'how long to wait [s]'
    assert descriptor.additional_constraints == 'from 0.1 to 600 s'
    node.destroy_node()
