"""Training of memory networks.

Reading order: `losses`, `metrics`, `optimizers`, `callbacks` (curricula and reports),
`resumable` (training that survives a killed process).
"""
