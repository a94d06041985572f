# SPDX-License-Identifier: Apache-2.0
"""The result of an action's goal, also where its server dies and comes back.

A server that was started anew is found under the same name within a moment, so the graph shows no gap, and it never
answers for a goal of its predecessor (rclcpp#2241). Asked for that goal's result it says at once that it knows of none.
"""

from __future__ import annotations

import time
from typing import Any

from rclpy.task import Future

__all__ = ['AGAIN_S', 'GoalResult']

AGAIN_S, LONGEST_S = 3.0, 15.0  # doubled each time, as each question stays open in the server


class GoalResult:
    """
    What an accepted goal ends with.

    Parameters
    ----------
    handle : ClientGoalHandle
        Of the accepted goal.

    Attributes
    ----------
    future : Future
        The first answer to come: status and result; status UNKNOWN where the server has lost the goal.

    """

    def __init__(self, handle: Any) -> None:
        self.future: Future[Any] = Future()
        self._handle, self._again_s = handle, AGAIN_S
        self._ask()

    def look(self) -> None:
        """Ask again after 3 s, then less often, at least every 15 s; call it while waiting."""
        if not self.future.done() and time.monotonic() - self._asked_s >= self._again_s:
            self._again_s = min(2 * self._again_s, LONGEST_S)
            self._ask()

    def ask(self) -> None:
        """Ask now."""
        if not self.future.done():
            self._ask()

    def _ask(self) -> None:
        self._asked_s = time.monotonic()
        self._handle.get_result_async().add_done_callback(self._take)

    def _take(self, answer: Future[Any]) -> None:
        if not self.future.done():
            self.future.set_result(answer.result())
