"""What a node of a cluster says of itself: run there by Ray, sent by value, so nothing but the standard library."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "torch")


def probe_node(node: str, folder: str, secret: str, files: dict[str, int]) -> dict[str, Any]:
    """What holds on this node, as plain values.

    Args:
        node: this node's name in messages, its address.
        folder: the results folder, as the driver names it.
        secret: of the file that the driver left there; an answer is written beside it.
        files: the data files' sizes in bytes, by path.
    """
    return {
        "node": f"{socket.gethostname()} ({node})",
        "versions": local_versions(),
        "auth_mode": os.environ.get("RAY_AUTH_MODE", ""),
        "storage_error": _meet(Path(folder), secret, node),
        "data_error": next((error for path, size in files.items() if (error := _unreadable(Path(path), size))), None),
    }


def local_versions() -> dict[str, str]:
    """What this process runs: agsgtl with a digest of its code, Ray, torch without its build, Python's minor version."""
    found = {"agsgtl": _agsgtl(), "python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = "none"
    return found


def _agsgtl() -> str:
    spec = importlib.util.find_spec("agsgtl")
    if spec is None or spec.origin is None:
        return "none"
    code, root = hashlib.sha256(), Path(spec.origin).parent
    for path in sorted(root.rglob("*.py")):
        code.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"code {code.hexdigest()[:12]}"


def _meet(folder: Path, secret: str, node: str) -> str | None:
    """None where the driver's file is seen here and an answer could be left; else what went wrong."""
    try:
        if (folder / secret).read_text() != secret:
            return "holds another file under the same name"
    except OSError as error:
        return f"is not seen there ({error.strerror})"
    try:
        (folder / f"{secret}.{node}").write_text(secret)
    except OSError as error:
        return f"cannot be written there ({error.strerror})"
    return None


def _unreadable(path: Path, size: int) -> str | None:
    try:
        with open(path, "rb") as file:
            file.read(1)
            length = file.seek(0, os.SEEK_END)
    except OSError as error:
        return f"{path} cannot be read there ({error.strerror})"
    return None if length == size else f"{path} has {length} bytes there, {size} here"
