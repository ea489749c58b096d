"""Makes a process' clock wrong by SKEW_S seconds; found by Python where this folder is on its path."""

from __future__ import annotations

import os
import time

_skew_s = float(os.environ.get("SKEW_S", "0"))
_time = time.time
_time_ns = time.time_ns

time.time = lambda: _time() + _skew_s
time.time_ns = lambda: _time_ns() + int(_skew_s * 1e9)
