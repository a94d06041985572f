# SPDX-License-Identifier: Apache-2.0
"""The running stack, every process of it, held against the table of interfaces, and nobody with a raised priority."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import psutil
import pytest

pytest.importorskip('rclpy')

from gemma4_ros.cli.ros_session import RosSession
from gemma4_ros.cli.security import allowed_of
from gemma4_ros.core.interfaces import OPERATOR, OPERATOR_NODES, Allowed, Graph, difference
from gemma4_ros.nodes.table import TABLE

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(180)]
GRAPH_S, DONE_S, GONE_S = 15.0, 60.0, 40.0
MOVES = (
    'Twist',
    'Accel',
    'Wrench',
    'Joint',
    'Trajectory',
    'Float64MultiArray',
    'Float32MultiArray',
    'Gripper',
    'Ackermann',
)
DOCK = 'gemma4_ros/action/Dock_SendGoal'
OWN_PARAMETERS = ('/gemma4_',)  # of commands: their nodes have a number in the name


def graph_of(node: Any, name: str, namespace: str) -> Graph:
    """Return what the graph shows of a node."""

    def pairs(found: list[tuple[str, list[str]]]) -> frozenset[tuple[str, str]]:
        return frozenset((each, type_name) for each, types in found for type_name in types)

    return Graph(
        pairs(node.get_publisher_names_and_types_by_node(name, namespace)),
        pairs(node.get_subscriber_names_and_types_by_node(name, namespace)),
        pairs(node.get_service_names_and_types_by_node(name, namespace)),
        pairs(node.get_client_names_and_types_by_node(name, namespace)),
    )


class Watched:
    """A running stack, who looks at it, and what the table allows."""

    def __init__(self, up: Any, session: RosSession) -> None:
        self.up, self.session = up, session
        self.allowed = allowed_of('', '/', sim=True)

    def nodes(self) -> dict[str, Graph]:
        """Return every node but the one that looks."""
        node = self.session.node
        return {
            name: graph_of(node, name, namespace)
            for name, namespace in node.get_node_names_and_namespaces()
            if name != node.get_name()
        }

    def wrong(self) -> list[str]:
        """Return one line for each thing that is not as the table says, nodes that are not in it included."""
        found, there = [], self.nodes()
        for name, graph in there.items():
            is_command = fnmatchcase(name, OPERATOR_NODES)
            if not is_command and name not in self.allowed:
                found.append(f'{name} is in no table')
                continue
            entry: Allowed = self.allowed[OPERATOR if is_command else name]
            found += difference(graph, entry, OWN_PARAMETERS if is_command else ())
        missing = {process.name for process in TABLE} - set(there)
        return found + [f'{name} is not there' for name in sorted(missing)]

    def settled(self) -> list[str]:
        """Wait until discovery has shown everything; return what stays wrong."""
        last: list[str] = ['nothing was looked at']

        def is_right() -> bool:
            last[:] = self.wrong()
            return not last

        self.session.until(is_right, GRAPH_S)
        return last


def started(watched: Watched, text: str) -> None:
    """Arm the gate, say a command and wait until its plan runs."""
    from gemma4_ros.action import Say
    from gemma4_ros.msg import TreeState, Utterance
    from gemma4_ros.srv import SetArmed
    from rclpy.action import ActionClient

    from gemma4_ros.ros import qos

    session, trees = watched.session, []
    session.node.create_subscription(TreeState, 'executor/tree', trees.append, qos.STATE_LATCHED)
    client = ActionClient(session.node, Say, 'copilot/say')
    armed = session.call(SetArmed, 'gate/set_armed', SetArmed.Request(command=SetArmed.Request.ARM, person='anna'))
    assert armed.accepted, armed.text
    assert session.until(client.server_is_ready, GRAPH_S)
    client.send_goal_async(Say.Goal(utterance=Utterance(text=text, operator_id='anna', confidence=1.0)))
    assert session.until(lambda: any(tree.status == TreeState.RUNNING for tree in trees), DONE_S), watched.up.said()


def moving(graphs: dict[str, Graph]) -> list[str]:
    """Return what a node other than the robot publishes that makes something move."""
    return [
        f'{name}: {topic} [{type_name}]'
        for name, graph in graphs.items()
        for topic, type_name in graph.publishers
        if type_name.rpartition('/')[2].startswith(MOVES) and (name, topic) != ('cell', '/joint_states')
    ]


def preferred(process: psutil.Process) -> list[str]:
    """Return the threads of a process that the kernel prefers to others."""
    found = []
    for thread in process.threads():
        policy, nice = os.sched_getscheduler(thread.id), os.getpriority(os.PRIO_PROCESS, thread.id)
        if policy not in (os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE) or nice < 0:
            found.append(f'{process.cmdline()[:5]} thread {thread.id}: policy {policy}, nice {nice}')
    return found


def test_the_running_stack_is_what_the_table_says_before_and_while_a_plan_runs(up: Callable[..., Any]) -> None:
    it = up()
    it.wait_ready(90.0)
    with RosSession() as session:
        watched = Watched(it, session)
        assert watched.settled() == []
        idle = watched.nodes()
        assert not [name for name, _ in idle['gate'].clients | idle['executor'].clients]

        started(watched, 'go to the pump')
        asks = lambda node, service: service in {name for name, _ in watched.nodes()[node].clients}  # noqa: E731
        assert session.until(lambda: asks('gate', '/dock/_action/send_goal'), DONE_S)
        assert session.until(lambda: asks('executor', '/gate/dispatch/_action/send_goal'), DONE_S)
        assert watched.settled() == []
        running = watched.nodes()
        assert moving(idle) == moving(running) == []
        senders = {name for name, graph in running.items() if ('/dock/_action/send_goal', DOCK) in graph.clients}
        assert senders == {'gate'}

        processes = it.all()
        assert len(processes) >= len(TABLE) + 2  # the nodes, the engine and the command itself
        assert [line for process in processes for line in preferred(process)] == []
        own = psutil.Process().nice()
        engine = [process for process in processes if 'gemma4_ros.backends.engine_process' in process.cmdline()]
        assert [process.nice() > own or process.nice() == 19 for process in engine] == [True]
    it.process.send_signal(signal.SIGINT)
    it.wait_gone(GONE_S)
