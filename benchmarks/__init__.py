"""What runferry costs, measured beside the simplest things that do the same work on the same machine."""
