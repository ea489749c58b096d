"""Encryption: whether what goes to the stores over a network can be read on its way."""

from __future__ import annotations

from urllib.parse import urlsplit

from ops.doctor.finding import Finding, good, warning
from shared.database_url import LOCAL_HOSTS, DatabaseAddress


def judge_database_encryption(address: DatabaseAddress, *, encrypted: bool) -> Finding:
    """Return what the session with PostgreSQL says."""
    name = "way to PostgreSQL"
    if encrypted:
        return good(name, "is encrypted")
    if address.is_local:
        return good(name, "stays on this machine")
    todo = "Add sslmode=verify-full (and sslrootcert=FILE for an authority of your own) to DATABASE_URL."
    return warning(name, f"to {address.host} is not encrypted: whoever is in between can read rows", todo)


def judge_redis_encryption(url: str) -> Finding:
    """Return what the address of Redis says."""
    name = "way to Redis"
    parts = urlsplit(url)
    if parts.scheme == "rediss":
        return good(name, "is encrypted")
    if parts.scheme == "unix" or parts.hostname in LOCAL_HOSTS:
        return good(name, "stays on this machine")
    if not parts.password:
        detail = f"to {parts.hostname} needs no password and is not encrypted: whoever reaches it owns the queue"
        return warning(
            name, detail, "Set requirepass or an ACL in Redis, and rediss://:PASSWORD@HOST in REDIS_URL."
        )
    detail = f"to {parts.hostname} is not encrypted: whoever is in between can read outputs and the password"
    return warning(name, detail, "Use rediss:// in REDIS_URL; see docs/security.md.")
