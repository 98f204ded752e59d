"""The Neural Turing Machine (Graves et al. 2014).

The first network that learned to address a memory: its heads look for content, and
step from slot to slot. Reading order: `addressing` (where a head looks), `access` (one
step of writing and reading), `cell` (a controller beside it).
"""
