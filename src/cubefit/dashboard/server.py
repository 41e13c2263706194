"""Serves the page to any number of viewers, all of whom share one reader of the file."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server

from cubefit.dashboard.page import Page
from cubefit.errors import ConfigError
from cubefit.live import LiveFile

logger = logging.getLogger(__name__)

LOOPBACK: Final = ("localhost", "127.0.0.1")
LOOK_EVERY_S: Final = 1.0


class DashboardServer:
    """A web server for one file.

    Parameters
    ----------
    path : Path
        The file, which need not exist yet.
    host : str
        Address to listen on.
    port : int
        Port; 0 takes a free one.
    origins : sequence of str
        Further ``host:port`` under which browsers may call the page, such as that of a proxy.

    Raises
    ------
    ConfigError
        If the address cannot be listened on, or an origin is none.
    """

    def __init__(
        self, path: Path, *, host: str = "127.0.0.1", port: int = 5006, origins: Sequence[str] = ()
    ) -> None:
        for origin in origins:
            require_origin(origin)
        self.live = LiveFile(path)
        self._over = threading.Event()
        self._viewers = 0
        self._watcher = threading.Thread(target=self._watch, name="cubefit-watch", daemon=True)
        try:
            port = port or free_port(host)
            self._server = Server(
                {"/": Application(FunctionHandler(self._make_page))},
                address=host,
                port=port,
                allow_websocket_origin=[*own_origins(host, port), *origins],
            )
        except OSError as error:
            raise ConfigError(
                f"Cannot listen on {host} port {port} ({error.strerror or error}): give another "
                "--port, or --port 0 for a free one."
            ) from error
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{name_of(self.host)}:{self.port}/"

    def _make_page(self, document: Document) -> None:
        self.live.refresh()
        Page(self.live).attach(document)
        document.on_session_destroyed(self._leave)
        self._viewers += 1

    def _leave(self, session_context: object) -> None:
        del session_context
        self._viewers -= 1

    def _watch(self) -> None:
        """Look at the file as long as somebody looks at the page."""
        while not self._over.wait(LOOK_EVERY_S):
            try:
                if self._viewers:
                    self.live.refresh(rested=True)
            except Exception:
                # Without this thread every page would stand still, and nothing would say why.
                logger.exception("%s could not be looked at; it is tried again.", self.live.path)

    def __enter__(self) -> Self:
        """Start listening."""
        self._server.start()
        self._watcher.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self._over.set()
        self._server.stop()
        self._watcher.join(LOOK_EVERY_S)

    def run(self) -> None:
        """Serve until an exception, such as that of Ctrl-C."""
        self._server.io_loop.start()


def name_of(host: str) -> str:
    """Return the name by which a browser reaches an address that is listened on."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - all addresses of this machine
        return socket.gethostname()
    # Bokeh takes no addresses of IPv6 as an origin.
    return "localhost" if ":" in host else host


def own_origins(host: str, port: int) -> list[str]:
    """Return what browsers may call the page by, as ``name:port``."""
    names = {host, *LOOPBACK}
    if host not in LOOPBACK:
        names |= {socket.gethostname(), socket.getfqdn()}
    return sorted(f"{name}:{port}" for name in names if ":" not in name)


def require_origin(origin: str) -> None:
    """Raise ConfigError unless an origin is ``host:port``, or ``*`` for all."""
    host, _, port = origin.partition(":")
    if origin != "*" and not (host and port.isdecimal()):
        raise ConfigError(f"The origin {origin!r} is no HOST:PORT: give one like localhost:8000.")


def free_port(host: str) -> int:
    """Return a port that nobody listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
