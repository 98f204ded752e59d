"""Training of memory networks.

Reading order: `losses`, `metrics`, `optimizers`, `callbacks` and `task_curriculum`
(curricula and reports), `resumable` (training that survives a killed process, with
`checkpoints`, `data_order` and `run_folder`).
"""
