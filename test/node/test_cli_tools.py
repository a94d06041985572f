# SPDX-License-Identifier: Apache-2.0
"""``gemma4 tools``: files held against the installed types, and drafts of what a graph serves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from gemma4_ros.action import DriveTo
from gemma4_ros.srv import ReadGauge, SetPanelValue
from rclpy.action import ActionServer
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import SetBool

from gemma4_ros.cli import main as cli
from gemma4_ros.core.gate.bind import check_binding
from gemma4_ros.core.gate.verdict import Refused
from gemma4_ros.core.plan import Plan, Step
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_catalogue

pytestmark = [pytest.mark.ros]
CONFIG = Path(__file__).resolve().parents[2] / 'config'
WORLD = load_world((CONFIG / 'world.yaml').read_text(encoding='utf-8'))
GOOD = """tools: "1"
drive:
  doc: drive to a place
  interface: {action: gemma4_ros/action/DriveTo, name: drive_to}
  args: {place: {enum: world.places}}
  goal: {pose: {header: {frame_id: $world.frame}, pose: $place.pose}}
  success: {status: SUCCEEDED, error_code: 0}
  returns: {distance_m: {field: distance_m, type: number, unit: m}}
  needs: []
  gives: ["at(robot, $place)"]
  duration_s: {typical: 12, timeout: 90}
  risk: motion
"""


def check(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    (tmp_path / 'tools.yaml').write_text(text, encoding='utf-8')
    code = cli.main(['tools', 'check', str(tmp_path / 'tools.yaml'), '--json'])
    said = json.loads(capsys.readouterr().out)
    assert said['ok'] is (code == 0)
    return code, said['problems']


def test_tools_of_the_cell_fit_the_types(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['tools', 'check']) == 0
    assert capsys.readouterr().out == '11 tools, 0 that do not fit\n'


@pytest.mark.parametrize(
    ('old', 'new', 'where', 'says'),
    [
        ('header: {frame_id', 'head: {frame_id', 'goal', 'goal.pose.head: PoseStamped has no such field'),
        ('frame_id: $world.frame', 'frame_id: 3', 'goal', 'goal.pose.header.frame_id: wants string, got 3'),
        ('pose: $place.pose}', 'pose: $place}', 'goal', 'wants an object with the fields of Pose'),
        ('error_code: 0', 'error_kode: 0', 'success.error_kode', "no field 'error_kode'; did you mean 'error_code'"),
        ('error_code: 0', 'error_code: true', 'success.error_code', 'the field is uint16, not boolean'),
        ('SUCCEEDED', 'SUCCEEDDED', 'success.status', "no end of an action; did you mean 'SUCCEEDED'"),
        (
            'field: distance_m',
            'field: distance',
            'returns.distance_m',
            "no field 'distance'; did you mean 'distance_m'",
        ),
        ('field: distance_m', 'field: error_msg', 'returns.distance_m', 'not number'),
    ],
)
def test_what_would_fail_in_the_field_is_said_before(
    old: str, new: str, where: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, GOOD, capsys) == (0, [])
    assert old in GOOD
    code, found = check(tmp_path, GOOD.replace(old, new, 1), capsys)
    assert (code, found[0]['tool'], found[0]['where']) == (2, 'drive', where)
    assert says in found[0]['text']


def test_every_value_of_an_argument_is_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = GOOD.replace('DriveTo, name: drive_to', 'OperateValve, name: operate_valve')
    text = text.replace('{place: {enum: world.places}}', '{turns: {type: integer, min: 0, max: 300, unit: "1"}}')
    text = text.replace('{pose: {header: {frame_id: $world.frame}, pose: $place.pose}}', '{command: $turns}')
    text = text.replace('returns: {distance_m: {field: distance_m, type: number, unit: m}}', 'returns: {}')
    code, found = check(tmp_path, text.replace('"at(robot, $place)"', ''), capsys)
    assert code == 2
    assert [item['text'] for item in found] == ['goal.command: wants uint8 from 0 to 255, got 300']


def test_types_that_are_not_here_are_not_called_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = check(tmp_path, GOOD.replace('gemma4_ros/action/DriveTo', 'gemma4_ros/action/DriveToo'), capsys)
    assert (code, found[0]['is_absent']) == (2, False)
    code, found = check(tmp_path, GOOD.replace('gemma4_ros/action/DriveTo', 'nav9_msgs/action/DriveTo'), capsys)
    assert (code, found[0]['is_absent']) == (6, True)
    assert 'install it or source its overlay' in found[0]['text']


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['tools', 'check', str(tmp_path / 'none.yaml')]) == 2
    assert 'there is no such file' in capsys.readouterr().err


def test_show_lists_bounds_conditions_and_risk(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['tools', 'show']) == 0
    shown = capsys.readouterr().out
    assert 'value_bar: number from 0 to 8 bar in steps of 0.1' in shown
    assert 'needs: docked(robot, no)' in shown
    assert cli.main(['tools', 'show', '--json']) == 0
    assert len(json.loads(capsys.readouterr().out)['tools']) == 11


@pytest.fixture
def robot() -> Iterator[None]:
    context = Context()
    rclpy.init(context=context)
    node = Node('base', context=context, namespace='r2')
    server = ActionServer(node, DriveTo, 'drive_to', lambda goal: goal.abort() or DriveTo.Result())
    for kind, name in ((SetBool, 'lights'), (SetPanelValue, 'panel'), (ReadGauge, '/elsewhere/gauge')):
        node.create_service(kind, name, lambda _, response: response)
    executor, is_over = SingleThreadedExecutor(context=context), threading.Event()
    executor.add_node(node)

    def spin() -> None:
        while not is_over.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    yield
    is_over.set()
    thread.join(5.0)
    server.destroy()
    executor.shutdown(timeout_sec=0.0)
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_what_a_robot_serves_becomes_drafts_that_load_and_that_the_gate_refuses(
    robot: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(['tools', 'scan', '--namespace', 'r2']) == 0
    text = capsys.readouterr().out
    tools = load_tools([('scan', text)], WORLD).tools
    assert set(tools) == {'r2_drive_to', 'r2_lights', 'r2_panel'}
    assert all(tool.draft and tool.risk == 'irreversible' for tool in tools.values())
    drive = tools['r2_drive_to']
    assert (drive.interface.kind, drive.interface.name) == ('action', 'r2/drive_to')
    assert dict(drive.success) == {'status': 'SUCCEEDED', 'error_code': 0}
    assert set(drive.returns) == {'distance_m', 'error_msg'}
    assert tools['r2_lights'].args['data'].type == 'boolean'
    assert '# request.pose: geometry_msgs/PoseStamped' in text
    assert '# qos: status reliable, transient_local' in text
    (tmp_path / 'tools.yaml').write_text(text, encoding='utf-8')
    assert cli.main(['tools', 'check', str(tmp_path / 'tools.yaml')]) == 0
    catalogue = load_catalogue(GateFiles(tools=(str(tmp_path / 'tools.yaml'),)))
    with pytest.raises(Refused):
        check_binding(Plan('test', Step('s', 'r2_lights', {'data': True})), catalogue)


def test_scan_of_a_graph_where_nothing_is_served_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['tools', 'scan', '--seconds', '0.5', '--namespace', 'nobody', '--json']) == 6
    said = capsys.readouterr()
    assert json.loads(said.out) == {'tools': {}, 'left_out': []}
    assert 'nobody serves' in said.err
