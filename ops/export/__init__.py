"""`ops export`: rows back into run folders of the same layout, so that files can be had again at any time."""
