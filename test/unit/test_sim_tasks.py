# SPDX-License-Identifier: Apache-2.0
"""The cell's controllers: what they do happens by physics, and every way to fail has its code."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('mujoco')

from gemma4_ros.core.world_file import load_world
from gemma4_ros.sim.cell import Cell
from gemma4_ros.sim.layout import Pose
from gemma4_ros.sim.robot import Outcome
from gemma4_ros.sim.script import carry_out, drive, let_pass

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = ('red_toolbox', 'blue_crate', 'spare_filter', 'sample_bottle')
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope='module')
def built() -> Cell:
    return Cell(load_world((ROOT / 'config/world.yaml').read_text()))


@pytest.fixture
def cell(built: Cell) -> Cell:
    built.reset()
    assert built.facts()['docked', 'robot'] == 'yes'
    let_pass(built, 0.2)
    return built


@pytest.fixture
def free(cell: Cell) -> Cell:
    """A cell whose robot has left the dock."""
    assert carry_out(cell, 'dock', undock=True).ok
    return cell


def stand_at(cell: Cell, place: str) -> None:
    """Put the robot at a place, as after a drive; saves the time of driving."""
    pose = cell.layout.benches[place].pose
    for name, value in (('base_x', pose.x), ('base_y', pose.y), ('base_yaw', pose.yaw)):
        cell.physics.set_joint(name, value)
    cell.robot.base.reset()
    let_pass(cell, 0.2)


def at(cell: Cell, thing: str) -> str:
    return cell.facts()['at', thing]


def test_the_start_is_what_the_world_file_says(cell: Cell) -> None:
    facts = cell.facts()
    assert facts['at', 'robot'] == 'charging_dock'
    assert facts['docked', 'robot'] == 'yes'
    assert facts['arm', 'robot'] == 'stowed'
    assert (facts['valve', 'main_valve'], facts['valve', 'bypass_valve']) == ('open', 'closed')
    assert [facts['at', o] for o in OBJECTS] == ['storage', 'storage', 'control_desk', 'pump']


def test_an_object_is_brought_to_another_place(free: Cell) -> None:
    assert drive(free, 'storage').ok
    picked = carry_out(free, 'pick_object', object_id='red_toolbox')
    assert picked.ok and picked.values['grip_force_n'] > 5.0
    assert (at(free, 'red_toolbox'), free.facts()['holding', 'robot']) == ('robot', 'red_toolbox')
    driven = drive(free, 'valve_station')
    assert driven.ok and driven.values['distance_m'] == pytest.approx(7.5, abs=0.6)
    assert carry_out(free, 'place_object', place_id='valve_station').ok
    assert at(free, 'red_toolbox') == 'valve_station'
    assert free.facts()['holding', 'robot'] == 'nothing'


@pytest.mark.parametrize(
    ('item', 'places'),
    [
        ('blue_crate', ('pump', 'storage')),
        ('spare_filter', ('charging_dock', 'control_desk')),
        ('sample_bottle', ('valve_station',)),
    ],
)
def test_every_object_can_be_picked_and_put_down(free: Cell, item: str, places: tuple[str, ...]) -> None:
    stand_at(free, at(free, item))
    for place in places:
        assert carry_out(free, 'pick_object', object_id=item).ok, place
        assert drive(free, place).ok
        assert carry_out(free, 'place_object', place_id=place).ok, place
        assert at(free, item) == place


def test_without_friction_a_pick_fails_and_the_object_stays(free: Cell) -> None:
    stand_at(free, 'storage')
    assert free.inject('slip', '', 0.0) == ''
    assert carry_out(free, 'pick_object', object_id='red_toolbox').code == 'GRASP_FAILED'
    assert at(free, 'red_toolbox') == 'storage'
    free.inject('clear', '', 0.0)
    assert carry_out(free, 'pick_object', object_id='red_toolbox').ok


def test_a_carried_object_falls_when_the_friction_goes(free: Cell) -> None:
    stand_at(free, 'storage')
    assert carry_out(free, 'pick_object', object_id='blue_crate').ok
    free.inject('slip', '', 0.0)
    let_pass(free, 1.5)
    assert at(free, 'blue_crate') == 'nowhere'
    assert carry_out(free, 'place_object', place_id='storage').code == 'HAND_EMPTY'


def test_a_held_object_does_not_creep_out_of_the_fingers(free: Cell) -> None:
    stand_at(free, 'storage')
    assert carry_out(free, 'pick_object', object_id='red_toolbox').ok
    let_pass(free, 1.0)
    height = float(free.physics.item_position('red_toolbox')[2])
    let_pass(free, 30.0)
    assert float(free.physics.item_position('red_toolbox')[2]) == pytest.approx(height, abs=3e-4)


def test_an_object_that_is_lost_while_it_is_put_down_is_reported(free: Cell) -> None:
    stand_at(free, 'storage')
    assert carry_out(free, 'pick_object', object_id='blue_crate').ok

    def lose(age: float) -> None:
        if age > 0.3:
            free.physics.set_slippery(True)

    assert carry_out(free, 'place_object', lose, place_id='storage').code == 'UNSTABLE'


def test_a_box_across_the_corridor_makes_a_drive_abort(free: Cell) -> None:
    stand_at(free, 'storage')
    assert free.inject('blocked_path', '', 0.0) == ''
    outcome = drive(free, 'valve_station')
    assert outcome.code == 'BLOCKED' and 'obstacle' in outcome.text
    let_pass(free, 0.5)
    assert free.robot.base.standing()
    assert free.physics.base_pose().x < free.layout.doorway.x
    free.inject('clear', '', 0.0)
    assert drive(free, 'valve_station').ok


def test_a_base_that_is_held_makes_no_progress(free: Cell) -> None:
    stand_at(free, 'pump')
    pose = free.physics.base_pose()

    def box_in(age: float) -> None:  # a box that the rays cannot see: it touches the chassis below them
        free.physics.set_joint('base_x', pose.x)
        free.physics.set_joint('base_y', pose.y)

    assert drive(free, 'valve_station', box_in).code == 'BLOCKED'


def test_drive_codes(cell: Cell) -> None:
    pose = cell.layout.benches['storage'].pose
    assert drive(cell, 'storage').code == 'DOCKED'
    carry_out(cell, 'dock', undock=True)
    assert carry_out(cell, 'drive_to', pose=pose, frame='odom').code == 'UNKNOWN_FRAME'
    assert carry_out(cell, 'drive_to', pose=Pose(-3.0, 3.0, 0.0), frame='map').code == 'NO_PATH'
    assert carry_out(cell, 'drive_to', pose=Pose(99.0, 0.0, 0.0), frame='map').code == 'NO_PATH'
    assert carry_out(cell, 'drive_to', pose=Pose(float('nan'), 0.0, 0.0), frame='map').code == 'NO_PATH'
    cell.inject('slow_controller', 'drive_to', 60.0)
    assert drive(cell, 'storage').code == 'TIMEOUT'


def test_pick_codes(free: Cell) -> None:
    assert carry_out(free, 'pick_object', object_id='moon').code == 'UNKNOWN_OBJECT'
    assert carry_out(free, 'pick_object', object_id='red_toolbox').code == 'NOT_IN_REACH'
    stand_at(free, 'storage')
    free.inject('slow_controller', 'pick_object', 40.0)
    assert carry_out(free, 'pick_object', object_id='red_toolbox').code == 'TIMEOUT'
    free.inject('clear', '', 0.0)
    assert carry_out(free, 'pick_object', object_id='red_toolbox').ok
    assert carry_out(free, 'pick_object', object_id='blue_crate').code == 'HAND_FULL'


def test_place_codes(free: Cell) -> None:
    assert carry_out(free, 'place_object', place_id='moon').code == 'UNKNOWN_PLACE'
    assert carry_out(free, 'place_object', place_id='charging_dock').code == 'HAND_EMPTY'
    stand_at(free, 'storage')
    carry_out(free, 'pick_object', object_id='red_toolbox')
    assert carry_out(free, 'place_object', place_id='pump').code == 'NOT_IN_REACH'
    free.inject('slow_controller', 'place_object', 40.0)
    assert carry_out(free, 'place_object', place_id='storage').code == 'TIMEOUT'


def test_a_full_bench_takes_no_more(free: Cell) -> None:
    stand_at(free, 'storage')
    assert carry_out(free, 'pick_object', object_id='red_toolbox').ok
    bench = free.layout.benches['storage'].pose
    for item, side in (('spare_filter', 0.2), ('sample_bottle', -0.2)):  # each between two spots
        start = free.physics.model.joint(item).qposadr[0]
        free.physics.data.qpos[start : start + 2] = bench.point(0.62, side)
    let_pass(free, 0.1)
    outcome = carry_out(free, 'place_object', place_id='storage')
    assert outcome.code == 'NOT_IN_REACH' and 'no free spot' in outcome.text


def test_valves_turn_and_the_pressure_follows(free: Cell) -> None:
    stand_at(free, 'valve_station')
    for valve, opening, state in (
        ('main_valve', False, 'closed'),
        ('bypass_valve', True, 'open'),
        ('main_valve', True, 'open'),
    ):
        outcome = carry_out(free, 'operate_valve', valve_id=valve, opening=opening)
        assert outcome.ok and outcome.values['angle_rad'] == pytest.approx(1.57 if opening else 0.0, abs=0.1)
        assert free.facts()['valve', valve] == state
        if valve == 'main_valve' and not opening:
            let_pass(free, 8.0)
            assert free.robot.process.pressure_bar < 0.3
    let_pass(free, 8.0)
    assert free.robot.process.pressure_bar == pytest.approx(4.2 * 0.65, abs=0.1)


def test_valve_codes(free: Cell) -> None:
    assert carry_out(free, 'operate_valve', valve_id='moon', opening=True).code == 'UNKNOWN_VALVE'
    assert carry_out(free, 'operate_valve', valve_id='main_valve', opening=True).code == 'NOT_IN_REACH'
    stand_at(free, 'valve_station')
    free.inject('stuck_valve', 'main_valve', 0.0)
    outcome = carry_out(free, 'operate_valve', valve_id='main_valve', opening=False)
    assert outcome.code == 'STUCK' and outcome.values['angle_rad'] > 1.4
    assert carry_out(free, 'operate_valve', valve_id='bypass_valve', opening=True).ok
    free.inject('slow_controller', 'operate_valve', 40.0)
    assert carry_out(free, 'operate_valve', valve_id='bypass_valve', opening=False).code == 'TIMEOUT'


def test_a_full_hand_turns_no_valve(free: Cell) -> None:
    stand_at(free, 'pump')
    assert carry_out(free, 'pick_object', object_id='sample_bottle').ok
    assert drive(free, 'valve_station').ok
    assert carry_out(free, 'operate_valve', valve_id='main_valve', opening=False).code == 'HAND_FULL'


def test_a_bug_in_a_task_ends_its_goal_and_nothing_else(free: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(free.robot.grid), 'is_free', lambda *_: 1 / 0)
    outcome = drive(free, 'storage')
    assert outcome.code == 'INTERNAL' and 'division' in outcome.text
    assert carry_out(free, 'move_arm', posture='ready').ok


def test_a_set_point_is_typed_by_the_finger(free: Cell) -> None:
    stand_at(free, 'control_desk')
    for value in (0.0, 3.7, 8.0):
        assert carry_out(free, 'set_panel_value', panel='setpoint_panel', value=value, unit='bar').ok
        assert free.robot.process.setpoint_bar == value
    let_pass(free, 8.0)
    assert free.robot.process.pressure_bar == pytest.approx(8.0, abs=0.1)
    assert any('HIGH PRESSURE' in alarm for alarm in free.robot.process.alarms(free.robot.openings()))


def test_panel_codes(free: Cell) -> None:
    def type_in(**changes: object) -> Outcome:
        return carry_out(free, 'set_panel_value', **{'panel': 'setpoint_panel', 'value': 3.0, 'unit': 'bar', **changes})

    assert type_in(panel='moon').code == 'UNKNOWN_PANEL'
    assert type_in(unit='psi').code == 'WRONG_UNIT'
    assert type_in(value=8.1).code == 'OUT_OF_RANGE'
    assert type_in(value=float('nan')).code == 'OUT_OF_RANGE'
    assert type_in().code == 'NOT_IN_REACH'
    stand_at(free, 'control_desk')
    free.inject('slow_controller', 'set_panel_value', 40.0)
    assert type_in().code == 'BUSY'
    assert free.robot.process.setpoint_bar == pytest.approx(4.2)


def test_dock_and_undock(free: Cell) -> None:
    assert drive(free, 'storage').ok
    assert carry_out(free, 'dock', undock=False).code == 'NOT_IN_REACH'
    assert carry_out(free, 'dock', undock=True).code == 'NOT_IN_REACH'
    assert drive(free, 'charging_dock').ok
    docked = carry_out(free, 'dock', undock=False)
    assert docked.ok and docked.values['battery_percent'] > 50.0
    before = free.robot.battery
    let_pass(free, 2.0)
    assert free.facts()['docked', 'robot'] == 'yes' and free.robot.battery > before


def test_something_behind_the_robot_keeps_it_on_the_dock(cell: Cell) -> None:
    pose = cell.layout.benches['charging_dock'].pose
    cell.physics.put_box(*pose.point(-0.50, 0.0), pose.yaw)
    assert carry_out(cell, 'dock', undock=True).code == 'NO_CONTACT'


def test_a_slow_dock_times_out(cell: Cell) -> None:
    cell.inject('slow_controller', 'dock', 30.0)
    assert carry_out(cell, 'dock', undock=True).code == 'TIMEOUT'


def test_move_arm_codes(free: Cell) -> None:
    assert carry_out(free, 'move_arm', posture='wave').code == 'UNKNOWN_POSTURE'
    assert carry_out(free, 'move_arm', posture='ready').ok
    assert free.facts()['arm', 'robot'] == 'ready'
    free.inject('slow_controller', 'move_arm', 60.0)
    assert carry_out(free, 'move_arm', posture='stowed').code == 'TIMEOUT'
    free.inject('clear', '', 0.0)

    def jam(_: float) -> None:
        free.physics.set_joint('arm_yaw', 0.0)

    assert carry_out(free, 'move_arm', jam, posture='stowed').code == 'COLLISION'


def test_the_arm_stays_ready_where_it_was_ready(free: Cell) -> None:
    carry_out(free, 'move_arm', posture='ready')
    assert drive(free, 'storage').ok
    carry_out(free, 'pick_object', object_id='red_toolbox')
    assert free.facts()['arm', 'robot'] == 'ready'
    assert carry_out(free, 'move_arm', posture='stowed').ok
    assert (free.facts()['arm', 'robot'], free.facts()['holding', 'robot']) == ('stowed', 'red_toolbox')


def test_a_lying_controller_reports_success_and_does_nothing(free: Cell) -> None:
    stand_at(free, 'storage')
    free.inject('lying_controller', 'pick_object', 0.0)
    assert carry_out(free, 'pick_object', object_id='red_toolbox').ok
    assert at(free, 'red_toolbox') == 'storage'


def test_a_silent_controller_answers_only_when_the_fault_is_cleared(free: Cell) -> None:
    free.inject('silent_controller', 'move_arm', 0.0)
    ended: list[Outcome] = []
    ticket = free.start('move_arm', {'posture': 'ready'}, ended.append)
    let_pass(free, 20.0)
    ticket.cancelled = True
    let_pass(free, 1.0)
    assert not ended and free.refusal('move_arm')
    free.inject('clear', '', 0.0)
    let_pass(free, 0.1)
    assert [outcome.code for outcome in ended] == ['TIMEOUT']


def test_a_slow_controller_takes_longer(free: Cell) -> None:
    start = free.physics.time_s
    assert carry_out(free, 'move_arm', posture='ready').ok
    usual = free.physics.time_s - start
    free.inject('slow_controller', 'move_arm', 4.0)
    start = free.physics.time_s
    assert carry_out(free, 'move_arm', posture='stowed').ok
    assert free.physics.time_s - start > 2.5 * usual


def test_faults_that_make_no_sense_are_refused(free: Cell) -> None:
    for fault, target, value in (
        ('nonsense', '', 0.0),
        ('blocked_path', 'moon', 0.0),
        ('blocked_path', 'charging_dock', 0.0),  # the robot stands there
        ('slow_controller', 'drive_to', 0.0),
        ('silent_controller', 'moon', 0.0),
        ('stuck_valve', 'moon', 0.0),
    ):
        assert free.inject(fault, target, value) != '', (fault, target)


@pytest.mark.parametrize('age_s', [0.02, 0.3, 1.1, 2.9, 4.7])
def test_cancel_brakes_and_answers_at_once(free: Cell, age_s: float) -> None:
    ended: list[Outcome] = []
    pose = free.layout.benches['storage'].pose
    ticket = free.start('drive_to', {'pose': pose, 'frame': 'map'}, ended.append)
    let_pass(free, age_s)
    asked = free.physics.time_s
    ticket.cancelled = True
    while not ended:
        free.tick()
    assert ended[0].code == 'CANCELLED'
    assert free.physics.time_s - asked <= 0.16
    where = free.physics.base_pose()
    let_pass(free, 3.0)
    after = free.physics.base_pose()
    assert (after.x, after.y, after.yaw) == pytest.approx((where.x, where.y, where.yaw), abs=0.03)


def test_a_cancelled_pick_can_be_followed_by_anything(free: Cell) -> None:
    for age_s in (0.5, 1.5, 2.2, 3.0, 4.0):
        stand_at(free, 'storage')
        ended: list[Outcome] = []
        ticket = free.start('pick_object', {'object_id': 'blue_crate'}, ended.append)
        let_pass(free, age_s)
        ticket.cancelled = True
        let_pass(free, 0.1)
        assert [o.code for o in ended] == ['CANCELLED']
        if free.facts()['holding', 'robot'] == 'blue_crate':
            assert carry_out(free, 'place_object', place_id='storage').ok
        assert carry_out(free, 'pick_object', object_id='blue_crate').ok
        assert carry_out(free, 'place_object', place_id='storage').ok


def test_the_emergency_stop_ends_everything(free: Cell) -> None:
    def press(age: float) -> None:
        if age > 2.0:
            free.set_estop(True)

    assert drive(free, 'storage', press).code == 'ESTOPPED'
    assert free.robot.base.standing()
    where = free.physics.base_pose()
    assert drive(free, 'storage').code == 'ESTOPPED'
    let_pass(free, 1.0)
    assert free.physics.base_pose().x == pytest.approx(where.x, abs=0.02)
    free.set_estop(False)
    assert drive(free, 'storage').ok


def test_one_goal_a_controller_and_no_fighting_over_base_and_arm(free: Cell) -> None:
    ended: list[Outcome] = []
    free.start('drive_to', {'pose': free.layout.benches['storage'].pose, 'frame': 'map'}, lambda _: None)
    free.start('drive_to', {'pose': free.layout.benches['pump'].pose, 'frame': 'map'}, ended.append)
    free.start('pick_object', {'object_id': 'red_toolbox'}, ended.append)
    assert [o.code for o in ended] == ['BUSY', 'BUSY']
    assert free.refusal('move_arm') == ''


def test_a_state_is_arranged_and_can_be_worked_on(built: Cell) -> None:
    start = {
        ('at', 'robot'): 'valve_station', ('docked', 'robot'): 'no', ('arm', 'robot'): 'ready',
        ('at', 'blue_crate'): 'valve_station', ('at', 'spare_filter'): 'valve_station',
        ('valve', 'main_valve'): 'closed', ('valve', 'bypass_valve'): 'open', ('holding', 'robot'): 'nothing',
        ('at', 'main_valve'): 'valve_station',
    }  # fmt: skip
    assert built.arrange(start) == ''
    let_pass(built, 0.5)
    facts = built.facts()
    assert {key: facts[key] for key in start if key in facts} == {k: v for k, v in start.items() if k in facts}
    assert len(set(start) - set(facts)) == 1  # equipment stays where it is
    assert float(facts['pressure_bar', 'pump']) < 0.2
    assert carry_out(built, 'operate_valve', valve_id='main_valve', opening=True).ok
    assert carry_out(built, 'pick_object', object_id='blue_crate').ok
    assert carry_out(built, 'place_object', place_id='valve_station').ok
    assert built.arrange({}) == ''
    let_pass(built, 0.2)
    assert built.facts()['docked', 'robot'] == 'yes'
    assert at(built, 'blue_crate') == 'storage'


@pytest.mark.parametrize(
    ('facts', 'why'),
    [
        ({('at', 'robot'): 'moon'}, "cannot be 'moon'"),
        ({('holding', 'robot'): 'red_toolbox'}, 'cannot be'),
        ({('at', 'main_valve'): 'storage'}, 'cannot be'),
        ({('colour', 'robot'): 'red'}, 'knows no such thing'),
        ({('at', 'robot'): 'pump'}, 'docked at charging_dock only'),
    ],
)
def test_what_cannot_be_arranged_changes_nothing(cell: Cell, facts: dict[tuple[str, str], str], why: str) -> None:
    before = cell.facts()
    assert why in cell.arrange(facts)
    assert {k: v for k, v in cell.facts().items() if k[0] != 'pressure_bar'} == {
        k: v for k, v in before.items() if k[0] != 'pressure_bar'
    }
