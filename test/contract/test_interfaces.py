# SPDX-License-Identifier: Apache-2.0
"""The interface table against nodes, types, watch file and enclaves; no code commands motion or wants priority."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip('rclpy')

import psutil

from gemma4_ros.backends import engine_process
from gemma4_ros.cli.security import allowed_of, files_of, robot_of
from gemma4_ros.core.interfaces import OPERATOR, Allowed, load_table, node_names
from gemma4_ros.core.security import Validity
from gemma4_ros.core.strict_yaml import parse
from gemma4_ros.core.watch import resolved
from gemma4_ros.nodes.table import TABLE
from gemma4_ros.ros.types import message_class

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'config'
SOURCES = sorted((ROOT / 'gemma4_ros').rglob('*.py'))
# Types that make something move: velocities, forces, joints, trajectories, flight set-points.
MOVES = re.compile(
    r'/(Twist|TwistStamped|TwistWith\w+|Accel\w*|Wrench\w*|Joint\w+|MultiDOFJoint\w+|GripperCommand|Ackermann\w+|'
    r'Float(32|64)(MultiArray)?|Trajectory\w*|PositionTarget|AttitudeTarget|SpeedLimit|Joy)$'
)
MOVING_NAMES = re.compile(r'cmd|vel|twist|traject|joint|effort|wrench|goal_pose|initialpose|setpoint')
MOVING_IMPORTS = {'trajectory_msgs', 'control_msgs', 'controller_manager_msgs', 'ackermann_msgs', 'mavros_msgs'}


@pytest.fixture(scope='module')
def allowed() -> dict[str, Allowed]:
    return allowed_of('', '/', sim=True)


def written() -> dict[str, str]:
    return {
        str(path.relative_to(CONFIG / 'security')): path.read_text() for path in (CONFIG / 'security').rglob('*.xml')
    }


def test_the_table_has_every_node_and_nobody_else() -> None:
    table = load_table((CONFIG / 'interfaces.yaml').read_text(), 'interfaces.yaml')
    nodes = node_names((CONFIG / 'nodes.txt').read_text())
    assert set(table.names) == {*nodes, OPERATOR} and set(nodes) == {process.name for process in TABLE}


def test_every_type_in_the_table_exists(allowed: dict[str, Allowed]) -> None:
    types = {
        type_name
        for item in allowed.values()
        for role in ('publishes', 'subscribes', 'serves', 'calls', 'executes', 'sends_goals')
        for name, type_name in getattr(item.all, role).items()
        if '/_action/' not in name
    }
    assert len(types) > 30
    for type_name in types:
        message_class(type_name)


def test_whoever_calls_or_listens_finds_somebody(allowed: dict[str, Allowed]) -> None:
    graphs = {name: item.all.graph() for name, item in allowed.items()}
    served = {pair for graph in graphs.values() for pair in graph.servers}
    published = {pair for graph in graphs.values() for pair in graph.publishers}
    from_outside = {('/cell/set_mode', 'std_msgs/msg/String'), ('/cell/set_estop', 'std_msgs/msg/Bool')}  # a test's own
    for name, graph in graphs.items():
        assert not graph.clients - served, name
        assert not graph.subscriptions - published - from_outside, name


def test_nobody_publishes_what_moves_but_the_robot_itself(allowed: dict[str, Allowed]) -> None:
    for name, item in allowed.items():
        for topic, type_name in item.all.graph().publishers:
            is_state_of_the_robot = name == 'cell' and topic == '/joint_states'
            assert is_state_of_the_robot or not MOVES.search(type_name), f'{name} publishes {topic} [{type_name}]'
            assert is_state_of_the_robot or not MOVING_NAMES.search(topic), f'{name} publishes {topic}'


def test_topics_that_the_watcher_guards_have_the_publishers_of_the_table(allowed: dict[str, Allowed]) -> None:
    guarded = parse((CONFIG / 'watch.yaml').read_text(), 'watch.yaml').root['publishers']
    publishers = {
        topic: {name for name, each in allowed.items() if topic in each.all.publishes} for topic in _all(allowed)
    }
    assert guarded
    for topic, nodes in guarded.items():
        assert publishers.get(resolved(topic, '/'), set()) == set(nodes), topic


def test_actions_and_services_that_the_watcher_guards_have_the_clients_of_the_table(
    allowed: dict[str, Allowed],
) -> None:
    endpoints = parse((CONFIG / 'watch.yaml').read_text(), 'watch.yaml').root['endpoints']
    assert endpoints
    for name, item in endpoints.items():
        called = f'/{name}/_action/send_goal' if item.get('action') else f'/{name}'
        clients = {node for node, each in allowed.items() if called in dict(each.all.graph().clients)}
        servers = {node for node, each in allowed.items() if called in dict(each.all.graph().servers)}
        assert (clients, servers) == (set(item['clients']), set(item.get('servers', servers))), name


def test_the_enclaves_are_those_that_the_table_gives() -> None:
    assert written() == files_of('', '', Validity(), sim=True), 'run: gemma4 security generate'


def test_only_the_gates_enclave_may_write_goals_and_requests_to_the_robot() -> None:
    robot = robot_of('')
    writes: dict[str, set[str]] = {}
    for path, text in written().items():
        if path.endswith('permissions.xml'):
            topics = ElementTree.fromstring(text).iterfind('.//publish/topics/topic')
            writes[path.split('/')[1]] = {topic.text or '' for topic in topics}
    assert set(writes) == {process.name for process in TABLE} | {OPERATOR} and robot.actions and robot.services
    for name in robot.actions:
        for kind, who in (('send_goal', {'gate'}), ('get_result', {'gate'}), ('cancel_goal', {'gate', 'deadman'})):
            topic = f'rq/{name}/_action/{kind}Request'
            assert {node for node, topics in writes.items() if topic in topics} == who, topic
    for name in robot.services:
        assert {node for node, topics in writes.items() if f'rq/{name}Request' in topics} == {'gate'}, name
    assert not [topic for topics in writes.values() for topic in topics if topic.startswith('rq/') and '*' in topic]


def test_a_robot_without_the_cell_has_no_enclave_for_it() -> None:
    made = files_of('', 'r1', Validity(), sim=False)
    assert 'enclaves/r1/gate/permissions.xml' in made and not [name for name in made if 'cell' in name]


@pytest.mark.parametrize('folder', sorted((CONFIG / 'robots').iterdir()), ids=lambda folder: folder.name)
def test_the_gate_alone_reaches_the_controllers_of_every_example_robot(folder: Path) -> None:
    made = files_of(str(folder), '', Validity(), sim=False, tools=['tools.yaml'])
    robot = robot_of(str(folder), ['tools.yaml'])
    requests = {f'rq{resolved(name, "/")}Request' for name in robot.services}
    requests |= {f'rq{resolved(name, "/")}/_action/send_goalRequest' for name in robot.actions}
    assert requests
    for path, text in made.items():
        if path.endswith('permissions.xml'):
            writes = {topic.text for topic in ElementTree.fromstring(text).iterfind('.//publish/topics/topic')}
            assert writes & requests == (requests if path == 'enclaves/gate/permissions.xml' else set()), path


# Source ---------------------------------------------------------------------------------------------------------------
def _all(allowed: dict[str, Allowed]) -> set[str]:
    return {topic for item in allowed.values() for topic in item.all.publishes}


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield module and name of everything that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, '') for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or '', alias.name) for alias in node.names)


def moving(text: str) -> list[str]:
    """Return what a source imports or names that commands motion."""
    tree = ast.parse(text)
    found = [f'{module}.{name}' for module, name in _imports(tree) if module.partition('.')[0] in MOVING_IMPORTS]
    found += [f'{module}.{name}' for module, name in _imports(tree) if '_msgs' in module and MOVES.search(f'/{name}')]
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return found + [each for each in texts if re.fullmatch(r'\w+/msg/\w+', each) and MOVES.search(each)]


def raising(text: str) -> list[str]:
    """Return the calls of a source by which a process may take more of the computer than it was given."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition('.')[2]
        arguments = ', '.join(ast.unparse(each) for each in node.args)
        is_idle = name == 'sched_setscheduler' and 'SCHED_IDLE' in arguments
        is_nice = name == 'nice' and not arguments.startswith('-')
        if name in ('nice', 'setpriority', 'sched_setscheduler', 'sched_setparam', 'ionice', 'mlockall', 'rlimit'):
            found += [] if is_idle or is_nice else [f'{name}({arguments})']
        if name == 'setrlimit' and 'RLIMIT_RTPRIO' in arguments:
            found.append(f'{name}({arguments})')
        if name in ('Popen', 'run') and re.search(r"'(chrt|renice|ionice|nice)'", arguments):
            found.append(f'{name}({arguments})')
    return found


@pytest.mark.parametrize(
    'text',
    [
        'from geometry_msgs.msg import Twist',
        'from geometry_msgs.msg import PoseStamped, TwistStamped',
        'import trajectory_msgs.msg',
        'from trajectory_msgs.msg import JointTrajectory',
        'from std_msgs.msg import Float64MultiArray',
        "kind = message_class('geometry_msgs/msg/Twist')",
    ],
)
def test_the_search_finds_what_moves(text: str) -> None:
    assert moving(text)


@pytest.mark.parametrize(
    'text',
    [
        'os.nice(-5)',
        'os.setpriority(os.PRIO_PROCESS, 0, -1)',
        'os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))',
        'psutil.Process().nice(-10)',
        "subprocess.run(['chrt', '-f', '50', 'x'])",
        'resource.setrlimit(resource.RLIMIT_RTPRIO, (9, 9))',
    ],
)
def test_the_search_finds_what_raises(text: str) -> None:
    assert raising(text)


def test_no_code_outside_of_the_simulation_names_a_type_that_moves() -> None:
    texts = {path: path.read_text(encoding='utf-8') for path in SOURCES if 'sim' not in path.parts}
    assert len(texts) > 100 and {path.stem: found for path, text in texts.items() if (found := moving(text))} == {}


def test_no_code_raises_a_priority() -> None:
    texts = {path: path.read_text(encoding='utf-8') for path in SOURCES}
    assert len(texts) > 100 and {path.stem: found for path, text in texts.items() if (found := raising(text))} == {}


def test_niceness_only_ever_grows() -> None:
    assert all(process.nice >= 0 for process in TABLE)
    calls = {path.stem for path in SOURCES if re.search(r'\bos\.nice\(', path.read_text(encoding='utf-8'))}
    assert calls == {'run', 'engine_process'}  # of the table; of --nice where it is above 0


def test_the_engine_never_lowers_its_niceness(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, 'nice', asked.append)
    for nice in (-20, -1, 0, 7):
        engine_process._step_back(nice)
    assert asked == [7] and psutil.Process().nice() >= 0
