# SPDX-License-Identifier: Apache-2.0
"""The scripted model keeps to its script, and to deadline and cancel like a real one."""

from __future__ import annotations

import pytest

from gemma4_ros.backends.scripted import ScriptedModel
from gemma4_ros.core.errors import EngineDiedError, ModelCancelledError, ModelDeadlineError, ModelError
from gemma4_ros.core.ports import GenerateRequest, LanguageModel, Message

REQUEST = GenerateRequest((Message('user', 'go'),))


def test_it_answers_in_order_and_remembers():
    model: LanguageModel = ScriptedModel(['one', lambda request: request.messages[0].text, EngineDiedError('gone')])
    assert [model.generate(REQUEST).text for _ in range(2)] == ['one', 'go']
    with pytest.raises(EngineDiedError):
        model.generate(REQUEST)
    with pytest.raises(ModelError, match='no answer to request 4'):
        model.generate(REQUEST)
    assert len(model.requests) == 4


def test_deadline_and_cancel_work():
    with pytest.raises(ModelDeadlineError):
        ScriptedModel(['late'], delay_s=5.0).generate(GenerateRequest(REQUEST.messages, deadline_s=0.05))
    with pytest.raises(ModelCancelledError):
        ScriptedModel(['late'], delay_s=5.0).generate(REQUEST, cancelled=lambda: True)
