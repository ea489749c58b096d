"""What every role of runferry uses: contract, formats, mapping, comparing, broker, database, settings, errors."""

__version__ = "0.1.0"

#: Says that this `shared` is runferry's own; the other packages look for it before they import anything from here.
IS_RUNFERRY = True
