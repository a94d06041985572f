# SPDX-License-Identifier: Apache-2.0
"""K3: controllers that are slow or lie, below gate and executor: every plan ends in time, and tells the truth."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from fake_robot import ROOT, Processes, Robot, wait
from gemma4_ros.action import DriveTo, ExecutePlan
from gemma4_ros.msg import DeadmanState, GateState
from rclpy.action import ActionClient

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.plan import Sequence, Step

__all__ = ['KEYS', 'BadRobot', 'trial']

ACCEPT_S, STEP_S, ACKNOWLEDGE_S, GRACE_S, HANGS_S, QUIET_S = 2.0, 1.0, 0.5, 1.0, 30.0, 0.4
# how the controller behaves: within how many seconds the plan must have ended, and whether that may be as a success
MODES = {
    'done': (STEP_S, True),
    'never_accepts': (ACCEPT_S, False),
    'silent': (STEP_S + ACKNOWLEDGE_S, False),
    'late': (STEP_S + ACKNOWLEDGE_S, False),
    'lies': (STEP_S, False),
    'ignores_cancel': (STEP_S + ACKNOWLEDGE_S, False),
}
KEYS = [('controller', mode) for mode in MODES]
PLAN = Sequence((Step('s1', 'navigate_to', {'place': 'pump'}),))


class BadRobot:
    """Gate, deadman and executor over a robot that misbehaves as told; steps may take a second, and no other try."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def __enter__(self) -> BadRobot:
        folder = Path(tempfile.mkdtemp(dir=self._out))
        text = (ROOT / 'config/tools/cell.yaml').read_text(encoding='utf-8')
        text = re.sub(r'typical: \d+, timeout: \d+', f'typical: 0.5, timeout: {STEP_S:g}', text)
        text = text.replace('retry: {times: 1}', 'retry: {times: 0}')
        (folder / 'tools.yaml').write_text(text, encoding='utf-8')
        tools = f'tools:=[{folder / "tools.yaml"}]'
        self.robot, self.processes = Robot((DriveTo, 'drive_to')), Processes()
        self.robot.silent |= {'executor', 'deadman'}
        self.processes.start('deadman', tools, 'idle_s:=0.2')
        self.processes.start('gate', tools, f'audit_dir:={folder}')
        self.processes.start('executor', tools)
        self.client = ActionClient(self.robot.node, ExecutePlan, 'executor/execute_plan')
        assert self.client.wait_for_server(30.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.destroy()
        self.processes.close()
        self.robot.close()

    def clear(self) -> None:
        """Take what the last trial left: its goal, the deadman's latch."""
        self.robot.drive.mode = 'works'
        self.robot.executor.create_task(self.robot.drive.end_all)
        end = time.monotonic() + 20.0
        while not self.robot.deadman_is(DeadmanState.WATCHING):
            assert time.monotonic() < end, 'the deadman does not watch'
            if self.robot.deadman_is(DeadmanState.TRIPPED):
                self.robot.reset_deadman()
            time.sleep(0.05)
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < QUIET_S:  # what the last trial left may stop it once more
            assert time.monotonic() < end, 'the gate does not stay armed'
            if not self.robot.gate_is(GateState.ARMED):
                self.robot.arm()
                quiet_since = time.monotonic()
            time.sleep(0.02)


def trial(plant: BadRobot, mode: str, _name: str, _number: int) -> dict[str, Any]:
    """Carry one out; ``breaches`` says what should not have been."""
    robot, (limit_s, may_succeed) = plant.robot, MODES[mode]
    plant.clear()
    permit, goals = robot.admit(PLAN).permit_id, len(robot.drive.goals)
    robot.drive.mode = mode
    begin = time.monotonic()
    sent = plant.client.send_goal_async(ExecutePlan.Goal(permit_id=permit))
    wait(sent.done, 'the answer of the executor')
    result = sent.result().get_result_async()
    while not result.done() and time.monotonic() - begin < HANGS_S:
        time.sleep(0.005)
    if not result.done():
        return {'breaches': [f'the plan did not end within {HANGS_S:g} s']}
    took_s, ended = time.monotonic() - begin, result.result().result
    assert ended.code != Code.PERMIT_EPOCH or len(robot.drive.goals) > goals, 'the permit died before the trial began'
    breaches = []
    if took_s > limit_s + GRACE_S:
        breaches.append(f'the plan took {took_s:.2f} s')
    if (ended.outcome == ExecutePlan.Result.SUCCEEDED) is not may_succeed:
        breaches.append(f'the plan ended with outcome {ended.outcome}')
    if len(robot.drive.goals) > goals + 1:
        breaches.append('the goal was sent twice')
    return {'breaches': breaches, 'took_s': round(took_s, 3), 'code': int(ended.code), 'said': ended.error_msg[:160]}
