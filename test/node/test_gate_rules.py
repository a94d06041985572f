# SPDX-License-Identifier: Apache-2.0
"""The policy's rules over real DDS: zones, publishers, locks, keys, limits; judged by what reaches a controller."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip('rclpy')

from gate_cell import CONFIG, Cell, Spinner, drive, plan_of, wait
from gemma4_ros.action import DispatchStep
from gemma4_ros.msg import GateState, Verdict
from gemma4_ros.srv import SetLockout
from rclpy.node import Node
from std_msgs.msg import Bool, String

from gemma4_ros.cli.keys import new_key, policy_line, signer_of
from gemma4_ros.core.gate.audit_verify import verify
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.signing import approval_text
from gemma4_ros.core.plan import Parallel, Step
from gemma4_ros.ros import qos
from gemma4_ros.ros.gate_config import public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(60)]
ROOMS = """
zones:
  frame: map
  signal: pose
  margin_m: 0.2
  areas:
    room: {kind: allow, polygon: [[-5, -4], [5, -4], [5, 4], [-5, 4]]}
    pit: {kind: keep_out, polygon: [[2, 1], [4, 1], [4, 3], [2, 3]], hazard: h1}
"""
MOVE = '  navigate_to: {risk: motion, hazard: h1}'
POSE = 'pose: {topic: odom, type: nav_msgs/msg/Odometry, publishers'
SEEN = 'pose: {topic: odom, type: nav_msgs/msg/Odometry, field: pose.pose, publishers'
VALVE = Step('v', 'open_valve', {'valve': 'main_valve'})


class Made:
    """Makes cells with a changed policy, and ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cells = folder, list[Cell]()

    def policy(self, *changes: tuple[str, str], more: str = '') -> Path:
        text = (Path(CONFIG) / 'policy.yaml').read_text(encoding='utf-8')
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = self.folder / 'policy.yaml'
        path.write_text(text + more, encoding='utf-8')
        return path

    def cell(self, *changes: tuple[str, str], more: str = '', **parameters: Any) -> Cell:
        audit = self.folder / 'audit'
        self.cells.append(Cell(audit, policy=str(self.policy(*changes, more=more)), **parameters))
        return self.cells[-1]

    def close(self, cell: Cell) -> None:
        self.cells.remove(cell)
        cell.close()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    maker = Made(tmp_path)
    yield maker
    for cell in maker.cells:
        cell.close()


def permit_of(cell: Cell, *nodes: Any) -> str:
    admission = cell.operator.admit(plan_of(*nodes))
    assert admission.permit_id, admission.verdict.text
    return str(admission.permit_id)


def held(cell: Cell, code: Code) -> Callable[[], bool]:
    return lambda: bool(cell.operator.states) and cell.operator.states[-1].code == code


# zones, poses, post-conditions ----------------------------------------------------------------------------------------
def test_goal_in_a_keep_out_zone_is_denied_with_its_hazard(made: Made) -> None:
    cell = made.cell((POSE, SEEN), (MOVE, MOVE[:-1] + ', ends_at: pose}'), more=ROOMS).armed()
    verdict = cell.operator.admit(plan_of(drive('s1', 'pump'))).verdict
    assert (verdict.decision, verdict.code) == (Verdict.DENY, Code.ZONE)
    assert (verdict.rule, verdict.hazard) == ('policy.zones.areas.pit', 'h1')
    assert (
        cell.operator.dispatch(permit_of(cell, drive('s1', 'storage')), 's1').outcome == DispatchStep.Result.SUCCEEDED
    )
    assert cell.robot.goals == ['drive -3 2']


def test_robot_that_strays_into_a_keep_out_zone_is_stopped_and_goes_no_further(made: Made) -> None:
    cell = made.cell((POSE, SEEN), (MOVE, MOVE[:-1] + ', ends_at: pose}'), more=ROOMS).armed()
    cell.robot.works_s = 20.0
    permit = permit_of(cell, drive('s1', 'storage'), drive('s2', 'charging_dock'))
    end = cell.operator.send(permit, 's1')
    wait(lambda: cell.robot.running != [], 'the drive')
    cell.robot.x_m, cell.robot.y_m = 3.0, 2.0
    took_s = wait(end.done, 'the cancel')
    result = end.result().result
    assert (result.outcome, result.code) == (DispatchStep.Result.CANCELLED, Code.PLACE)
    assert cell.robot.cancelled == 1 and took_s < 2.0
    again = cell.operator.dispatch(permit, 's1')
    assert (again.outcome, again.code) == (DispatchStep.Result.HELD, Code.PLACE)
    assert len(cell.robot.goals) == 1


def test_success_that_an_independent_signal_does_not_show_is_a_failure(made: Made) -> None:
    post = ', ends_at: pose, post: {signal: pose, near_end_m: 0.5, within_s: 0.5}}'
    cell = made.cell((POSE, SEEN), (MOVE, MOVE[:-1] + post)).armed()
    result = cell.operator.dispatch(permit_of(cell, drive('s1', 'pump'), drive('s2', 'storage')), 's1')
    assert (result.outcome, result.code) == (DispatchStep.Result.FAILED, Code.POSTCONDITION)
    assert result.rule == 'policy.tools.navigate_to.post'
    assert 'm from the goal' in result.text
    cell.robot.x_m, cell.robot.y_m = 3.0, 2.2
    assert cell.operator.dispatch(cell.operator.states[-1].permit_id, 's1').outcome == DispatchStep.Result.SUCCEEDED


# signals --------------------------------------------------------------------------------------------------------------
def test_signal_is_taken_from_its_publisher_alone_but_a_stop_from_anybody(made: Made) -> None:
    cell = made.cell()
    cell.robot.mode = 'MANUAL'
    sent = 0

    def stranger(context: Any) -> Node:
        node = Node('stranger', context=context)
        mode, estop = (
            node.create_publisher(String, 'mode', qos.SIGNAL),
            node.create_publisher(Bool, 'estop', qos.SIGNAL),
        )

        def publish() -> None:
            nonlocal sent
            sent += 1
            mode.publish(String(data='AUTO'))
            if spoofs:
                estop.publish(Bool(data=spoofs[-1]))

        node.create_timer(0.01, publish)
        return node

    spoofs: list[bool] = []
    other = Spinner(stranger, cell.domain_id)
    try:
        cell.armed()
        before = sent
        wait(lambda: sent > before + 100, 'a hundred spoofed modes')
        for _ in range(20):
            verdict = cell.operator.admit(plan_of(drive('s1', 'pump'))).verdict
            assert (verdict.decision, verdict.code) == (Verdict.HOLD, Code.MODE), verdict.text
        cell.robot.estop = True
        wait(lambda: cell.operator.state == GateState.STOPPED, 'the stop')
        spoofs.append(False)  # a false "released" of a stranger counts for nothing
        before = sent
        wait(lambda: sent > before + 50, 'fifty spoofed releases')
        assert not cell.operator.arm(2).accepted
        cell.robot.estop = False
        wait(lambda: cell.operator.arm(2).accepted, 'the reset')
        spoofs.append(True)
        wait(lambda: cell.operator.state == GateState.STOPPED, "a stranger's stop counts")
    finally:
        other.close()
    assert cell.robot.goals == []


def test_frozen_stamp_holds_though_messages_come(made: Made) -> None:
    cell = made.cell(
        ('max_age_s: 0.5, needed_from: motion', 'max_age_s: 0.5, frozen_after_s: 0.4, needed_from: motion')
    )
    cell.armed()
    cell.robot.works_s = 20.0
    end = cell.operator.send(permit_of(cell, drive('s1', 'pump')), 's1')
    wait(lambda: cell.robot.running != [], 'the drive')
    still = cell.robot._odometry()
    cell.robot._odometry = lambda: still  # type: ignore[method-assign]
    wait(end.done, 'the cancel')
    assert end.result().result.code == Code.SIGNAL_FROZEN
    assert cell.robot.cancelled == 1


def test_latched_emergency_stop_lives_by_its_publishers_lease(made: Made) -> None:
    change = (
        'publishers: [cell], fresh_by: age, max_age_s: 1.0',
        'publishers: [button], fresh_by: liveliness, max_age_s: 0.6',
    )
    cell = made.cell(change)
    cell.robot.silent.add('estop')
    lease = qos.signal_alive(0.6)
    parts: list[Any] = []

    def button(context: Any) -> Node:
        node = Node('button', context=context)
        parts.append(node.create_publisher(Bool, 'estop', lease))
        parts[0].publish(Bool(data=False))
        return node

    live = Spinner(button, cell.domain_id)
    try:
        cell.armed()
        start = time.monotonic()
        wait(lambda: time.monotonic() - start > 1.5, 'more than two leases without a message')
        assert cell.operator.dispatch(permit_of(cell, drive('s1', 'pump')), 's1').outcome == 0
    finally:
        live.close()
    wait(held(cell, Code.SIGNAL_STALE), 'the signal of a dead publisher is stale')


def test_jump_of_the_clock_voids_permits_and_moves_nothing(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = made.cell().armed()
    permit = permit_of(cell, drive('s1', 'pump'))
    epoch, real = cell.operator.states[-1].epoch, time.time
    monkeypatch.setattr('gemma4_ros.nodes.gate_node.time.time', lambda: real() - 3600.0)
    wait(lambda: cell.operator.states[-1].epoch == epoch + 1, 'a new epoch')
    assert cell.operator.dispatch(permit, 's1').code == Code.PERMIT_EPOCH
    assert cell.robot.goals == []


# people ---------------------------------------------------------------------------------------------------------------
def test_lock_out_stops_survives_a_restart_and_only_its_person_takes_it_off(made: Made) -> None:
    cell = made.cell().armed()
    cell.robot.works_s = 20.0
    permit = permit_of(cell, drive('s1', 'pump'))
    end = cell.operator.send(permit, 's1')
    wait(lambda: cell.robot.running != [], 'the drive')
    add, clear = SetLockout.Request.ADD, SetLockout.Request.CLEAR
    assert cell.operator.call('set_lockout', command=add, person='bert', reason='').code == Code.ARM_REFUSED
    assert cell.operator.call('set_lockout', command=add, person='bert', reason='hands in the\x1b machine').accepted
    wait(end.done, 'the cancel')
    verdict = cell.operator.admit(plan_of(drive('s1', 'pump'))).verdict
    assert (verdict.decision, verdict.code) == (Verdict.DENY, Code.LOCKED_OUT)
    assert '\x1b' not in verdict.text and 'hands in the' in verdict.text
    assert cell.operator.call('set_lockout', command=clear, person='anna').code == Code.ARM_REFUSED
    made.close(cell)
    cell = made.cell().armed()
    assert list(cell.operator.states[-1].locked_by) == ['bert']
    assert cell.operator.admit(plan_of(drive('s1', 'pump'))).verdict.code == Code.LOCKED_OUT
    assert cell.operator.call('set_lockout', command=clear, person='bert').accepted
    assert permit_of(cell, drive('s1', 'pump'))
    made.close(cell)
    (made.folder / 'audit' / 'lockouts.json').write_text('[{"person":', encoding='utf-8')
    cell = made.cell().armed()
    assert cell.operator.admit(plan_of(drive('s1', 'pump'))).verdict.code == Code.LOCKED_OUT
    assert cell.robot.goals == []


def test_people_of_the_policy_sign_what_they_saw(made: Made, tmp_path: Path) -> None:
    lines = []
    for person, role in (('anna', 'operator'), ('bert', 'supervisor'), ('carl', 'operator')):
        new_key(tmp_path / person, person, '')
        lines.append(f'  {policy_line(person, tmp_path / f"{person}.pub").replace("operator", role)}')
    wants = (
        'irreversible:\n    typed: {confirm: true, people: 0}',
        'irreversible:\n    typed: {confirm: false, people: 1, role: supervisor}',
    )
    cell = made.cell(wants, more='\npeople:\n' + '\n'.join(lines) + '\n').armed()
    admission = cell.operator.admit(plan_of(VALVE), proposer='anna')
    assert (admission.verdict.code, admission.permit_id) == (Code.NEEDS_APPROVAL, '')
    wait(lambda: bool(cell.operator.requests) and cell.operator.requests[-1].open, 'the request')
    asked = cell.operator.requests[-1]
    assert list(asked.roles) == ['supervisor']
    names = {name: getattr(asked, f'{name}_sha256') for name in ('plan', 'policy', 'goals', 'tools', 'world')}
    names |= {'approval': asked.approval_id, 'boot': asked.boot_id}

    def answer(person: str, key: str, rendering: str = asked.rendering) -> Any:
        signature = signer_of(tmp_path / key)(approval_text(names, person, rendering)) if key else b''
        fields = {'approval_id': asked.approval_id, 'plan_sha256': asked.plan_sha256, 'signature': signature}
        return cell.operator.call('approve', person=person, approve=True, **fields)

    assert answer('bert', '').code == Code.SIGNATURE_REFUSED
    assert answer('bert', 'carl').code == Code.SIGNATURE_REFUSED
    assert answer('bert', 'bert', 'read the gauge').code == Code.SIGNATURE_REFUSED
    assert answer('carl', 'carl').code == Code.APPROVER_REFUSED
    assert answer('anna', 'anna').code == Code.APPROVER_REFUSED
    assert answer('dora', 'anna').code == Code.APPROVER_REFUSED
    assert cell.robot.goals == []
    permit = answer('bert', 'bert').permit_id
    assert permit and cell.operator.dispatch(permit, 'v').outcome == DispatchStep.Result.SUCCEEDED


# limits, sequences, time ----------------------------------------------------------------------------------------------
def test_rate_limit_paces_and_number_at_once_holds(made: Made) -> None:
    cell = made.cell((MOVE, MOVE[:-1] + ', limits: {per_minute: 2, at_once: 1}}')).armed()
    permit = permit_of(cell, drive('s1', 'pump'), drive('s2', 'storage'), drive('s3', 'pump'))
    assert [cell.operator.dispatch(permit, name).code for name in ('s1', 's2', 's3')] == [0, 0, Code.LIMIT]
    assert len(cell.robot.goals) == 2
    made.close(cell)
    cell = made.cell((MOVE, MOVE[:-1] + ', limits: {at_once: 1}}')).armed()
    cell.robot.works_s = 1.0
    permit = permit_of(cell, Parallel((drive('a', 'pump'), drive('b', 'storage')), 'all'))
    first = cell.operator.send(permit, 'a')
    wait(lambda: cell.robot.running != [], 'the drive')
    assert cell.operator.dispatch(permit, 'b').code == Code.LIMIT
    wait(first.done, 'the end')
    assert cell.operator.dispatch(permit, 'b').code == 0


def test_order_rule_binds_plans_and_steps_over_plans(made: Made) -> None:
    rules = """
sequences:
  look_first: {rule: precedence, first: {tool: read_gauge}, then: {tool: open_valve}, scope: session, hazard: h3}
  then_close: {rule: response, first: {tool: open_valve}, then: {tool: close_valve}, within_s: 0.5, hazard: h3}
"""
    confirm = ('irreversible:\n    typed: {confirm: true', 'irreversible:\n    typed: {confirm: false')
    cell = made.cell(confirm, more=rules).armed()
    close = Step('c', 'close_valve', {'valve': 'main_valve'})
    verdict = cell.operator.admit(plan_of(VALVE, close)).verdict
    assert (verdict.code, verdict.rule, verdict.hazard) == (Code.SEQUENCE, 'policy.sequences.look_first', 'h3')
    read = permit_of(cell, Step('r', 'read_gauge', {'gauge': 'pressure_gauge'}))
    assert cell.operator.dispatch(read, 'r').code == 0
    assert cell.operator.call('close', permit_id=read, outcome=0).closed
    assert cell.operator.admit(plan_of(VALVE)).verdict.rule == 'policy.sequences.then_close'
    permit = permit_of(cell, VALVE, close)
    assert cell.operator.dispatch(permit, 'v').code == 0
    wait(lambda: cell.operator.state == GateState.STOPPED, 'what had to follow did not: a stop')
    assert cell.robot.goals == ['read pressure_gauge', 'valve main_valve 1']


def test_too_many_plans_in_a_minute_are_held(made: Made) -> None:
    cell = made.cell(more='\nrates: {plans_per_minute: 5, plans_per_person: 3}\n').armed()
    codes = [cell.operator.admit(b'{', proposer='anna').verdict.code for _ in range(5)]
    assert codes == [Code.NOT_JSON] * 3 + [Code.RATE] * 2
    codes = [cell.operator.admit(b'{', proposer='bert').verdict.code for _ in range(3)]
    assert codes[-1] == Code.RATE


def test_expired_policy_holds_and_a_policy_that_is_not_signed_does_not_start(made: Made, tmp_path: Path) -> None:
    cell = made.cell(more='\nexpires: "2026-01-01"\n')
    wait(lambda: bool(cell.operator.states), 'a state')
    assert cell.operator.arm().code == Code.POLICY_EXPIRED
    made.close(cell)
    new_key(tmp_path / 'key', 'boss', '')
    path = made.policy()
    start = [sys.executable, '-m', 'gemma4_ros.nodes.run', 'gate', '--ros-args', '-p', f'config:={CONFIG}']
    start += ['-p', f'policy:={path}', '-p', f'policy_key:={tmp_path / "key.pub"}', '-p', f'audit_dir:={tmp_path}/a']
    path.with_name('policy.yaml.sig').write_text(signer_of(tmp_path / 'key')(b'another policy').hex(), encoding='ascii')
    ended = subprocess.run(start, capture_output=True, text=True, timeout=30.0, check=False)
    assert ended.returncode == 2 and 'signature' in ended.stderr and 'Traceback' not in ended.stderr
    path.with_name('policy.yaml.sig').write_text(signer_of(tmp_path / 'key')(path.read_bytes()).hex(), encoding='ascii')
    seen = tmp_path / 'a' / 'policy_versions.json'
    seen.parent.mkdir(exist_ok=True)
    for text in ('{"plant_room": 2}', '{"plant_room":', '[]'):
        seen.write_text(text, encoding='utf-8')
        ended = subprocess.run(start, capture_output=True, text=True, timeout=30.0, check=False)
        assert ended.returncode == 2 and 'policy_versions.json' in ended.stderr and 'Traceback' not in ended.stderr


def test_audit_log_has_signed_checkpoints(made: Made, tmp_path: Path) -> None:
    new_key(tmp_path / 'gate', 'gate', '')
    cell = made.cell(audit_key=str(tmp_path / 'gate')).armed()
    for _ in range(110):
        cell.operator.admit(b'{')
    made.close(cell)
    (log,) = (tmp_path / 'audit').glob('audit-*.jsonl')
    lines = log.read_bytes().splitlines(keepends=True)
    report = verify(lines, public_key(tmp_path / 'gate.pub'))
    assert (report.problem, report.signed > 100) == ('', True)
    new_key(tmp_path / 'other', 'other', '')
    assert 'not signed' in verify(lines, public_key(tmp_path / 'other.pub')).problem
