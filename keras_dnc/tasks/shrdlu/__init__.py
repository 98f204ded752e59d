"""Mini-SHRDLU: plan moves of blocks towards goals held in memory (Graves et al. 2016).

The network reads several goals, each under a letter, is asked for one by its letter,
and moves blocks until the goal is met. This package needs `gymnasium`:
`pip install keras_dnc[rl]`.

Reading order: `world` (positions, moves, the solver), `puzzles`, `task` (what is read
at each step, lessons), `drawing`, `vector` and `environment` (`gymnasium`),
`animation` (an episode with the memory).
"""

from keras_dnc.tasks.shrdlu.animation import animate_episode
from keras_dnc.tasks.shrdlu.drawing import draw_board
from keras_dnc.tasks.shrdlu.drawing import goal_lines
from keras_dnc.tasks.shrdlu.environment import ShrdluEnv
from keras_dnc.tasks.shrdlu.puzzles import Puzzles
from keras_dnc.tasks.shrdlu.task import ShrdluTask
from keras_dnc.tasks.shrdlu.vector import ShrdluVectorEnv
from keras_dnc.tasks.shrdlu.world import BlockWorld
from keras_dnc.tasks.shrdlu.world import Constraint

__all__ = [
    "BlockWorld",
    "Constraint",
    "Puzzles",
    "ShrdluEnv",
    "ShrdluTask",
    "ShrdluVectorEnv",
    "animate_episode",
    "draw_board",
    "goal_lines",
]
