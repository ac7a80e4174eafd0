"""The tab in TensorBoard: every epoch, every run, side by side. ``http_api.md`` is what its two halves agree on."""
