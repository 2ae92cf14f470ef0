"""Who may ask, and what an answer may do: the server is for this machine's browser alone.

A page of another site that a name server points at 127.0.0.1 sends its own name as the host, and
one that posts here says where it comes from: both are refused. The policy lets a page load and
ask for nothing but what this server has; inline scripts are known by their hashes.
"""

from __future__ import annotations

from functools import cache
from urllib.parse import urlsplit

import dash
import flask

LOOPBACK = frozenset({"127.0.0.1", "localhost"})
LARGEST_REQUEST = 4 * 2**20  # bytes
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",  # and the hashes
    "style-src": "'self' 'unsafe-inline'",  # Plotly and AG Grid write style elements
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


def protect(app: dash.Dash) -> None:
    """Refuse foreign requests to an app, and send the headers with every answer."""
    server: flask.Flask = app.server
    server.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST

    @cache
    def policy() -> str:  # at the first answer, when all callbacks are known
        hashes = " ".join(app.csp_hashes())
        stated = POLICY | {"script-src": f"{POLICY['script-src']} {hashes}"}
        return "; ".join(f"{name} {value}" for name, value in stated.items())

    @server.before_request
    def refuse() -> None:
        if not is_ours(flask.request):
            flask.abort(403, "This server answers pages of its own machine only.")

    @server.after_request
    def state_policy(answer: flask.Response) -> flask.Response:
        answer.headers.update(HEADERS)
        answer.headers["Content-Security-Policy"] = policy()
        if answer.mimetype in ("text/html", "application/json"):
            answer.headers["Cache-Control"] = "no-store"
        return answer


def is_ours(request: flask.Request) -> bool:
    """Whether a request names this machine as its host, and comes from none but its pages."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    if request.method not in ("GET", "HEAD") and site not in ("none", "same-origin"):
        return False
    origin = request.headers.get("Origin")
    own = origin is None or origin == f"http://{request.host}"
    return own and urlsplit(f"//{request.host}").hostname in LOOPBACK
