"""The way from a layer back to the pixels, computed only where something arrives."""
