# SPDX-License-Identifier: Apache-2.0
"""What the recogniser is told to expect, and which other readings of a half-heard text it may weigh."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4_ros.core.speech.hints import ANSWER_WORDS, hint_words
from gemma4_ros.core.speech.names import Lexicon, lexicon, readings
from gemma4_ros.core.tools import Toolset, load_tools
from gemma4_ros.core.world import World
from gemma4_ros.core.world_file import load_world

CONFIG = Path(__file__).resolve().parents[2] / 'config'


@pytest.fixture(scope='module')
def world() -> World:
    return load_world((CONFIG / 'world.yaml').read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def tools(world: World) -> Toolset:
    return load_tools([('cell.yaml', (CONFIG / 'tools' / 'cell.yaml').read_text(encoding='utf-8'))], world)


@pytest.fixture(scope='module')
def known(world: World, tools: Toolset) -> Lexicon:
    return lexicon(world, tools)


def texts(heard: str, known: Lexicon) -> list[str]:
    return [reading.text for reading in readings(heard, known)]


def test_hints_name_answers_verbs_and_every_thing_but_the_robot(world: World, tools: Toolset) -> None:
    hints = hint_words(world, tools)
    assert hints[: len(ANSWER_WORDS)] == ANSWER_WORDS
    assert 'pick up' in hints
    assert hints[-1] == 'the setpoint panel'
    for entity in world.entities.values():
        assert (f'the {entity.id.replace("_", " ")}' in hints) is (entity.group != 'robot')


def test_hints_stay_short_in_a_large_world(world: World) -> None:
    place = next(e for e in world.entities.values() if e.group == 'places')
    from dataclasses import replace

    many = {f'shelf_number_{i}': replace(place, id=f'shelf_number_{i}') for i in range(500)}
    hints = hint_words(replace(world, entities=many))
    assert len(hints) > 10 and sum(len(hint) + 2 for hint in hints) <= 600


def test_a_half_heard_name_has_the_name_as_a_reading(known: Lexicon) -> None:
    assert 'open the bypass valve' in texts('open the bypass mail', known)
    assert 'pick up the sample bottle' in texts('Pick up the sample model.', known)
    assert 'cancel' in texts('counsel', known)


def test_what_was_understood_has_no_other_reading(known: Lexicon) -> None:
    assert texts('bring the red toolbox to the valve station and read the pressure gauge', known) == []
    assert texts('', known) == []


@pytest.mark.parametrize(
    'heard', ['bring the green toolbox to the pump', 'open the second valve', 'open the upper valve']
)
def test_words_that_tell_things_apart_are_never_replaced(heard: str, known: Lexicon) -> None:
    assert texts(heard, known) == []


def test_no_reading_ever_confirms(known: Lexicon) -> None:
    for heard in ('conform', 'confer', 'yet', 'consumed', 'yeast', 'confirmt'):
        assert not {'confirm', 'confirmed', 'yes'} & {word for text in texts(heard, known) for word in text.split()}


def test_long_nonsense_has_few_readings(known: Lexicon) -> None:
    assert len(readings('bottel valf stashun ' * 200, known)) <= 12
