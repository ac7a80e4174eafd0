"""From the user's batches and data sets to images: the one door to data."""
