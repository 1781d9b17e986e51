"""What pages need beside their HTML: scripts, styles, pictures. In: files, ours and those of installed packages. Out:
`/assets/VERSION/NAME`, whose version is that of all files beside it, so that browsers may keep it for ever: modules
import one another by relative addresses, and a file that stayed the same would go on naming its old neighbours.

Each is read and compressed once, when it is first asked for.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from schema.errors import ConfigError, NotFound

FOR_EVER = "public, max-age=31536000, immutable"
_SMALL = 300  # bytes below which compression saves nothing


@dataclass(frozen=True)
class Asset:
    """One file, as it is served."""

    path: Path

    @cached_property
    def body(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def packed(self) -> bytes:
        """The same, compressed."""
        return gzip.compress(self.body, 9, mtime=0)

    @cached_property
    def version(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:12]

    @cached_property
    def integrity(self) -> str:
        """What a page that loads it from elsewhere may hold it to (SRI)."""
        return "sha384-" + base64.b64encode(hashlib.sha384(self.body).digest()).decode()

    def answer(self, request: Request, cache: str = FOR_EVER) -> Response:
        """The file, compressed for whoever takes it so."""
        media = mimetypes.guess_type(self.path.name)[0] or "application/octet-stream"
        headers = {"cache-control": cache, "etag": f'"{self.version}"', "vary": "accept-encoding"}
        headers["x-content-type-options"] = "nosniff"
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        if len(self.body) > _SMALL and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, headers=headers | {"content-encoding": "gzip"}, media_type=media)
        return Response(self.body, headers=headers, media_type=media)


class Shelf:
    """Assets by name."""

    def __init__(self, prefix: str, files: Mapping[str, Path]) -> None:
        self._prefix = prefix
        self.assets = {name: Asset(path) for name, path in files.items()}

    @cached_property
    def version(self) -> str:
        """Of all of them together."""
        return hashlib.sha256("".join(one.version for one in self.assets.values()).encode()).hexdigest()[:12]

    def url(self, name: str) -> str:
        """Where this file is, as long as they all are what they are now. Raises KeyError for one that is not here."""
        self.assets[name]
        return f"{self._prefix}/{self.version}/{name}"

    async def answer(self, request: Request, name: str) -> Response:
        """The file, whichever version was asked for: an old page's next request finds the new one. Raises NotFound."""
        if name not in self.assets:
            raise NotFound(f"There is no file {name}.")
        return self.assets[name].answer(request)


def of_folder(folder: Path) -> dict[str, Path]:
    """Its files by their names."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}


def of_package(package: str, *inside: str) -> Path:
    """A file of an installed package, found without importing it. Raises ConfigError that says what to install."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(f"{package} is not installed: run `make up`, or pip install -r requirements/run.txt")
    return Path(spec.origin).parent.joinpath(*inside)
