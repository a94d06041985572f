# SPDX-License-Identifier: Apache-2.0
"""A gate without ROS: the real monitor, a clock moved by hand, and a controller that counts what it is sent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.monitor import Admission, Monitor
from gemma4_ros.core.gate.permits import Ticket
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.verdict import Refused
from gemma4_ros.core.plan import Node, Plan, Sequence, plan_to_bytes
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_gate

__all__ = ['CONFIG', 'HandGate', 'load']

CONFIG = Path(__file__).resolve().parents[3] / 'config'


def load(policy: str = 'policy.yaml', world: str = 'world.yaml', *tools: str) -> tuple[Policy, Catalogue]:
    """Load files of the configuration's folder."""
    files = GateFiles(str(CONFIG), policy=policy, world=world)
    return load_gate(replace(files, tools=tools) if tools else files)


class HandGate:
    """
    Everything that the node does around the monitor, without DDS.

    ``sent`` holds every goal that a controller would have received: the only thing that an attack is judged by.
    """

    def __init__(self, policy: Policy, catalogue: Catalogue, **changes: Any) -> None:
        self.records: list[tuple[str, Mapping[str, Any]]] = []
        self.sent: list[tuple[str, str, Mapping[str, Any]]] = []
        self._ids: Iterator[int] = itertools.count(1)
        changes = {'plans_per_minute': math.inf, 'plans_per_person': math.inf, **changes}  # time stands still here
        self.monitor = Monitor(replace(policy, **changes), catalogue, 'boot', self._new_id, self)
        self.now = 100.0
        self.silent: set[str] = set()
        self.live()

    def _new_id(self) -> str:
        return f'id{next(self._ids)}'

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        self.records.append((kind, data))

    def live(self) -> None:
        """Let everything that is not silent give a sign of life."""
        moment = self.monitor.moment
        for name in set(self.monitor.policy.signals) - self.silent:
            moment.signal(name, {'mode': 'AUTO', 'estop': False}.get(name), self.now)
        if 'deadman' not in self.silent:
            moment.deadman(self.now)
        if 'executor' not in self.silent:
            moment.executor(self.now)

    def later(self, seconds: float) -> None:
        """Let time pass in ticks of 50 ms."""
        for _ in range(max(1, round(seconds / 0.05))):
            self.now += 0.05
            self.live()
            self.monitor.tick(self.now)

    def arm(self, person: str = 'anna') -> HandGate:
        self.monitor.moment.arm(person, self.now)
        return self

    def admit(self, plan: Plan | bytes, proposer: str = 'anna', channel: int = 0) -> Admission:
        raw = plan if isinstance(plan, bytes) else plan_to_bytes(plan)
        return self.monitor.admit(raw, proposer, channel, self.now)

    def permit(self, *nodes: Node) -> str:
        """Admit a sequence and return its permit; raise Refused where there is none."""
        admission = self.admit(Plan('test', Sequence(nodes)))
        if admission.candidate is None:
            raise Refused(admission.verdict)
        return self.monitor.issue(admission.candidate, self.now).id

    def dispatch(self, permit_id: str, step_id: str) -> Ticket:
        """Do what the node does between a request and its goal; raise Refused where nothing is sent."""
        ticket = self.monitor.authorise(permit_id, step_id, self.now)
        self.monitor.confirm(ticket, self.now)
        self.sent.append((permit_id, step_id, dict(ticket.goal)))
        return ticket
