# SPDX-License-Identifier: Apache-2.0
"""The embedded model itself: right words under a grammar, warm from the second question on, also in a new process."""

from __future__ import annotations

import json

import pytest

from gemma4_ros.backends.llama_cpp import LlamaCppModel
from gemma4_ros.backends.model_store import ModelStore
from gemma4_ros.backends.profiles import load_profiles
from gemma4_ros.core.ports import GenerateRequest, Message

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(180)]
PLACES = ['dock', 'storage', 'valve_station', 'pump_room']
SYSTEM = f'You drive a robot. Answer with the place that the operator names. Places: {", ".join(PLACES)}. ' + (
    'Drive slowly near people, never block a door, and wait where it is asked for. ' * 6
)
SCHEMA = json.dumps({'type': 'object', 'properties': {'place': {'enum': PLACES}}, 'required': ['place']})


def ask(model: LlamaCppModel, text: str):
    messages = (Message('system', SYSTEM), Message('user', text))
    return model.generate(GenerateRequest(messages, json_schema=SCHEMA, deadline_s=120.0))


def test_it_understands_and_stays_warm(tmp_path):
    profile = load_profiles().get('embedded')
    for is_restarted in (False, True):
        model = LlamaCppModel(profile, ModelStore().path(profile), n_ctx=2048, prefix_folder=tmp_path)
        first = ask(model, 'Go to the pump room.')
        second = ask(model, 'Drive to the valve station, please.')
        model.close()
        assert json.loads(first.text) == {'place': 'pump_room'}
        assert json.loads(second.text) == {'place': 'valve_station'}
        assert (first.cached_tokens > 100) == is_restarted
        assert second.cached_tokens > 100
        assert second.passes <= second.output_tokens - second.forced_tokens < second.output_tokens
