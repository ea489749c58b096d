"""Embedded services: real PostgreSQL 18 and Redis 6.2 from wheels, for a machine that has neither.

They run from the wheels' binaries, never through `get_server` of those packages: that one opens the rights of
every parent folder, trusts every local user, and ends with its last user.
"""

from __future__ import annotations

from shared.embedded.services import EmbeddedServices, ServerStatus, start, status, stop

__all__ = ["EmbeddedServices", "ServerStatus", "start", "status", "stop"]
