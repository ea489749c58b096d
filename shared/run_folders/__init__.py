"""Run folders: what is on disk, read as it is, never torn, never larger than the limit, never out of the root."""
