"""Recording and visualisation of a memory: `trace` records it, `plots` draws it."""
