"""Reconciling: the words of the proof, and what its command asks the workers and they answer. Pure."""
