# SPDX-License-Identifier: Apache-2.0
"""What a step reads steers the plan: the value of a real gauge reader decides an ``if`` and becomes an argument."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

pytest.importorskip('rclpy')
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'chaos'))

from gemma4_ros.action import ExecutePlan
from gemma4_ros.msg import TreeNode
from plant import Plant

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.plan import Condition, If, Ref, Step

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(240)]
NODES = ('cell', 'deadman', 'gate', 'perception', 'executor')
PRESSURE_BAR = 4.2  # of the simulated process
READ = Step('s2', 'read_gauge', {'gauge': 'pressure_gauge'})
READY, STOWED = Step('s3', 'move_arm', {'posture': 'ready'}), Step('s4', 'move_arm', {'posture': 'stowed'})


@pytest.fixture(scope='module')
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    out = tmp_path_factory.mktemp('dataflow')
    more = {
        'cell': {'render': 'true'},
        'executor': {'hold_deadline_s': '1.5'},
        'perception': {'evidence_dir': str(out / 'evidence')},
    }
    with Plant(out, NODES, more) as made:
        made.begin()
        _, result = made.execute(made.admit(Step('s1', 'navigate_to', {'place': 'pump'})))
        made.until(result.done, 60.0, 'the robot is at the pump')
        yield made


def carry_out(plant: Plant, *nodes: Any) -> Any:
    """Carry a plan out; return its result."""
    plant.arm()
    _, result = plant.execute(plant.admit(*nodes))
    plant.until(result.done, 90.0, 'the end of the plan')
    plant.until(lambda: plant.tree.status != 0, 5.0, 'the tree shows the end')
    return result.result().result


def when(op: Literal['<', '>'], bar: float, max_age_s: float, on_unknown: Literal['hold', 'true', 'false']) -> If:
    condition = Condition(Ref('s2', 'value'), op, bar, max_age_s, on_unknown, 'bar')
    return If(condition, READY, STOWED)


@pytest.mark.parametrize(('op', 'chosen', 'left'), [('>', 's3', 's4'), ('<', 's4', 's3')])
def test_a_reading_chooses_the_branch(plant: Plant, op: Literal['<', '>'], chosen: str, left: str) -> None:
    ended = carry_out(plant, READ, when(op, 1.0, 60.0, 'hold'))
    assert ended.outcome == ExecutePlan.Result.SUCCEEDED, ended.error_msg
    assert json.loads(ended.results)['s2']['value'] == pytest.approx(PRESSURE_BAR, abs=0.3)
    assert plant.phase_of(chosen) == TreeNode.SUCCEEDED and plant.phase_of(left) == TreeNode.SKIPPED
    assert json.loads(plant.tree.blackboard)['s2'] == json.loads(ended.results)['s2']


@pytest.mark.parametrize(('on_unknown', 'chosen'), [('true', 's3'), ('false', 's4')])
def test_a_reading_that_is_too_old_takes_the_branch_that_the_plan_says(
    plant: Plant, on_unknown: Literal['true', 'false'], chosen: str
) -> None:
    ended = carry_out(plant, READ, when('>', 1.0, 0.001, on_unknown))
    assert ended.outcome == ExecutePlan.Result.SUCCEEDED, ended.error_msg
    assert plant.phase_of(chosen) == TreeNode.SUCCEEDED


def test_a_reading_that_is_too_old_holds_the_plan_and_then_ends_it(plant: Plant) -> None:
    ended = carry_out(plant, READ, when('>', 1.0, 0.001, 'hold'))
    assert (ended.outcome, ended.code) == (ExecutePlan.Result.FAILED, Code.CONDITION_UNKNOWN), ended.error_msg
    assert plant.phase_of('s3') == TreeNode.SKIPPED and plant.phase_of('s4') == TreeNode.SKIPPED


def test_a_reading_becomes_a_later_argument(plant: Plant) -> None:
    there = Step('s3', 'navigate_to', {'place': 'control_desk'})
    typed = Step('s4', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': Ref('s2', 'value')})
    back = Step('s5', 'navigate_to', {'place': 'pump'})
    ended = carry_out(plant, READ, there, typed, back)
    assert ended.outcome == ExecutePlan.Result.SUCCEEDED, ended.error_msg
    read = json.loads(ended.results)['s2']['value']
    goals = [json.loads(line) for log in (plant.out / 'audit').glob('*.jsonl') for line in log.read_text().splitlines()]
    sent = [record for record in goals if 's4' in json.dumps(record) and 'setpoint_panel' in json.dumps(record)]
    assert str(read)[:4] in json.dumps(sent), 'the goal that was sent holds what was read'
