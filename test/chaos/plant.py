# SPDX-License-Identifier: Apache-2.0
"""The running stack with the simulated cell, and an observer beside it that counts what the controllers really do."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from action_msgs.msg import GoalStatus, GoalStatusArray
from gemma4_ros.action import ExecutePlan, Say
from gemma4_ros.msg import DeadmanState, GateState, ModelStatus, TreeState, TurnEvent, Utterance
from gemma4_ros.srv import AdmitPlan, Approve, ClosePermit, GetWorld, SetArmed
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient
from rclpy.qos import qos_profile_action_status_default

from gemma4_ros.cli.ros_session import RosSession
from gemma4_ros.cli.up import Stack
from gemma4_ros.core.errors import NotRunningError
from gemma4_ros.core.plan import Node, Plan, Sequence, Step, plan_to_bytes
from gemma4_ros.ros import qos

__all__ = ['ENDPOINTS', 'STILL_M_S', 'Plant', 'TroubleError']

ENDPOINTS = ('drive_to', 'move_arm', 'dock')
STILL_M_S = 0.01
SPEED = 2.0  # of the simulated time
OPEN = (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING)


class TroubleError(AssertionError):
    """The plant did not come to where a trial begins; the trial says nothing."""


class Plant:
    """
    A stack, who watches it, and how a trial begins.

    Parameters
    ----------
    out : Path
        Folder of logs and audit.
    nodes : tuple of str
        Which nodes run; empty: all.
    settings : dict, optional
        Parameters of nodes beside its own.

    """

    def __init__(
        self, out: Path, nodes: tuple[str, ...] = (), settings: dict[str, dict[str, str]] | None = None
    ) -> None:
        self.out, self._nodes, self._settings = out, nodes, settings or {}
        self.exits = contextlib.ExitStack()

    def __enter__(self) -> Plant:
        try:
            self._start()
        except BaseException:
            self.exits.close()  # half a stack would take part in the next trial
            raise
        return self

    def _start(self) -> None:
        self.said: list[str] = []
        settings = {
            'cell': {'speed': str(SPEED), 'render': 'false'},
            'gate': {'audit_dir': str(self.out / 'audit')},
            'recorder': {'file': str(self.out / f'recording_{time.time_ns()}.mcap')},  # never over one that is there
        }
        for name, values in self._settings.items():
            settings[name] = settings.get(name, {}) | values
        self.stack = Stack(sim=True, only=self._nodes, log_dir=self.out, settings=settings, say=self.said.append)
        self.exits.enter_context(self.stack)
        self.stack.wait_ready(90.0)
        self.session = self.exits.enter_context(RosSession())
        self.speeds: list[tuple[float, float]] = []
        self.tree = TreeState()
        self.events: list[TurnEvent] = []
        self.gate, self.deadman, self.gate_since = GateState(), DeadmanState(), 0.0
        self.is_warm = False
        self.began: dict[str, dict[bytes, float]] = {name: {} for name in ENDPOINTS}
        self.open: dict[str, set[bytes]] = {name: set() for name in ENDPOINTS}
        self.before: dict[str, set[bytes]] = {name: set() for name in ENDPOINTS}
        self.most_at_once = 0
        node = self.session.node
        node.create_subscription(Odometry, 'odom', self._on_odom, qos.SENSOR)
        node.create_subscription(TreeState, 'executor/tree', self._on_tree, qos.STATE_LATCHED)
        node.create_subscription(TurnEvent, 'copilot/events', self.events.append, qos.EVENTS)
        node.create_subscription(GateState, 'gate/state', self._on_gate, qos.STATE_LATCHED)
        node.create_subscription(DeadmanState, 'deadman/state', self._on_deadman, qos.STATE_LATCHED)
        node.create_subscription(ModelStatus, 'gemma/status', self._on_model, qos.STATE_LATCHED)
        for name in ENDPOINTS:
            topic = f'{name}/_action/status'
            taker = lambda message, name=name: self._on_status(name, message)  # noqa: E731
            node.create_subscription(GoalStatusArray, topic, taker, qos_profile_action_status_default)
        self.executor = ActionClient(node, ExecutePlan, 'executor/execute_plan')
        self.copilot = ActionClient(node, Say, 'copilot/say')
        if not self._nodes or 'gemma' in self._nodes:
            self.until(lambda: self.is_warm, 240.0, 'the model is warm')

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._stopped():
            process.resume()
        if hasattr(self, 'executor'):
            self.executor.destroy()
            self.copilot.destroy()
        self.exits.close()

    # what is seen ----------------------------------------------------------------------------------------------------
    def _on_odom(self, message: Odometry) -> None:
        twist = message.twist.twist
        speed = math.hypot(twist.linear.x, twist.linear.y)
        self.speeds.append((time.monotonic(), speed))
        del self.speeds[:-2000]

    def _on_tree(self, message: TreeState) -> None:
        self.tree = message

    def _on_gate(self, message: GateState) -> None:
        if message.boot_id != self.gate.boot_id:
            self.gate_since = time.monotonic()
        self.gate = message

    def _on_deadman(self, message: DeadmanState) -> None:
        self.deadman = message

    def _on_model(self, message: ModelStatus) -> None:
        self.is_warm = message.prefix_tokens > 0

    def _on_status(self, name: str, message: GoalStatusArray) -> None:
        now = time.monotonic()
        self.open[name] = {bytes(s.goal_info.goal_id.uuid) for s in message.status_list if s.status in OPEN}
        for goal in message.status_list:
            self.began[name].setdefault(bytes(goal.goal_info.goal_id.uuid), now)
        self.most_at_once = max(self.most_at_once, sum(map(len, self.open.values())))

    @property
    def speed(self) -> float:
        """The newest speed of the base, m/s of simulated time."""
        return self.speeds[-1][1] if self.speeds else math.inf

    @property
    def is_executing(self) -> bool:
        """Whether a controller has an open goal."""
        return any(self.open.values())

    def goals_since(self, at: float) -> int:
        """How many goals controllers have taken since then."""
        return sum(began > at for goals in self.began.values() for began in goals.values())

    def goals_of_trial(self, name: str) -> int:
        """How many goals a controller has taken since the trial began."""
        return len(set(self.began[name]) - self.before[name])

    def phase_of(self, step_id: str) -> int:
        """The status of a step in the published tree."""
        return next((node.status for node in self.tree.nodes if node.id == step_id), 0)

    # what is done ----------------------------------------------------------------------------------------------------
    def spin(self) -> None:
        """Serve callbacks for a moment, and start again what has died."""
        self.session.spin(0.02)
        self.stack.poll()

    def seen(self, predicate: Callable[[], bool], deadline_s: float) -> float | None:
        """Return how long until something holds, s; None: it did not."""
        start = time.monotonic()
        while not predicate():
            if time.monotonic() - start > deadline_s:
                return None
            self.spin()
        return time.monotonic() - start

    def until(self, predicate: Callable[[], bool], deadline_s: float, what: str) -> float:
        """Wait until something holds; raise TroubleError where it does not."""
        took_s = self.seen(predicate, deadline_s)
        if took_s is None:
            raise TroubleError(f'not within {deadline_s:g} s: {what}; {self.said[-3:]}')
        return took_s

    def _order(self, name: str, command: int) -> None:
        with contextlib.suppress(NotRunningError):
            request = SetArmed.Request(command=command, person='anna')
            self.session.call(SetArmed, f'{name}/set_armed', request, deadline_s=3.0, again_s=0.5)

    def arm(self) -> None:
        """Clear what is latched and arm the gate."""

        def is_armed() -> bool:
            if self.deadman.state == DeadmanState.TRIPPED:
                self._order('deadman', SetArmed.Request.RESET)
            elif self.gate.state == GateState.STOPPED and self.deadman.state == DeadmanState.WATCHING:
                self._order('gate', SetArmed.Request.RESET)
            elif self.gate.state in (GateState.DISARMED, GateState.HOLD):
                self._order('gate', SetArmed.Request.ARM)
            return self.gate.state == GateState.ARMED and self.deadman.state == DeadmanState.WATCHING

        self.until(is_armed, 30.0, f'the gate arms (gate {self.gate.state} {self.gate.text!r})')

    def facts(self) -> dict[tuple[str, str], str]:
        """How it really is, as the cell says."""
        answer = self.session.call(GetWorld, 'cell/get_state', GetWorld.Request(), again_s=1.0)
        return {(fact.name, fact.args[0]): fact.value for fact in answer.facts}

    def admit(self, *steps: Node) -> str:
        """Have a plan admitted, and say yes to what the gate reads back; return its permit."""
        data = plan_to_bytes(Plan('chaos', Sequence(steps)))
        answer = self.session.call(AdmitPlan, 'gate/admit', AdmitPlan.Request(plan=data, proposer='anna'))
        said = answer.verdict.text
        if answer.approval_id:
            yes = Approve.Request(approval_id=answer.approval_id, person='anna', approve=True)
            yes.plan_sha256 = answer.plan_sha256
            answer = self.session.call(Approve, 'gate/approve', yes)
            said = answer.text
        if not answer.permit_id:
            raise TroubleError(f'not admitted: {said}')
        return str(answer.permit_id)

    def execute(self, permit_id: str) -> tuple[Any, Any]:
        """Start a plan; return the goal's handle and what will hold its result."""
        self.until(self.executor.server_is_ready, 10.0, 'the executor serves plans')
        sent = self.executor.send_goal_async(ExecutePlan.Goal(permit_id=permit_id))
        self.until(sent.done, 5.0, 'the executor answers')
        if not sent.result().accepted:
            raise TroubleError('the executor has refused a plan')
        return sent.result(), sent.result().get_result_async()

    def say(self, text: str) -> Any:
        """Type a command; return what will hold the result of the turn."""
        self.until(self.copilot.server_is_ready, 10.0, 'the copilot is served')
        utterance = Utterance(text=text, operator_id='anna', confidence=1.0)
        sent = self.copilot.send_goal_async(Say.Goal(utterance=utterance))
        self.until(sent.done, 5.0, 'the copilot answers')
        return sent.result().get_result_async()

    def begin(self) -> tuple[Step, ...]:
        """Bring everything to where a trial begins; return the plan of the trial."""
        self.until(lambda: not self.is_executing, 20.0, 'controllers are idle')
        if self.gate.permit_id:  # of a trial whose plan nobody carried out
            request = ClosePermit.Request(permit_id=self.gate.permit_id, outcome=2, text='end of the trial')
            self.session.call(ClosePermit, 'gate/close', request, again_s=0.5)
        self.arm()
        if self.facts().get(('docked', 'robot')) == 'yes':
            _, result = self.execute(self.admit(Step('s1', 'undock', {})))
            self.until(result.done, 30.0, 'the robot leaves the dock')
            self.arm()
        here = self.facts().get(('at', 'robot'), '')
        there = [name for name in ('control_desk', 'pump', 'storage') if name != here]
        self.before = {name: set(goals) for name, goals in self.began.items()}  # servers show old goals for minutes
        self.events.clear()
        self.most_at_once = 0
        drives = [Step(f's{index}', 'navigate_to', {'place': place}) for index, place in ((1, there[0]), (3, there[1]))]
        return drives[0], Step('s2', 'move_arm', {'posture': 'stowed'}), drives[1]

    # processes -------------------------------------------------------------------------------------------------------
    def process(self, name: str) -> psutil.Process:
        """Return a node's process; ``engine``: the child of gemma that holds the weights."""
        pid = self.stack.pids['gemma' if name == 'engine' else name]
        process = psutil.Process(pid)
        if name != 'engine':
            return process
        children = [each for each in process.children(recursive=True) if 'engine' in ' '.join(each.cmdline())]
        if not children:
            raise TroubleError('gemma has no engine')
        return children[0]

    def _stopped(self) -> Iterator[psutil.Process]:
        for child in psutil.Process(os.getpid()).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.status() == psutil.STATUS_STOPPED:
                    yield child
