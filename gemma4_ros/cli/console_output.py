# SPDX-License-Identifier: Apache-2.0
"""What all commands share: exit codes, one sentence for an error, and text of others made safe for a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any

from gemma4_ros.core.errors import (
    AudioError,
    ConfigError,
    ConfirmationError,
    ControllerMissingError,
    GateError,
    Gemma4Error,
    ModelMissingError,
    NotRunningError,
    PlanError,
)

__all__ = [
    'DONE',
    'FAILED',
    'INTERRUPTED',
    'NEEDS_APPROVAL',
    'NOT_RUNNING',
    'REFUSED',
    'WRONG_USAGE',
    'exit_code',
    'note',
    'show',
    'show_json',
    'visible',
]

DONE, WRONG_USAGE, NEEDS_APPROVAL, REFUSED, FAILED, NOT_RUNNING, INTERRUPTED = 0, 2, 3, 4, 5, 6, 130
_CODES: tuple[tuple[tuple[type[Gemma4Error], ...], int], ...] = (
    ((ConfigError, AudioError), WRONG_USAGE),
    ((NotRunningError, ModelMissingError, ControllerMissingError), NOT_RUNNING),
    ((ConfirmationError,), NEEDS_APPROVAL),
    ((PlanError, GateError), REFUSED),
)


def exit_code(error: Gemma4Error) -> int:
    """Return the exit code of a command that ends with this error."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), FAILED)


def visible(text: str) -> str:
    """Return text without control characters: what others wrote must not steer the terminal."""
    return ''.join(char if char.isprintable() or char == '\n' else f'\\x{ord(char):02x}' for char in text)


def show(text: str) -> None:
    """Write a line to standard output."""
    print(visible(text), flush=True)


def show_json(document: Any) -> None:
    """Write one JSON document to standard output."""
    print(json.dumps(document, ensure_ascii=False), flush=True)


def note(text: str) -> None:
    """Write a line of progress to standard error."""
    print(visible(text), file=sys.stderr, flush=True)
