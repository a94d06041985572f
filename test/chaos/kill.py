# SPDX-License-Identifier: Apache-2.0
"""K1: every process killed, or stopped for three seconds, in every phase of a plan: all comes to rest, and stays so"""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from typing import Any

from action_msgs.msg import GoalStatus
from gemma4_ros.msg import GateState, TreeNode, TreeState
from plant import ENDPOINTS, STILL_M_S, Plant

from gemma4_ros.core.errors import NotRunningError

__all__ = ['KEYS', 'trial']

PROCESSES = ('gate', 'deadman', 'executor', 'cell', 'planner', 'engine', 'copilot', 'recorder')
PHASES = ('idle', 'planning', 'admitted', 'sent', 'driving', 'arm', 'last', 'cancelling')
KEYS = [tuple(parts) for parts in itertools.product(('kill',), PHASES, PROCESSES)]
# Without these nobody may move the robot; how long after their end a goal may still be sent, s.
NEEDED = {'gate': 0.2, 'executor': 0.2, 'deadman': 1.5}
STOPPED_S, QUIET_S = 3.0, 3.0
STOP_LIMIT_S, RESTART_LIMIT_S = 2.0, 5.0
FAST_M_S = 0.1


def trial(plant: Plant, phase: str, name: str, number: int) -> dict[str, Any]:
    """Carry one out; ``breaches`` says what should not have been. Raises TroubleError where it could not begin."""
    how = 'SIGKILL' if number % 2 == 0 else 'SIGSTOP'
    pending = reach(plant, phase)
    boot, process = plant.gate.boot_id, plant.process(name)
    at, was_fast = time.monotonic(), plant.speed > FAST_M_S
    process.send_signal(getattr(signal, how))
    found: dict[str, Any] = {'how': how, 'breaches': []}
    if name == 'cell' and how == 'SIGKILL':
        return found | lose_robot(plant, pending)
    rest(plant, 10.0 if name in NEEDED else 4.0)
    moved_s = max((t - at for t, speed in plant.speeds if t > at and speed >= STILL_M_S), default=0.0)
    if name in NEEDED and was_fast:
        found['stop_s'] = round(moved_s, 3)
    if name in NEEDED and moved_s > STOP_LIMIT_S:
        found['breaches'].append(f'it moved for {moved_s:.2f} s')
    if how == 'SIGSTOP':
        plant.seen(lambda: time.monotonic() > at + STOPPED_S, STOPPED_S + 1)
        process.resume()
    elif name == 'gate':
        found |= gate_back(plant, boot, at, found['breaches'])
    answered = how == 'SIGSTOP' or name != {'planning': 'copilot'}.get(phase, 'executor')
    if pending is not None and answered and plant.seen(pending.done, 90.0) is None:
        found['breaches'].append('what was asked for did not end within 90 s')
    rest(plant, 30.0)
    if name in NEEDED:
        found['breaches'] += went_on(plant, phase, name, at)
    return found | after(plant, phase, found['breaches'])


def gate_back(plant: Plant, boot: str, at: float, breaches: list[str]) -> dict[str, Any]:
    """Wait for the next gate; it must be disarmed."""
    if plant.seen(lambda: plant.gate.boot_id != boot, 20.0) is None:
        breaches.append('the gate did not come back')
        return {}
    took_s = round(plant.gate_since - at, 3)
    if took_s > RESTART_LIMIT_S:
        breaches.append(f'the gate was back after {took_s} s')
    if plant.gate.state != GateState.DISARMED:
        breaches.append(f'the gate came back in state {plant.gate.state}')
    return {'restart_s': took_s}


def went_on(plant: Plant, phase: str, name: str, at: float) -> list[str]:
    """Say what was done after the end of a process without which nothing may move."""
    breaches = []
    # a copilot whose executor is back hands it the plan of a command that was being drafted: that is no resumption
    if (phase, name) != ('planning', 'executor') and plant.goals_since(at + NEEDED[name]):
        breaches.append(f'a goal was sent after the end of the {name}')
    if phase not in ('idle', 'planning', 'admitted') and plant.tree.status == TreeState.SUCCEEDED:
        breaches.append('the plan is said to have succeeded')
    return breaches


def rest(plant: Plant, deadline_s: float) -> None:
    """Wait until no goal is open and the robot has stood for half a second."""
    still_since = [time.monotonic()]

    def rests() -> bool:
        if plant.is_executing or plant.speed >= STILL_M_S:
            still_since[0] = time.monotonic()
        return time.monotonic() - still_since[0] > 0.5

    plant.seen(rests, deadline_s)


def after(plant: Plant, phase: str, breaches: list[str]) -> dict[str, Any]:
    """Watch for a while whether anything goes on by itself."""
    begin = time.monotonic()
    moved = plant.seen(lambda: plant.is_executing or plant.speed >= STILL_M_S, QUIET_S)
    if moved is not None or plant.goals_since(begin):
        breaches.append('it went on by itself')
    if plant.most_at_once > 1:
        breaches.append('two goals at once')
    if phase != 'planning' and any(plant.goals_of_trial(name) > 2 for name in ENDPOINTS):
        breaches.append('a step was sent twice')
    return {'breaches': breaches, 'gate': int(plant.gate.state), 'tree': int(plant.tree.status)}


def lose_robot(plant: Plant, pending: Any) -> dict[str, Any]:
    """The robot itself is gone: the plan must end, and nobody may be told that it succeeded."""
    breaches = []
    with contextlib.suppress(NotRunningError):
        plant.spin()
    end = time.monotonic() + 8.0
    while time.monotonic() < end and plant.gate.state in (GateState.ARMED, GateState.ACTIVE):
        plant.session.spin(0.02)
    if plant.gate.state in (GateState.ARMED, GateState.ACTIVE):
        breaches.append('the gate did not notice that the robot is gone')
    if pending is not None and pending.done() and pending.result().status == GoalStatus.STATUS_SUCCEEDED:
        breaches.append('what was asked for is said to have succeeded')
    return {'breaches': breaches, 'gate': int(plant.gate.state), 'is_plant_lost': True}


def reach(plant: Plant, phase: str) -> Any:
    """Come to a phase; return what will hold the result of what was asked for, None: nothing was."""
    steps = plant.begin()
    if phase == 'idle':
        return None
    if phase == 'planning':
        pending = plant.say('go to the control desk')
        plant.until(lambda: any(event.phase in ('heard', 'draft') for event in plant.events), 20.0, 'planning')
        return pending
    permit = plant.admit(*steps)
    if phase == 'admitted':
        return None
    handle, result = plant.execute(permit)
    step = {'sent': 's1', 'driving': 's1', 'arm': 's2', 'last': 's3', 'cancelling': 's1'}[phase]
    plant.until(lambda: plant.tree.permit_id == permit and plant.phase_of(step) == TreeNode.RUNNING, 60.0, step)
    if phase in ('driving', 'last', 'cancelling'):
        plant.until(lambda: plant.speed > FAST_M_S, 10.0, 'it drives')
    if phase == 'cancelling':
        handle.cancel_goal_async()
    return result
