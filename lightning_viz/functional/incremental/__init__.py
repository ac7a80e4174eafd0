"""Many variants of one image that differ from it in a square, computed only where they differ."""
