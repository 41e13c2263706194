"""A web page that follows a build or a fit in another process, through reading alone."""

from __future__ import annotations

from cubefit.dashboard.page import Page
from cubefit.dashboard.server import DashboardServer

__all__ = ["DashboardServer", "Page"]
