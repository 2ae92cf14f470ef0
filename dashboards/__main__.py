"""`python -m dashboards [--root LAKE] [--port 8050] [--allow-labels]`: the dashboard, on this
machine alone."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from dagster_project.lake.catalog import root_option
from dagster_project.lake.errors import LakeError
from dagster_project.lake.store import Lake
from dashboards.app import create_app
from dashboards.data import Data
from dashboards.pages import PAGES
from dashboards.warm import Warming

HOST = "127.0.0.1"


class Handler(WSGIRequestHandler):
    """Keeps connections open."""

    protocol_version = "HTTP/1.1"


def serve(data: Data, port: int, *, labels: bool = False) -> BaseWSGIServer:
    """The server, bound to a port (0: a free one). Raises OSError where it is taken."""
    app = create_app(data, labels=labels)
    with socket.create_server((HOST, port)) as bound:
        return make_server(
            HOST, port, app.server, threaded=True, request_handler=Handler, fd=bound.fileno()
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description="Browse a lake.")
    root_option(parser)
    parser.add_argument("--port", type=int, default=8050, help="of 127.0.0.1 (%(default)s)")
    parser.add_argument("--allow-labels", action="store_true", help="let readers label features")
    options = parser.parse_args(arguments)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    try:
        data = Data(Lake(Path(options.root)))
        server = serve(data, options.port, labels=options.allow_labels)
    except LakeError as error:
        return _told(str(error))
    except OSError as error:
        return _told(
            f"port {options.port}: {os.strerror(error.errno or 0)}; another one by --port (PORT=…)"
        )
    address = f"http://{HOST}:{server.port}"
    print(f"Dashboard: {address}; Ctrl-C ends it", flush=True)  # noqa: T201
    warming = Warming(data, PAGES)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    warming.leave_off()
    return 0


def _told(fault: str) -> int:
    print(f"dashboards: {fault}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
