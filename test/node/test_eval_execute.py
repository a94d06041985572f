# SPDX-License-Identifier: Apache-2.0
"""Plans in the real cell, through gate and executor: one that succeeds, and those that a fault must make a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('mujoco')

import rfc8785
from gemma4_ros.srv import InjectFault

from gemma4_ros.cli.eval_cell import CellRun
from gemma4_ros.cli.eval_execute import NODES, run_entry
from gemma4_ros.cli.eval_physical import Run
from gemma4_ros.cli.ros_session import RosSession
from gemma4_ros.cli.up import Stack
from gemma4_ros.core.facts import Variable
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).resolve().parents[2]
_WORLD, _TOOLS = 'config/world.yaml', 'config/tools/cell.yaml'
WORLD = load_world((ROOT / _WORLD).read_text(encoding='utf-8'), _WORLD)
CELL = Symbolic(WORLD, load_tools([(_TOOLS, (ROOT / _TOOLS).read_text(encoding='utf-8'))], WORLD))
AT_STORAGE = ['at(robot, storage)', 'docked(robot, no)']
HOLDING = ['at(robot, valve_station)', 'docked(robot, no)', 'at(red_toolbox, robot)', 'holding(robot, red_toolbox)']


class FaultyRun(CellRun):
    """Puts a fault into the cell after the scene is set; a person could not be quicker."""

    fault: dict[str, str] | None = None

    def begin(self, start: Any) -> str:
        unready = super().begin(start)
        if self.fault is not None:
            answer = self.call(InjectFault, 'cell/inject_fault', InjectFault.Request(**self.fault))
            assert answer.success, answer.text
        return unready


@pytest.fixture(scope='module')
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyRun]:
    folder = tmp_path_factory.mktemp('cell')
    settings = {
        'cell': {'speed': '8.0', 'render': 'false'},
        'deadman': {'misses': '20', 'idle_misses': '40'},  # not what is tested here, and the computer may be busy
        'gate': {'audit_dir': str(folder / 'audit')},
        'perception': {'evidence_dir': str(folder / 'evidence')},
    }
    with Stack(only=NODES, log_dir=folder, settings=settings, say=lambda _: None) as stack:
        stack.wait_ready(60.0)
        with RosSession() as session:
            yield FaultyRun(session, WORLD.robot, stack.poll)


def plan(*steps: tuple[str, dict[str, Any]]) -> str:
    nodes = [{'id': f's{number}', 'tool': tool, 'args': args} for number, (tool, args) in enumerate(steps, 1)]
    return str(rfc8785.dumps({'plan': '1', 'goal': 'a test', 'root': {'sequence': nodes}}), 'utf-8')


def entry(state: list[str], *goal: str) -> dict[str, Any]:
    return {'id': 'x', 'state': state, 'expect': {'kind': 'plan', 'goal': list(goal)}}


def test_a_scene_with_a_full_hand_is_set_and_the_plan_succeeds(cell: FaultyRun) -> None:
    cell.fault = None
    steps = plan(
        ('place', {'object': 'red_toolbox', 'place': 'valve_station'}), ('close_valve', {'valve': 'main_valve'})
    )
    wanted = entry(HOLDING, 'at(red_toolbox, valve_station)', 'valve(main_valve, closed)')
    result = run_entry(cell, CELL, wanted, steps, True)
    assert (result.outcome, result.why, result.steps) == ('succeeded', '', 2)
    assert result.total_s > 0.0


@pytest.mark.parametrize(
    ('fault', 'steps', 'goal', 'why'),
    [
        (
            {'fault': 'slip'},
            [('pick', {'object': 'blue_crate'})],
            'holding(robot, blue_crate)',
            'the executor reports 4',
        ),
        (
            {'fault': 'lying_controller', 'target': 'drive_to'},  # everybody believes that it drove
            [('navigate_to', {'place': 'pump'})],
            'at(robot, pump)',
            'at(robot, pump) does not hold at the end (it is storage)',
        ),
    ],
    ids=['slip', 'lie'],
)
def test_a_fault_makes_it_a_failure(
    cell: FaultyRun, fault: dict[str, str], steps: list[tuple[str, dict[str, Any]]], goal: str, why: str
) -> None:
    cell.fault = fault
    result = run_entry(cell, CELL, entry(AT_STORAGE, goal), plan(*steps), True)
    assert result.outcome == 'failed', result.why
    assert why in result.why


def test_what_the_gate_refuses_and_what_cannot_be_set_up_is_no_failure(cell: FaultyRun) -> None:
    cell.fault = None
    too_high = plan(('set_panel_value', {'panel': 'setpoint_panel', 'value_bar': 8.0}))
    result = run_entry(cell, CELL, entry(AT_STORAGE), too_high, True)
    assert (result.outcome, 600 <= result.code < 700) == ('refused', True), result.why
    nowhere = run_entry(cell, CELL, entry(['at(robot, pump)']), plan(('undock', {})), True)
    assert nowhere.outcome == 'not run'
    assert 'docked at charging_dock only' in nowhere.why


class ScriptedRun:
    """Answers like a cell on a computer that was too busy so many times."""

    def __init__(self, late: int, *, is_deadman: bool) -> None:
        self.late, self.is_deadman, self.runs = late, is_deadman, 0

    def trips(self) -> int:
        return self.runs

    def was_interrupted(self, before: int) -> bool:
        return self.is_deadman and before < self.late

    def begin(self, start: Any) -> str:
        return ''

    def carry_out(self, data: bytes) -> Run:
        self.runs += 1
        is_late = self.runs <= self.late
        code = 410 if self.is_deadman else 647
        return Run(is_done=not is_late, code=code if is_late else 0, trace=('s1',), permit='p')

    def truth(self) -> dict[Variable, str]:
        return {('at', ('robot',)): 'pump', ('docked', ('robot',)): 'no'}


@pytest.mark.parametrize('is_deadman', [True, False])
@pytest.mark.parametrize(('late', 'outcome', 'repeats'), [(0, 'succeeded', 0), (2, 'succeeded', 2), (9, 'failed', 3)])
def test_a_run_is_repeated_only_where_signs_of_life_came_late(
    late: int, outcome: str, repeats: int, is_deadman: bool
) -> None:
    scripted: Any = ScriptedRun(late, is_deadman=is_deadman)
    steps = plan(('navigate_to', {'place': 'pump'}))
    result = run_entry(scripted, CELL, entry(AT_STORAGE, 'at(robot, pump)'), steps, False)
    assert (result.outcome, result.repeats, result.is_plan_right) == (outcome, repeats, False)
    assert scripted.runs == repeats + 1
