"""When, on what, and one call into ``functional``: the visualisations as Lightning callbacks."""
