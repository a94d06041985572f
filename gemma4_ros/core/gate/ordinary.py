# SPDX-License-Identifier: Apache-2.0
"""A moment in which nothing is out of the ordinary, for judging plans offline. The running gate does not use it."""

from __future__ import annotations

import math

from gemma4_ros.core.gate.policy import Policy, Test
from gemma4_ros.core.gate.state import Latch, State, Value
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.core.world import World

__all__ = ['ordinary_state', 'ordinary_value']


def ordinary_state(policy: Policy, world: World, now: float) -> State:
    """Return an armed gate in AUTO, everything alive and fresh, every signal as the preconditions want it."""
    signals = {name: Value(ordinary_value(policy, world, name), now, now) for name in policy.signals}
    return State(Latch.ARMED, signals=signals, deadman_at_s=now, executor_at_s=now)


def ordinary_value(policy: Policy, world: World, name: str) -> str | bool | float | Point | None:
    """Return what a signal says when nothing is wrong; None where nobody asks for its value."""
    if name in ('mode', 'estop'):
        return 'AUTO' if name == 'mode' else False
    if policy.zones is not None and policy.zones.signal == name:
        return _place(policy, world)
    tests = [when.test for tool in policy.tools.values() for when in tool.when if when.test.signal == name]
    return _between(tests) if tests else None


def _place(policy: Policy, world: World) -> Point | None:
    """Return the first place of the world, in its order, in which the robot may stand."""
    assert policy.zones is not None
    poses = [entity.pose for entity in world.entities.values() if entity.pose is not None]
    points = [Point(pose.x_m, pose.y_m, world.frame) for pose in poses]
    return next((point for point in points if not policy.zones.problem(point)[0]), None)


def _between(tests: list[Test]) -> str | bool | float:
    equals = next((test.equals for test in tests if test.equals is not None), None)
    if equals is not None:
        return equals
    low, high = max(test.low for test in tests), min(test.high for test in tests)
    if math.isinf(low) or math.isinf(high):
        return high if math.isinf(low) else low
    return (low + high) / 2
