"""Mini-SHRDLU: gravity, moves, the solver against brute force, the environments."""

import itertools
import time
import types
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_dnc.tasks.levels import Levels

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils import env_checker  # noqa: E402

from keras_dnc.tasks import shrdlu  # noqa: E402
from keras_dnc.tasks.shrdlu import BlockWorld  # noqa: E402
from keras_dnc.tasks.shrdlu import ShrdluEnv  # noqa: E402
from keras_dnc.tasks.shrdlu import ShrdluTask  # noqa: E402
from keras_dnc.tasks.shrdlu import ShrdluVectorEnv  # noqa: E402

SIZES = [(2, 2), (2, 3), (3, 3), (3, 4), (4, 3)]
WORLDS = {sizes: BlockWorld(*sizes) for sizes in SIZES}
worlds = st.sampled_from(list(WORLDS.values()))


@st.composite
def situations(draw):
    """A world, a position in it, and an action."""
    world = draw(worlds)
    position = draw(st.integers(0, len(world.boards) - 1))
    return world, position, draw(st.integers(0, len(world.actions) - 1))


def columns_of(board):
    return [[int(block) for block in column if block] for column in board]


def plainly_moved(board, action):
    """The columns after a move, without tables."""
    columns, (source, target) = columns_of(board), action
    if columns[source] and len(columns[target]) < len(board):
        columns[target].append(columns[source].pop())
    return columns


def plainly_holds(board, constraint):
    """Whether a constraint holds, without tables."""
    block, relation, other = constraint
    ((column, row),) = np.argwhere(board == block).tolist()
    ((other_column, other_row),) = np.argwhere(board == other).tolist()
    places = {
        "above": (other_column, other_row + 1),
        "below": (other_column, other_row - 1),
        "left of": (other_column - 1, other_row),
        "right of": (other_column + 1, other_row),
    }
    return places[relation] == (column, row)


@pytest.mark.parametrize("sizes,count", [((2, 2), 6), ((3, 3), 60), ((3, 6), 7200)])
def test_there_are_as_many_positions_as_heights_times_orders(sizes, count):
    boards = BlockWorld(*sizes).boards
    assert len({board.tobytes() for board in boards}) == len(boards) == count


@settings(deadline=None)
@given(situations())
def test_blocks_are_kept_and_none_floats(situation):
    world, position, action = situation
    for number in (position, world.moves[position, action]):
        board = world.boards[number]
        assert sorted(board[board > 0]) == list(range(1, world.num_blocks + 1))
        for column in board:
            assert not np.any(column[np.argmin(column > 0) :]) or column.all()


@settings(deadline=None)
@given(situations())
def test_a_move_takes_the_top_block_of_one_column_to_the_top_of_another(situation):
    world, position, action = situation
    moved = world.boards[world.moves[position, action]]
    expected = plainly_moved(world.boards[position], world.actions[action])
    assert columns_of(moved) == expected
    assert world.position_of(expected) == world.moves[position, action]


@settings(deadline=None)
@given(situations(), st.data())
def test_a_constraint_holds_where_the_blocks_touch(situation, data):
    world, position, _ = situation
    number = data.draw(st.integers(0, world.holds.shape[1] - 1))
    constraint = world.constraint(number)
    if constraint.block == constraint.other:
        assert not world.holds[:, number].any()
        return
    assert world.goal([constraint]) == (number,)
    expected = plainly_holds(world.boards[position], constraint)
    assert world.holds[position, number] == expected


def brute_force(world, position, goal, longest):
    """The length of the shortest of all lists of moves, tried one after the other."""
    for length in range(longest + 1):
        for actions in itertools.product(world.actions, repeat=length):
            board = columns_of(world.boards[position])
            for action in actions:
                padded = [c + [0] * (world.board_size - len(c)) for c in board]
                board = plainly_moved(np.array(padded), action)
            end = world.boards[world.position_of(board)]
            if all(plainly_holds(end, world.constraint(number)) for number in goal):
                return length
    return None


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([WORLDS[2, 2], WORLDS[2, 3], WORLDS[3, 3]]), st.data())
def test_no_list_of_moves_is_shorter_than_the_solvers(world, data):
    position = data.draw(st.integers(0, len(world.boards) - 1))
    end = data.draw(st.integers(0, len(world.boards) - 1))
    facts = np.flatnonzero(world.holds[end]).tolist()
    goal = tuple(sorted(data.draw(st.sets(st.sampled_from(facts or [1]), max_size=2))))
    distance = int(world.distances(goal)[position])
    longest = 3 if world.board_size == 3 else 6
    found = brute_force(world, position, goal, longest)
    expected = distance if 0 <= distance <= longest else None
    assert found == expected


@settings(deadline=None)
@given(situations(), st.integers(0, 10**6))
def test_the_plan_of_the_solver_is_as_long_as_it_says_and_meets_the_goal(
    situation, seed
):
    world, position, _ = situation
    facts = np.flatnonzero(world.holds[seed % len(world.boards)])
    goal = tuple(facts[:2].tolist())
    if world.distances(goal)[position] < 0:
        with pytest.raises(ValueError, match="must have a solution"):
            world.solve(position, goal)
        return
    plan = world.solve(position, goal)
    assert len(plan) == world.distances(goal)[position]
    for action in plan:
        position = world.moves[position, world.actions.index(action)]
    assert world.holds[position, list(goal)].all()


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: BlockWorld(1, 2), "`board_size` must be at least 2. Received: .*=1"),
        (lambda: BlockWorld(11, 2), "`board_size` must be at most 10"),
        (lambda: BlockWorld(3, 1), "`num_blocks` must be at least 2"),
        (lambda: BlockWorld(2, 4), "`num_blocks` must be less than .* num_blocks=4"),
        (lambda: BlockWorld(5, 9), "at most 200000 positions. Received: .* with"),
        (lambda: ShrdluTask(num_letters=27), "`num_letters` must be at most 26"),
        (lambda: ShrdluTask(num_goals=4, num_letters=3), "`num_goals` must be at most"),
        (lambda: ShrdluTask(min_moves=3, max_moves=2), "`min_moves` must be at most"),
        (lambda: ShrdluTask(block_channels=2), "`num_blocks` must be at most `block_"),
        (lambda: ShrdluTask(board_channels=2), "`board_size` must be at most `board_"),
        (lambda: ShrdluVectorEnv(task=3), "`task` must be a `ShrdluTask`, or `Levels`"),
        (lambda: ShrdluVectorEnv(num_envs=0), "`num_envs` must be a positive integer"),
        (lambda: ShrdluEnv(render_mode="human"), "`render_mode` must be one of"),
    ],
)
def test_wrong_arguments_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    "board, goals, asked, match",
    [
        ([[1, 2, 2]], {"A": [(1, "above", 2)]}, "A", "`board` must be up to 3 columns"),
        ([[1, 2, 3]], {"A": [(1, "on", 2)]}, "A", "must relate two of the blocks 1 to"),
        ([[1, 2, 3]], {"A": [(1, "above", 4)]}, "A", "must relate two of the blocks"),
        ([[1, 2, 3]], {"a": [(1, "above", 2)]}, "a", "`goals` must be a dict from let"),
        ([[1, 2, 3]], {"A": [(1, "above", 2)]}, "B", "`asked` must be one of"),
        ([[1, 2, 3]], {"A": 3 * [(1, "above", 2)]}, "A", "at most 2 constraints"),
        (
            [[1, 2, 3]],
            {"A": [(1, "above", 2), (2, "above", 1)]},
            "A",
            "must have a solution on this board. Received: .*above",
        ),
    ],
)
def test_a_puzzle_without_a_solution_is_refused(board, goals, asked, match):
    with pytest.raises(ValueError, match=match):
        ShrdluTask().puzzle(board, goals, asked)


def test_puzzles_that_do_not_occur_are_refused(rng):
    with pytest.raises(ValueError, match="`min_moves` and `max_moves` must be lengths"):
        ShrdluTask(min_moves=9, max_moves=10).draw(2, rng)


@pytest.mark.parametrize("limits", [{}, {"max_moves": 1}, {"min_moves": 3}])
def test_every_goal_of_a_puzzle_has_a_solution_of_the_right_length(limits, rng):
    task = ShrdluTask(num_blocks=4, num_goals=3, max_constraints=3, **limits)
    puzzles = task.draw(200, rng)
    counts = set()
    for position, goals in zip(puzzles.positions, puzzles.goals, strict=True):
        for goal in goals:
            key = shrdlu.puzzles.goal_key(goal)
            distance = task.world.distances(key)[position]
            assert limits.get("min_moves", 1) <= distance
            assert distance <= limits.get("max_moves", 10)
            counts.add(len(key))
    assert counts == {1, 2, 3}
    assert len(np.unique(puzzles.letters)) == 26
    assert set(puzzles.asked) == {0, 1, 2}
    for letters in puzzles.letters:
        assert len(set(letters)) == 3


def test_goals_are_read_constraint_by_constraint_then_one_is_asked():
    task = ShrdluTask(num_letters=4)
    goals = {"D": [(3, "above", 1), (2, "left of", 1)], "B": [(1, "right of", 2)]}
    puzzles = task.puzzle([[1, 2, 3]], goals, asked="B")
    codes, read = task.instructions(puzzles)
    assert read.tolist() == [3]
    letters, parts, acts = np.split(codes[0], [4, 14], axis=1)
    assert letters.argmax(axis=1)[:4].tolist() == [3, 3, 1, 1]
    relations = ["".join(str(int(bit)) for bit in part) for part in parts[:3]]
    assert relations == ["0011000100", "0100010100", "1000001010"]
    assert not parts[3:].any() and acts[:, 0].tolist() == [0, 0, 0, 1, 0]
    board = task.board_codes[puzzles.positions[0]].reshape(3, 3, 3)
    np.testing.assert_array_equal(board[0], np.eye(3))
    assert not board[1:].any()


def test_an_episode_of_the_task_is_the_solvers(rng):
    task = ShrdluTask(num_blocks=4, num_goals=3)
    for _ in range(20):
        inputs, targets, mask = task.sample(rng)
        assert inputs.shape == (len(mask), task.observation_size)
        np.testing.assert_array_equal(inputs[:, -1], mask)
        np.testing.assert_allclose(targets.sum(axis=1), mask)
    batch = task.batch(5, rng)
    assert task.errors(batch, batch.targets).tolist() == [0] * 5
    wrong = np.where(batch.targets > 0, np.nan, 0.0)
    assert task.errors(batch, wrong).tolist() == batch.mask.sum(axis=1).tolist()


def test_lessons_have_equal_channels_and_end_with_the_task_itself():
    lessons = ShrdluTask.lessons(num_blocks=5, num_goals=3, max_constraints=2)
    assert len({(one.observation_size, one.num_actions) for one in lessons}) == 1
    sizes = [(one.num_blocks, one.num_goals, one.max_constraints) for one in lessons]
    assert sizes[:5] == [(3, 1, 1)] * 3 + [(3, 1, 2), (3, 2, 2)]
    assert sizes[5:] == [(3, 3, 2), (4, 3, 2), (5, 3, 2)]
    levels = Levels(lessons)
    levels.level = len(lessons) - 1
    assert levels.batch(3, np.random.default_rng(0)).inputs.shape[0] == 3


def test_the_environment_is_one_by_the_rules_of_gymnasium():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env_checker.check_env(gymnasium.make("keras_dnc/Shrdlu-v0").unwrapped)
        env = gymnasium.make("keras_dnc/Shrdlu-v0", render_mode="rgb_array")
        env_checker.check_env(env.unwrapped)


def random_episodes(env, steps, seed):
    """What is observed, paid and told in random steps."""
    observations, infos = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    seen = [(observations, *infos.values())]
    for _ in range(steps):
        actions = rng.integers(env.num_actions, size=env.num_envs)
        *step, infos = env.step(actions)
        seen.append((*step, *infos.values()))
    return seen


def test_the_same_seed_gives_the_same_episodes_and_another_gives_others():
    env = ShrdluVectorEnv(num_envs=7)
    first, again, other = (random_episodes(env, 40, seed) for seed in (3, 3, 4))
    for one, two in zip(first, again, strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.any(first[0][0] != other[0][0])


def test_what_the_vector_environment_returns_has_its_spaces():
    env = ShrdluVectorEnv(ShrdluTask(num_blocks=4), num_envs=7)
    _, *steps = random_episodes(env, 60, 0)
    for observations, rewards, terminated, truncated, *_ in steps:
        assert observations in env.observation_space
        assert rewards.shape == terminated.shape == truncated.shape == (7,)
        assert (
            rewards.dtype == np.float64 and terminated.dtype == truncated.dtype == bool
        )
        assert not np.any(terminated & truncated)


@pytest.mark.parametrize(
    "task", [ShrdluTask(), Levels(ShrdluTask.lessons(num_blocks=4))]
)
def test_many_boards_do_what_one_does(task):
    if isinstance(task, Levels):
        task.level = 4
    envs = ShrdluVectorEnv(task, num_envs=6, autoreset_mode="Disabled")
    observations, _ = envs.reset(seed=0)
    singles = []
    for board, puzzle in enumerate(envs.puzzles):
        env = ShrdluEnv(envs._task_of[board])
        observation, _ = env.reset(options={"puzzles": puzzle})
        np.testing.assert_array_equal(observation, observations[board])
        singles.append(env)
    rng, over = np.random.default_rng(0), np.zeros(6, bool)
    for _ in range(envs.max_time):
        actions = rng.integers(envs.num_actions, size=6)
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        for board in np.flatnonzero(~over):
            alone = singles[board].step(actions[board])
            np.testing.assert_array_equal(alone[0], observations[board])
            assert alone[1:4] == (rewards[board], terminated[board], truncated[board])
            assert alone[4]["moves"] == infos["moves"][board]
        assert np.all(rewards[over] == 0.0)
        over = terminated | truncated
    assert over.all()


def test_the_return_is_the_fraction_gained_less_the_cost_of_moves():
    envs = ShrdluVectorEnv(num_envs=50, autoreset_mode="Disabled", move_cost=0.1)
    _, infos = envs.reset(seed=1)
    before, total = infos["met"], np.zeros(50)
    rng = np.random.default_rng(1)
    for _ in range(envs.max_time):
        _, rewards, terminated, _, infos = envs.step(rng.integers(6, size=50))
        total += rewards
    expected = infos["met"] - before - 0.1 * infos["moves"]
    np.testing.assert_allclose(total, expected, atol=1e-9)
    np.testing.assert_array_equal(terminated, infos["met"] == 1.0)
    assert 0 < terminated.sum() < 50
    scores = envs.scores()
    assert scores["solved"] == terminated.mean() and scores["moves_ratio"] > 1.0
    lengths = infos["optimal_moves"] / infos["moves"]
    assert scores["spl"] == pytest.approx(np.mean(terminated * lengths))


def test_who_acts_as_the_solver_solves_all_in_the_fewest_moves():
    task = ShrdluTask(num_blocks=5, num_goals=3, max_constraints=3)
    envs = ShrdluVectorEnv(task, num_envs=40, autoreset_mode="Disabled")
    _, infos = envs.reset(seed=2)
    for _ in range(envs.max_time):
        spread = envs.optimal_actions()
        np.testing.assert_allclose(spread.sum(axis=1), infos["acting"], atol=1e-6)
        *_, infos = envs.step(spread.argmax(axis=1))
    scores = {"met": 1.0, "solved": 1.0, "moves_ratio": 1.0, "spl": 1.0}
    assert envs.scores() == scores


def test_a_board_whose_episode_has_ended_begins_a_new_one_at_the_next_step():
    envs = ShrdluVectorEnv(num_envs=30)
    _, infos = envs.reset(seed=3)
    over, begun = np.zeros(30, bool), 0
    for _ in range(60):
        spread = envs.optimal_actions()
        _, rewards, terminated, truncated, infos = envs.step(spread.argmax(axis=1))
        assert not infos["acting"][over].any() and not infos["moves"][over].any()
        assert not rewards[over].any() and not terminated[over].any()
        over = terminated | truncated
        begun += over.sum()
    assert begun > 60


def test_some_boards_are_reset_alone():
    envs = ShrdluVectorEnv(num_envs=4, autoreset_mode="Disabled")
    before, _ = envs.reset(seed=0)
    for _ in range(3):
        before, *_ = envs.step(np.zeros(4, int))
    mask = np.array([True, False, False, True])
    after, infos = envs.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert np.all(infos["moves"][mask] == 0)
    assert np.all(np.any(after[mask] != before[mask], axis=1))


@pytest.mark.parametrize("actions", [[0] * 3, [0, 1, 2, 6], [0.0] * 4, [-1, 0, 0, 0]])
def test_wrong_actions_are_refused(actions):
    envs = ShrdluVectorEnv(num_envs=4)
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(np.zeros(4, int))
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="`actions` must be 4 integers from 0 to 5"):
        envs.step(actions)


def test_options_for_another_number_of_boards_are_refused():
    envs = ShrdluVectorEnv(num_envs=4)
    with pytest.raises(ValueError, match="`reset_mask` must have one entry for each"):
        envs.reset(options={"reset_mask": [True]})
    puzzles = ShrdluTask().draw(2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="`puzzles` must have one entry for each"):
        envs.reset(options={"puzzles": puzzles})


def test_levels_choose_the_lesson_of_new_episodes():
    levels = Levels(ShrdluTask.lessons(), earlier=0.5)
    envs = ShrdluVectorEnv(levels, num_envs=300, autoreset_mode="Disabled")
    assert np.all(envs.reset(seed=0)[1]["optimal_moves"] == 1)
    levels.level = 4
    envs.reset(seed=0)
    goals = [int((puzzle.goals[0, :, 0] >= 0).sum()) for puzzle in envs.puzzles]
    assert 100 < goals.count(1) < 200 and goals.count(2) == 300 - goals.count(1)


def test_a_board_of_few_columns_is_run_in_the_channels_of_a_larger_one():
    small = ShrdluTask(board_size=2, board_channels=3, block_channels=4)
    large = ShrdluTask(board_size=3, num_blocks=4)
    levels = Levels([small, large], earlier=0.0)
    envs = ShrdluVectorEnv(levels, num_envs=20, autoreset_mode="Disabled")
    envs.reset(seed=0)
    for _ in range(small.max_time):
        envs.step(envs.optimal_actions().argmax(axis=1))
    assert envs.scores()["solved"] == 1.0
    before = small.moves[:, small.actions.index((0, 2))]
    np.testing.assert_array_equal(before, np.arange(len(before)))


@pytest.mark.parametrize("mode, kind", [("ansi", str), ("rgb_array", np.ndarray)])
def test_every_board_is_drawn(mode, kind):
    if mode == "rgb_array":
        pytest.importorskip("matplotlib")
    envs = ShrdluVectorEnv(num_envs=2, render_mode=mode)
    envs.reset(seed=0)
    one, other = envs.render()
    assert isinstance(one, kind) and np.any(one != other)
    if mode == "rgb_array":
        assert one.dtype == np.uint8 and one.shape[-1] == 3
    assert ShrdluVectorEnv(num_envs=2).render() is None


@pytest.mark.slow
def test_random_steps_are_fast():
    """100,000 steps per second of one core, measured as time of the process."""
    envs = ShrdluVectorEnv(num_envs=256)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).integers(envs.num_actions, size=(400, 256))
    started = time.process_time()
    for row in actions:
        envs.step(row)
    assert actions.size / (time.process_time() - started) > 100_000


@pytest.fixture
def recorded():
    """An episode of the solver, and a record of a memory of 5 slots that saw it."""
    task = ShrdluTask()
    goals = {"C": [(1, "below", 2)], "T": [(3, "above", 1), (2, "left of", 1)]}
    puzzles = task.puzzle([[1, 2, 3]], goals, asked="T")
    envs = ShrdluVectorEnv(task, autoreset_mode="Disabled")
    observations, _ = envs.reset(options={"puzzles": puzzles})
    seen = []
    while not envs.scores()["solved"]:
        seen.append(observations[0])
        observations, *_ = envs.step(envs.optimal_actions().argmax(axis=1))
    inputs = np.stack([*seen, np.zeros_like(seen[0])])  # padded after the end
    writes = np.zeros((1, len(inputs), 1, 5))
    writes[0, np.arange(3), 0, [4, 0, 2]] = 1.0
    reads = np.full((1, len(inputs), 2, 5), 0.1)
    found = types.SimpleNamespace(
        inputs=inputs[None], write_weights=writes, read_weights=reads
    )
    found.check = lambda sequence, names: None
    return found, task, puzzles


def test_an_animation_shows_which_slot_holds_which_constraint(recorded, tmp_path):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    trace, task, puzzles = recorded
    animation = shrdlu.animate_episode(trace, task, puzzles)
    animation.save(tmp_path / "episode.gif", writer="pillow")
    with image.open(tmp_path / "episode.gif") as picture:
        assert picture.n_frames == 3 + 5  # constraints, and moves
    board, written, _ = animation._fig.axes
    for frame, expected in (
        (0, ["", "", "", "", "C: 1 below 2"]),
        (7, ["T: 3 above 1", "", "T: 2 left of 1", "", "C: 1 below 2"]),
    ):
        animation._func(frame)
        labels = written.get_yticklabels()
        assert [label.get_text() for label in labels] == expected
    bold = [label.get_text() for label in labels if label.get_fontweight() == "bold"]
    assert bold == ["T: 3 above 1", "T: 2 left of 1"]
    assert board.get_title(loc="left").startswith("  C: 1 below 2")
    with pytest.raises(ValueError, match="must have observations of the task"):
        shrdlu.animate_episode(trace, ShrdluTask(num_letters=4), puzzles)
