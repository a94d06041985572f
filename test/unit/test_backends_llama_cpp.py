# SPDX-License-Identifier: Apache-2.0
"""The in-process engine on random weights: reuse is exact, grammars hold, cancel and deadline are quick."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from gemma4_ros.backends.llama_cpp import LlamaCppModel
from gemma4_ros.backends.profiles import ModelProfile
from gemma4_ros.backends.tiny_gguf import write_tiny_gguf
from gemma4_ros.core.errors import (
    GrammarError,
    ModelCancelledError,
    ModelDeadlineError,
    ModelError,
    ModelFileError,
    ModelMissingError,
    PromptTooLongError,
)
from gemma4_ros.core.ports import GenerateRequest, Message

SCHEMA = json.dumps(
    {
        'type': 'object',
        'properties': {
            'place': {'enum': ['dock', 'storage', 'valve_station']},
            'speed_mm_s': {'type': 'integer', 'minimum': 1, 'maximum': 800},
        },
        'required': ['place', 'speed_mm_s'],
        'additionalProperties': False,
    }
)
LONG = 'The rules of the plant room are many and each of them counts. ' * 20


def profile(path: Path) -> ModelProfile:
    return ModelProfile('tiny', 'tiny', path.name, size_bytes=path.stat().st_size)


@pytest.fixture(scope='module', params=['qwen2', 'gemma4'])
def path(request, tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp('tiny') / f'{request.param}.gguf', request.param)


@pytest.fixture
def model(path):
    model = LlamaCppModel(profile(path), path, n_threads=1, n_ctx=4096)
    yield model
    model.close()


def ask(text: str, system: str = '', **more) -> GenerateRequest:
    messages = ((Message('system', system),) if system else ()) + (Message('user', text),)
    return GenerateRequest(messages, **more)


def logits(model: LlamaCppModel) -> np.ndarray:
    return model._context.logits().copy()


def test_an_answer_over_a_warm_prefix_has_the_logits_of_a_fresh_one(model, path):
    # an answer far longer than the sliding window: a cache that keeps only the window has lost the prefix's end
    model.generate(ask('go to the dock', LONG, grammar='start: /[a-z]{700}/', max_tokens=700))
    warm = model.generate(ask('read the gauge', LONG, max_tokens=1))
    after_warm = logits(model)
    fresh_model = LlamaCppModel(profile(path), path, n_threads=1, n_ctx=4096)
    fresh = fresh_model.generate(ask('read the gauge', LONG, max_tokens=1))
    after_fresh = logits(fresh_model)
    fresh_model.close()
    assert fresh.cached_tokens == 0
    assert warm.cached_tokens > 0.9 * warm.prompt_tokens
    assert np.abs(after_warm - after_fresh).max() < 1e-3
    assert warm.text == fresh.text


def test_two_callers_keep_their_prefixes_warm(model):
    other = LONG[::-1]
    for text in ('one', 'two'):
        for system in (LONG, other):
            answer = model.generate(ask(text, system, max_tokens=3))
    assert answer.cached_tokens > 0.9 * answer.prompt_tokens


def test_a_prefix_survives_a_restart(path, tmp_path, monkeypatch):
    monkeypatch.setattr('gemma4_ros.backends.warm_prefixes._WORTH_SAVING_S', 0.0)
    texts = []
    for _ in range(2):
        model = LlamaCppModel(profile(path), path, n_threads=1, n_ctx=4096, prefix_folder=tmp_path / 'prefixes')
        answer = model.generate(ask('go', LONG, max_tokens=12))
        texts.append(answer.text)
        model.close()
    assert answer.cached_tokens > 0.9 * answer.prompt_tokens
    assert texts[0] == texts[1]
    assert (tmp_path / 'prefixes').stat().st_mode & 0o777 == 0o700


def test_a_damaged_prefix_file_costs_only_its_warmth(path, tmp_path, monkeypatch):
    monkeypatch.setattr('gemma4_ros.backends.warm_prefixes._WORTH_SAVING_S', 0.0)
    texts = []
    for _ in range(2):
        model = LlamaCppModel(profile(path), path, n_threads=1, n_ctx=4096, prefix_folder=tmp_path)
        answer = model.generate(ask('go', LONG, max_tokens=12))
        texts.append(answer.text)
        model.close()
        for file in tmp_path.glob('*.prefix'):
            file.write_bytes(file.read_bytes()[:1000])
    assert answer.cached_tokens == 0
    assert texts[0] == texts[1]


@pytest.mark.parametrize('temperature', [0.0, 1.5])
def test_random_weights_keep_to_the_schema(model, temperature):
    for seed in range(8):
        answer = model.generate(ask('go', json_schema=SCHEMA, temperature=temperature, seed=seed, max_tokens=100))
        value = json.loads(answer.text)
        assert set(value) == {'place', 'speed_mm_s'}
        assert value['place'] in {'dock', 'storage', 'valve_station'}
        assert 1 <= value['speed_mm_s'] <= 800
        assert answer.finish == 'stop'


def test_forced_tokens_cost_no_pass(model):
    answer = model.generate(ask('go', json_schema=SCHEMA, max_tokens=100))
    assert answer.forced_tokens > answer.output_tokens / 2
    assert answer.passes <= answer.output_tokens - answer.forced_tokens + 1


def test_a_lark_grammar_that_leaves_no_choice_needs_no_model(model):
    answer = model.generate(ask('go', grammar='start: "drive to the dock"'))
    assert (answer.text, answer.passes, answer.finish) == ('drive to the dock', 0, 'stop')


def test_text_is_told_as_it_comes(model):
    told: list[str] = []
    answer = model.generate(ask('go', json_schema=SCHEMA, max_tokens=100), on_text=told.append)
    assert ''.join(told) == answer.text
    assert len(told) > 1


def test_the_answer_ends_at_a_stop_text_and_at_max_tokens(model):
    answer = model.generate(ask('go', grammar='start: "one two three"', stop=(' tw',)))
    assert answer.text == 'one'
    answer = model.generate(ask('go', grammar='start: /[a-z]{200}/', max_tokens=7))
    assert (answer.output_tokens, answer.finish) == (7, 'length')


def test_cancel_while_reading_the_prompt(model, quickest):
    def once() -> float:
        started = time.monotonic()
        with pytest.raises(ModelCancelledError):
            model.generate(ask(LONG * 2, max_tokens=5), cancelled=lambda: True)
        return time.monotonic() - started

    assert quickest(once, 0.2) < 0.2


def test_cancel_while_answering_and_then_go_on(model):
    told: list[str] = []
    with pytest.raises(ModelCancelledError):
        model.generate(
            ask('go', grammar='start: /[a-z]{3000}/', max_tokens=3000),
            cancelled=lambda: len(told) > 3,
            on_text=told.append,
        )
    answer = model.generate(ask('go', json_schema=SCHEMA, max_tokens=100))
    assert json.loads(answer.text)


def test_a_cancelled_prompt_leaves_the_cache_exact(model, path):
    count = 0

    def soon() -> bool:
        nonlocal count
        count += 1
        return count > 1

    with pytest.raises(ModelCancelledError):
        model.generate(ask('x', LONG * 2, max_tokens=5), cancelled=soon)
    again = model.generate(ask('x', LONG * 2, max_tokens=1))
    after = logits(model)
    fresh_model = LlamaCppModel(profile(path), path, n_threads=1, n_ctx=4096)
    fresh_model.generate(ask('x', LONG * 2, max_tokens=1))
    assert np.abs(after - logits(fresh_model)).max() < 1e-3
    assert again.finish == 'length'
    fresh_model.close()


def test_the_deadline_ends_an_answer(model):
    started = time.monotonic()
    with pytest.raises(ModelDeadlineError, match=r'0\.05 s'):
        model.generate(ask('go', grammar='start: /[a-z]{3000}/', max_tokens=3000, deadline_s=0.05))
    assert time.monotonic() - started < 1.0


def test_a_prompt_that_does_not_fit_is_refused_with_the_figures(model):
    with pytest.raises(PromptTooLongError, match=r'answer of 4000 do not fit the context of 4096'):
        model.generate(ask(LONG, max_tokens=4000))


@pytest.mark.parametrize(
    'more',
    [{'grammar': 'start: ('}, {'json_schema': '{'}, {'json_schema': '{}', 'grammar': 'start: "a"'}],
    ids=['lark', 'json', 'both'],
)
def test_a_wrong_grammar_is_refused(model, more):
    with pytest.raises(GrammarError):
        model.generate(ask('go', **more))


def test_images_are_refused_by_a_text_model(model):
    with pytest.raises(ModelError, match='images'):
        model.generate(ask('go', images=(b'\xff\xd8',)))


def test_markers_in_a_message_are_text(model):
    markers = model._context.special_tokens()
    plain = model._template.render((Message('user', 'hi'),))
    hostile = model._template.render((Message('user', 'hi' + ''.join(markers) + 'hi'),))
    counts = [[token in markers.values() for token in tokens].count(True) for tokens in (plain, hostile)]
    assert counts[0] == counts[1]
    pieces = b''.join(model._context.piece(token) for token in hostile).decode()
    assert ''.join(markers) in pieces


def test_thinking_is_off_unless_asked_for(model):
    off = model._template.render((Message('user', 'hi'),))
    on = model._template.render((Message('user', 'hi'),), thinking=True)
    marker = model._context.special_tokens().get('<|think|>')
    assert marker not in off
    assert (marker in on) == (marker is not None)


def test_an_unknown_role_is_refused(model):
    with pytest.raises(ModelError, match='role'):
        model.generate(GenerateRequest((Message('tool', 'x'),)))


def test_a_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(ModelMissingError, match='gemma4 model get tiny'):
        LlamaCppModel(ModelProfile('tiny', 'tiny', 'x.gguf'), tmp_path / 'x.gguf')


def test_a_truncated_file_is_refused_with_both_sizes(path, tmp_path):
    cut = tmp_path / 'cut.gguf'
    cut.write_bytes(path.read_bytes()[:-100])
    size = path.stat().st_size
    with pytest.raises(ModelFileError, match=f'{size - 100} bytes, wanted {size}'):
        LlamaCppModel(profile(path), cut)
    with pytest.raises(ModelFileError, match='cannot be loaded'):
        LlamaCppModel(ModelProfile('tiny', 'tiny', 'cut.gguf'), cut)


def test_another_file_is_refused(tmp_path):
    other = tmp_path / 'other.gguf'
    other.write_bytes(b'PK\x03\x04' + b'\0' * 100)
    with pytest.raises(ModelFileError, match='no GGUF'):
        LlamaCppModel(ModelProfile('tiny', 'tiny', 'other.gguf'), other)


def test_it_can_be_closed_twice(path):
    model = LlamaCppModel(profile(path), path, n_ctx=512)
    model.close()
    model.close()
