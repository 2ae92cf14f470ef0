"""`python -m dashboards` from its start to Ctrl-C."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from dagster_project.lake.store import Lake
from dashboards.__main__ import main

REPOSITORY = Path(__file__).parents[2]
STARTED = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
runpy.run_module("dashboards", run_name="__main__", alter_sys=True)
"""


def test_it_says_where_it_serves_and_ends_at_ctrl_c(lake: Lake) -> None:
    served = ["--root", str(lake.root), "--port", "0"]
    command = [sys.executable, "-c", STARTED, *served]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.fullmatch(r"Dashboard: (http://127\.0\.0\.1:\d+); Ctrl-C ends it\n", said)
        assert found, said
        with urllib.request.urlopen(found[1], timeout=60) as answer:
            assert b"Circuit Lake" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
    assert process.returncode == 0


def test_a_port_that_is_taken_is_named(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--root", str(lake.root), "--port", port]) == 1
    told = f"dashboards: port {port}: Address already in use; another one by --port (PORT=…)\n"
    assert capsys.readouterr().err == told


def test_a_lake_that_cannot_be_one_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", "s3://bucket/lake"]) == 1
    assert "only local folders" in capsys.readouterr().err
