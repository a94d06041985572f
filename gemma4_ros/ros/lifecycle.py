# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that says why a transition failed (rclpy drops the exception) and fails instead of breaking."""

from __future__ import annotations

import functools
import traceback
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from gemma4_ros.core.errors import Gemma4Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.lifecycle import LifecycleState

__all__ = ['LifecycleBase']

_TRANSITIONS = ('on_configure', 'on_activate', 'on_deactivate', 'on_cleanup', 'on_shutdown', 'on_error')


class LifecycleBase(LifecycleNode):
    """Base of our lifecycle nodes: an error raised by a transition is one log line and FAILURE."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _TRANSITIONS:
            if name in cls.__dict__:
                setattr(cls, name, _explained(name, cls.__dict__[name]))


def _explained(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def transition(self: LifecycleNode, state: LifecycleState) -> Any:
        try:
            return method(self, state)
        except Gemma4Error as error:
            self.get_logger().error(f'{name} failed: code={error.code} {error}')
        except Exception:  # noqa: BLE001 - rclpy would swallow it without a word
            self.get_logger().error(f'{name} failed: {traceback.format_exc()}')
        return TransitionCallbackReturn.FAILURE

    return transition
