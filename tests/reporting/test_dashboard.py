"""`agsgtl dashboard` really serves optuna-dashboard on localhost, with the studies of the ledger in it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from synthetic import PAIR, write_search

WAIT_S = 120.0


def free_port() -> int:
    """A port of localhost that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, server: subprocess.Popen[str]) -> bytes:
    """A page, as soon as the server answers."""
    end = time.monotonic() + WAIT_S
    while True:
        assert server.poll() is None, server.stderr.read() if server.stderr else ""
        assert time.monotonic() < end, f"{url} never answered"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.URLError:
            time.sleep(0.2)


@pytest.mark.slow
def test_the_dashboard_shows_every_study_with_its_attributes(tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="needs the extra: pip install 'agsgtl[dashboard]'")
    write_search(tmp_path / "demo", "agsgtl", [0.5, 0.6])
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "agsgtl", "dashboard", str(tmp_path / "demo"), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        (study,) = json.loads(fetch(f"{address}/api/studies", server))["study_summaries"]
        page = fetch(f"{address}/dashboard/", server)
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert study["study_name"] == f"agsgtl/{PAIR}/3"
    attributes = {entry["key"]: entry["value"] for entry in study["user_attrs"]}
    assert attributes == {"method": "agsgtl", "pair": PAIR, "k": "3", "seeds": "[0, 1]"}
    assert b"<title>Optuna Dashboard" in page
