# SPDX-License-Identifier: Apache-2.0
"""Cancel at random instants: once it has been answered, nothing moves and no controller works on a goal."""

from __future__ import annotations

import time
from random import Random
from typing import Any

from action_msgs.msg import GoalStatus
from plant import SPEED, STILL_M_S, Plant

__all__ = ['KEYS', 'trial']

KEYS = [('cancel', 'plan')]
WATCH_S = 5.0 / SPEED  # 5 s of the robot's own time
LATEST_S = 14.0 / SPEED  # about as long as the plan takes


def trial(plant: Plant, _kind: str, _name: str, number: int) -> dict[str, Any]:
    """Carry one out; ``breaches`` says what should not have been."""
    steps = plant.begin()
    wait_s = Random(number).uniform(0.0, LATEST_S)
    handle, result = plant.execute(plant.admit(*steps))
    plant.seen(result.done, wait_s)
    running = sum(map(len, plant.open.values()))
    begin = time.monotonic()
    handle.cancel_goal_async()
    found: dict[str, Any] = {'at_s': round(wait_s, 3), 'running': running, 'breaches': []}
    if plant.seen(result.done, 10.0) is None:
        found['breaches'].append('the cancel was not answered within 10 s')
        return found
    returned = time.monotonic()
    found |= {'took_s': round(returned - begin, 3), 'status': int(result.result().status)}
    if result.result().status not in (GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_SUCCEEDED):
        found['breaches'].append(f'it ended with status {result.result().status}: {result.result().result.error_msg}')
    plant.seen(lambda: False, WATCH_S)
    fastest = max((speed for at, speed in plant.speeds if at > returned), default=0.0)
    found['fastest_m_s'] = round(fastest, 5)
    if fastest >= STILL_M_S:
        found['breaches'].append(f'it moved at {fastest:.3f} m/s after the cancel was answered')
    if plant.is_executing or plant.goals_since(returned):
        found['breaches'].append('a controller works on a goal after the cancel was answered')
    return found
