# SPDX-License-Identifier: Apache-2.0
"""What is the case now, as far as is known: the world file, what steps have done since, what the robot measures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gemma4_ros.core.facts import Fact, State, Variable
from gemma4_ros.core.plan import Plan, Step
from gemma4_ros.core.planning.symbolic import Symbolic

# A robot nearer than this to a place's pose is at the place.
NEAR_M = 0.6


@dataclass(frozen=True, slots=True)
class Known:
    """A fact with its source and the (monotonic) time since which it is known, s."""

    fact: Fact
    source: str
    since_s: float


class Belief:
    """The facts believed now; times come in from outside."""

    def __init__(self, symbolic: Symbolic) -> None:
        self._symbolic = symbolic
        self._known: dict[Variable, Known] = {
            fact.variable: Known(fact, 'world', 0.0) for fact in symbolic.world.initial.facts()
        }

    def state(self) -> State:
        """Return the state to plan from."""
        return State.of(known.fact for known in self._known.values())

    def known(self) -> tuple[Known, ...]:
        """Return every fact with source and time."""
        return tuple(self._known.values())

    def tell(self, facts: Iterable[Fact], source: str, now_s: float) -> None:
        """Take facts from a person or a measurement; raise WorldError where one does not exist."""
        checked = tuple(facts)
        for fact in checked:
            self._symbolic.world.check_fact(fact)
        for fact in checked:
            self._known[fact.variable] = Known(fact, source, now_s)

    def step_succeeded(self, plan: Plan, step_id: str, now_s: float) -> None:
        """Take what a step that succeeded gives."""
        step = _step(plan, step_id)
        if step is None:
            return
        tool = self._symbolic.toolset.tool(step.tool)
        before = self.state()
        after = self._symbolic.apply(tool, self._symbolic.binding(step.args), before)
        changed = [fact for fact in after.facts() if not before.holds(fact)]
        self.tell(changed, f'step:{step.tool}', now_s)

    def step_failed(self, plan: Plan, step_id: str) -> None:
        """Forget where the robot is after a failed drive; what a failed grasp left in place is still believed."""
        step = _step(plan, step_id)
        if step is None:
            return
        robot = self._symbolic.world.robot
        for pattern in self._symbolic.toolset.tool(step.tool).gives:
            if pattern.name == 'at' and pattern.args and pattern.args[0].head == robot:
                self._known.pop(('at', (robot,)), None)

    def robot_pose(self, x_m: float, y_m: float, now_s: float) -> None:
        """Take the robot's position in the world's frame: at the nearest place, or at none."""
        world = self._symbolic.world
        if 'at' not in world.functions:
            return
        nearest, distance_m = '', math.inf
        for place in world.group('places'):
            pose = world.entities[place].pose
            if pose is not None:
                d = math.hypot(pose.x_m - x_m, pose.y_m - y_m)
                if d < distance_m:
                    nearest, distance_m = place, d
        variable: Variable = ('at', (world.robot,))
        if not nearest:
            return
        if distance_m > NEAR_M:
            self._known.pop(variable, None)
        elif variable not in self._known or self._known[variable].fact.value != nearest:
            self._known[variable] = Known(Fact('at', (world.robot,), nearest), 'signal:pose', now_s)


def _step(plan: Plan, step_id: str) -> Step | None:
    return next((step for step in plan.steps() if step.id == step_id), None)
