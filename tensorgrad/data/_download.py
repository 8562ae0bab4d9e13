"""Fetching a file whose size and checksum are known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tensorgrad.data._files import atomic_write
from tensorgrad.data._progress import Progress
from tensorgrad.errors import DataError

CHUNK = 1 << 16


class RemoteFile(NamedTuple):
    """A file to fetch: its name under a mirror's address, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


def download(
    remote: RemoteFile,
    mirrors: Sequence[str],
    folder: str | os.PathLike[str],
    *,
    timeout: float = 30.0,
) -> Path:
    """Fetch `remote` from the first of `mirrors` that has it, into `folder`, and return its path.

    The file appears under its name only when its size and checksum are right. A bar shows progress
    on a terminal.

    Raises:
        DataError: no mirror gave the file; says what each of them did.
    """
    import http.client  # here, since these take longer to import than all of tensorgrad
    import urllib.error

    path = Path(folder) / remote.name
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for mirror in mirrors:
        url = mirror.rstrip("/") + "/" + remote.name
        try:
            _fetch(url, path, remote, timeout)
            return path
        except DataError as error:
            failures.append(f"{url}: {error}")
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            TimeoutError,
            ConnectionError,
        ) as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
    tried = "".join(f"\n  {failure}" for failure in failures)
    raise DataError(
        f"download: could not fetch {remote.name}; check the network, or put the file into "
        f"{path.parent} by hand. "
        f"Tried:{tried}"
    )


def _fetch(url: str, path: Path, remote: RemoteFile, timeout: float) -> None:
    import hashlib
    import urllib.request

    digest = hashlib.sha256()
    with (
        urllib.request.urlopen(url, timeout=timeout) as response,
        atomic_write(path) as file,
        Progress(remote.size, "B") as bar,
    ):
        while chunk := response.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            if bar.advance(len(chunk)):
                bar.draw(remote.name)
            if bar.done > remote.size:
                break
        if bar.done != remote.size:
            got = "more" if bar.done > remote.size else str(bar.done)
            raise DataError(f"expected {remote.size} bytes, got {got}")
        if digest.hexdigest() != remote.sha256:
            raise DataError(f"expected SHA-256 {remote.sha256}, got {digest.hexdigest()}")
