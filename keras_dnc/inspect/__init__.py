"""Look inside a memory: `trace` keeps every named state, `plots` draws it."""
