# SPDX-License-Identifier: Apache-2.0
"""Controllers that never accept, go silent, lie or ignore cancels (T29): every step ends, nothing goes on unwatched."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip('rclpy')

from fake_robot import ROOT, Processes, Robot, percentile, wait
from gemma4_ros.action import DispatchStep, DriveTo
from gemma4_ros.msg import GateState

from gemma4_ros.core.plan import Sequence, Step

pytestmark = [pytest.mark.attack, pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(1800)]

ACCEPT_S, STEP_S, ACKNOWLEDGE_S = 2.0, 1.0, 0.5  # of gate and tools file
PLAN = Sequence((Step('s1', 'navigate_to', {'place': 'pump'}), Step('s2', 'navigate_to', {'place': 'storage'})))
END = DispatchStep.Result
# mode of the controller: what the step ends as, and within how many seconds
MODES: dict[str, tuple[tuple[int, ...], float]] = {
    'never_accepts': ((END.LOST, END.TIMED_OUT), ACCEPT_S),
    'silent': ((END.TIMED_OUT,), STEP_S + ACKNOWLEDGE_S),
    'lies': ((END.FAILED,), STEP_S),
    'ignores_cancel': ((END.LOST, END.TIMED_OUT), STEP_S + ACKNOWLEDGE_S),
}


@pytest.fixture(scope='module')
def robot() -> Iterator[Robot]:
    made = Robot((DriveTo, 'drive_to'))
    yield made
    made.close()


@pytest.fixture(scope='module')
def _gate(robot: Robot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run a gate whose steps may take a second, and are not tried again."""
    folder = tmp_path_factory.mktemp('gate')
    text = (ROOT / 'config/tools/cell.yaml').read_text(encoding='utf-8')
    text = re.sub(r'typical: \d+, timeout: \d+', f'typical: 0.5, timeout: {STEP_S:g}', text)
    (folder / 'tools.yaml').write_text(text, encoding='utf-8')
    processes = Processes()
    processes.start('gate', f'audit_dir:={folder}', f'tools:=[{folder / "tools.yaml"}]')
    robot.arm()
    yield
    processes.close()


def try_mode(robot: Robot, mode: str) -> tuple[Any, float, bool]:
    """Have one step carried out by such a controller; return its end, its time, and whether the deadman was told."""
    robot.drive.mode = mode
    robot.arm()
    told = len(robot.abandoned)
    permit = robot.admit(PLAN).permit_id
    goals, start = len(robot.drive.goals), time.monotonic()
    result = robot.dispatch(permit, 's1')
    took_s = time.monotonic() - start
    assert len(robot.drive.goals) == goals + 1
    denied = robot.dispatch(permit, 's2')
    assert denied.outcome != END.SUCCEEDED and len(robot.drive.goals) == goals + 1  # the plan does not go on
    return result, took_s, len(robot.abandoned) > told


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.usefixtures('_gate')
def test_step_of_a_bad_controller_fails_in_time_and_the_plan_does_not_go_on(
    robot: Robot, mode: str, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    ends, limit_s = MODES[mode]
    took_s, wrong, untold = [], 0, 0
    for _ in range(trials(2, 100)):
        result, seconds, is_told = try_mode(robot, mode)
        took_s.append(seconds)
        wrong += result.outcome not in ends or not result.code
        untold += mode == 'ignores_cancel' and not is_told
        print(f'\n{mode}: {result.outcome} {result.code} {result.text} {seconds:.2f} s, deadman told: {is_told}')
        robot.node.executor.create_task(robot.drive.end_all)
        wait(lambda: not robot.drive.running, 'the end of the drive')
        robot.close_permit(robot.states[-1].permit_id)
        robot.call('gate/set_armed', command=1, person='operator')
        wait(lambda: robot.gate_is(GateState.DISARMED), 'DISARMED')
    shown = {f'p{share}_ms': round(percentile(took_s, share / 100) * 1e3) for share in (50, 99)}
    record(f'T29-{mode}', trials=len(took_s), breaches=wrong + untold, **shown)
    assert (wrong, untold) == (0, 0)
    assert max(took_s) < limit_s + 1.0
