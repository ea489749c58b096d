"""The queue: a thin layer over Dramatiq's Redis broker that loses, strands and hides nothing."""
