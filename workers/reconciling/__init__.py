"""Reconciling: a worker's side of the proof. It reads files, the in-flight index and rows, and judges each output."""
