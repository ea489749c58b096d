"""The operator's commands: the schema, dead letters, services, and the ways back."""

import sys

import shared

if not getattr(shared, "IS_RUNFERRY", False):
    _sentence = (
        f"runferry's package `shared` is hidden by another of that name in {next(iter(shared.__path__), '?')}: "
        "rename that one, take its folder off PYTHONPATH, or run from another folder "
        "(`python -P` leaves the current one out)."
    )
    if sys.argv[0].rpartition("/")[2] in ("-m", "producer", "worker", "ops"):
        sys.stderr.write(_sentence + "\n")
        sys.exit(2)
    raise ImportError(_sentence)
