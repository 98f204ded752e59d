"""Training of memory networks.

Reading order: `losses`, `metrics`, `optimizers`, `callbacks` and `task_curriculum`
(curricula and reports), `policy_gradient`, `rollouts` and `actor_critic`
(reinforcement learning), `resumable` (training that survives a killed process, with
`checkpoints`, `data_order` and `run_folder`), `compilation` (a quick second start).
"""
