"""From settings to objects: what the functions and `navplane serve` share. Imports are late, so that a function loads only
what it uses (a cold start pays for every import)."""

from navplane.wiring.dependencies import chained_request_log, database, held, late_gate, mailer, origins, request_log
from navplane.wiring.functions import (
    admin_plane,
    analytics_plane,
    console,
    list_lines,
    notifier,
    provider_keys_plane,
    provider_probe,
    reconciler,
    tenancy_plane,
)
from navplane.wiring.keys import kek, kek_unwrapper, kek_wrapper, rewrapper, successor_wrapper

__all__ = [
    "admin_plane",
    "analytics_plane",
    "chained_request_log",
    "console",
    "database",
    "held",
    "kek",
    "kek_unwrapper",
    "kek_wrapper",
    "late_gate",
    "list_lines",
    "mailer",
    "notifier",
    "origins",
    "provider_keys_plane",
    "provider_probe",
    "reconciler",
    "request_log",
    "rewrapper",
    "successor_wrapper",
    "tenancy_plane",
]
