"""Everything that is measured in one run, as a document with its plots: `python -m benchmarks.performance`."""
