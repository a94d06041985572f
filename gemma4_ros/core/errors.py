# SPDX-License-Identifier: Apache-2.0
"""Every error of the stack: one base class, one stable code each."""

from __future__ import annotations

from typing import ClassVar


class Gemma4Error(Exception):
    """Base of all errors: a stable ``code`` and one sentence that says what, where, the limit and what to do.

    Blocks: 1xx configuration, 2xx model, 3xx plan checks, 4xx controllers and perception, 5xx dialogue, 6xx gate.
    """

    code: ClassVar[int] = 100


# 1xx configuration ---------------------------------------------------------------------------------------------------
class ConfigError(Gemma4Error):
    """A configuration file is wrong."""

    code = 101


class WorldError(ConfigError):
    """The world file is wrong."""

    code = 102


class ToolsError(ConfigError):
    """A tools file is wrong."""

    code = 103


class PolicyError(ConfigError):
    """The policy file is wrong."""

    code = 104


class ModelsError(ConfigError):
    """config/models.yaml is wrong, or has no such entry."""

    code = 105


class ParameterError(ConfigError):
    """A node's parameter is out of bounds."""

    code = 106


# 2xx model -----------------------------------------------------------------------------------------------------------
class ModelError(Gemma4Error):
    """The model could not answer."""

    code = 201


class ModelMissingError(ModelError):
    """The model's file is not there."""

    code = 202


class ModelFileError(ModelError):
    """The model's file is truncated, or not the one that it should be."""

    code = 203


class ModelDeadlineError(ModelError):
    """The answer did not come in time."""

    code = 204


class ModelCancelledError(ModelError):
    """The request was cancelled."""

    code = 205


class EngineDiedError(ModelError):
    """The engine's process ended; it is being restarted."""

    code = 206


class PromptTooLongError(ModelError):
    """The prompt does not fit the model's context."""

    code = 207


class GrammarError(ModelError):
    """The schema or grammar of a request cannot be compiled."""

    code = 208


# 3xx planning --------------------------------------------------------------------------------------------------------
class PlanError(Gemma4Error):
    """A plan or draft is wrong."""

    code = 301


class CommandError(PlanError):
    """The operator's text cannot be taken: empty, too long, control characters."""

    code = 302


class DraftError(PlanError):
    """The model's answer is not a draft."""

    code = 303


class CompletionError(PlanError):
    """No steps could be found that make an intent possible."""

    code = 304


class CheckError(PlanError):
    """A check failed; names the step and the missing fact."""

    code = 305


class CannotPlanError(PlanError):
    """Neither the draft nor its repairs gave a plan."""

    code = 306


# 4xx controllers and perception --------------------------------------------------------------------------------------
class ControllerError(Gemma4Error):
    """A controller failed."""

    code = 401


class ControllerMissingError(ControllerError):
    """Nobody serves the endpoint."""

    code = 402


class ControllerLostError(ControllerError):
    """The controller does not answer any more."""

    code = 403


class StepTimeoutError(ControllerError):
    """The step took longer than its tool allows."""

    code = 404


class ControllerRefusedError(ControllerError):
    """The controller did not accept the goal."""

    code = 405


class SuccessConditionError(ControllerError):
    """The controller reported success, but its result does not meet the tool's success condition."""

    code = 406


class ConversionError(ControllerError):
    """JSON and message do not fit together; names the field's path."""

    code = 407


class NoFrameError(ControllerError):
    """No camera frame, or only an old one."""

    code = 408


class CannotReadError(ControllerError):
    """The instrument could not be read."""

    code = 409


class StepCancelledError(ControllerError):
    """The step was cancelled."""

    code = 410


# 5xx dialogue --------------------------------------------------------------------------------------------------------
class DialogueError(Gemma4Error):
    """A turn of the conversation failed."""

    code = 501


class BusyError(DialogueError):
    """Another command is being carried out."""

    code = 502


class AudioError(DialogueError):
    """The audio cannot be used: empty, silent, too long, wrong format."""

    code = 503


class NotRunningError(DialogueError):
    """A part of the stack that is needed does not run."""

    code = 504


class ConfirmationError(DialogueError):
    """The operator did not confirm in time."""

    code = 505


# 6xx gate ------------------------------------------------------------------------------------------------------------
class GateError(Gemma4Error):
    """The gate refuses. Codes of single rules: core/gate/codes.py."""

    code = 601


def code_table() -> dict[int, str]:
    """Return every code with the name of its error."""
    table: dict[int, str] = {}
    pending: list[type[Gemma4Error]] = [Gemma4Error]
    while pending:
        cls = pending.pop()
        table[cls.code] = cls.__name__
        pending.extend(cls.__subclasses__())
    return table
