"""A small five-stage pipeline without any model: it shows how stages read and write through the stage store."""
