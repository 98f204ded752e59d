"""Advantage actor-critic: its loss, its advantages, and networks that learn by it."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import keras_dnc
from keras_dnc.training.policy_gradient import advantages
from keras_dnc.training.rollouts import Actor

pytest.importorskip("gymnasium")

from keras_dnc.tasks.shrdlu import ShrdluTask  # noqa: E402
from keras_dnc.tasks.shrdlu import ShrdluVectorEnv  # noqa: E402

EASY = ShrdluTask(num_goals=1, max_constraints=1, max_moves=1, num_letters=2)


def environment(num_envs=6, **arguments):
    return ShrdluVectorEnv(EASY, num_envs, autoreset_mode="Disabled", **arguments)


def network(cell="dnc", units=8, learning_rate=1e-2, hidden_units=()):
    if cell == "dnc":
        controller = keras_dnc.DNCCell(8, units, memory_size=5, word_size=4)
        layer = keras_dnc.MemoryRNN(
            controller, return_sequences=True, return_state=True
        )
    else:
        layer = keras.layers.LSTM(units, return_sequences=True, return_state=True)
    model = keras_dnc.ActorCritic([layer], EASY.num_actions, hidden_units)
    optimizer = keras.optimizers.Adam(learning_rate)
    model.compile(optimizer, keras_dnc.ActorCriticLoss(), jit_compile=False)
    return model


def test_the_loss_is_that_of_its_equation(rng):
    logits = rng.normal(size=(3, 4, 3))
    values, returns = rng.normal(size=(2, 3, 4))
    weights = rng.normal(size=(3, 4, 3))
    scored = rng.integers(0, 2, (3, 4))
    policy = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    entropy = -np.sum(policy * np.log(policy), axis=-1)
    cost = -np.sum(weights * np.log(policy), axis=-1) - 0.3 * entropy
    cost += 0.7 * (values - returns) ** 2
    targets = np.concatenate([weights, np.stack([returns, scored], -1)], axis=-1)
    outputs = np.concatenate([logits, values[..., None]], axis=-1)
    loss = keras_dnc.ActorCriticLoss(entropy=0.3, value=0.7)
    found = float(loss(targets.astype("float32"), outputs.astype("float32")))
    np.testing.assert_allclose(found, np.sum(cost * scored) / 3, rtol=1e-4)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (again.entropy, again.value) == (0.3, 0.7)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 1.0))
def test_advantages_without_a_trace_are_returns_less_values(seed, discount):
    rng = np.random.default_rng(seed)
    begin, end = np.sort(rng.integers(0, 8, 2))
    scored = np.zeros((2, 7), bool)
    scored[:, begin:end] = True
    rewards, values = rng.normal(size=(2, 2, 7))
    returns = np.zeros((2, 7))
    for step in range(begin, end):
        weights = discount ** np.arange(end - step)
        returns[:, step] = rewards[:, step:end] @ weights
    found = advantages(rewards, values, scored, discount)
    np.testing.assert_allclose(found, (returns - values) * scored, atol=1e-9)
    one_step = advantages(rewards, values, scored, discount, trace=0.0)
    after = np.pad(values * scored, [(0, 0), (0, 1)])[:, 1:]
    expected = (rewards + discount * after - values) * scored
    np.testing.assert_allclose(one_step, expected, atol=1e-9)


@pytest.mark.parametrize("cell", ["dnc", "lstm"])
def test_an_actor_computes_step_by_step_what_the_model_computes_at_once(cell, rng):
    model = network(cell)
    observed = rng.random((3, 5, 11)).astype("float32")
    expected = ops.convert_to_numpy(model(observed))
    actor = Actor(model, num_envs=3, observation_size=11)
    for _ in range(2):
        actor.reset()
        found = np.stack([actor.step(observed[:, t]) for t in range(5)], axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_rollout_holds_what_was_seen_done_and_gained():
    env, model = environment(move_cost=0.25), network()
    rollouts = keras_dnc.Rollouts(env, steps=3, discount=1.0, trace=1.0)
    observations, targets, scores = rollouts.play(model, index=1)
    assert observations.shape == (6, env.max_time, EASY.observation_size)
    assert targets.shape == (6, env.max_time, EASY.num_actions + 2)
    acting, scored = observations[..., -1], targets[..., -1]
    np.testing.assert_array_equal(scored, acting)  # neither while reading nor after
    moves = env._infos()["moves"]
    np.testing.assert_array_equal(scored.sum(axis=1), moves)
    assert np.all((targets[..., :-2] != 0).sum(axis=-1) <= scored)
    first = targets[:, 1, -2]  # one constraint is read before the first move
    np.testing.assert_allclose(
        first, env._infos()["met"] - 0.25 * moves, rtol=1e-4, atol=1e-5
    )
    assert scores["reward"] == pytest.approx(first.mean(), rel=1e-4)


def test_a_rollout_follows_from_the_seed_the_epoch_and_the_index():
    model = network()
    rollouts = keras_dnc.Rollouts(environment(), steps=3)
    first, other = (rollouts.play(model, index) for index in (0, 1))
    again = keras_dnc.Rollouts(environment(), steps=3).play(model, 0)
    rollouts.epoch = 1
    later = rollouts.play(model, 0)
    np.testing.assert_array_equal(first.targets, again.targets)
    for one in (other, later):
        assert np.any(first.targets != one.targets)


def test_while_imitating_targets_are_the_actions_of_the_solver():
    env, model = environment(), network()
    rollouts = keras_dnc.Rollouts(env, steps=3, imitation_epochs=1)
    _, targets, _ = rollouts.play(model, 0)
    weights, scored = targets[..., :-2], targets[..., -1]
    np.testing.assert_allclose(weights.sum(axis=-1), scored, atol=1e-6)
    rollouts.epoch = 1
    weights = rollouts.play(model, 0).targets[..., :-2]
    assert np.any(weights < 0.0)


@pytest.mark.slow
@pytest.mark.only("tensorflow", "torch")  # JAX takes two minutes for each
@pytest.mark.parametrize("epochs", [0, 6])
def test_a_network_learns_to_solve_what_one_move_solves(epochs):
    model = network("lstm", units=48)
    rollouts = keras_dnc.Rollouts(environment(64), 40, imitation_epochs=epochs)
    history = model.fit(rollouts, epochs=epochs or 8, verbose=0).history
    assert history["reward"][-1] > history["reward"][0] + 0.1
    assert history["moves_ratio"][-1] < 0.85 * history["moves_ratio"][0]


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path):
    def run(folder, *epochs):
        keras.utils.set_random_seed(1)
        for number in epochs:
            model = network()
            rollouts = keras_dnc.Rollouts(environment(), steps=2)
            held_out = keras_dnc.Rollouts(environment(), steps=1, seed=5)
            log = keras_dnc.fit_or_resume(
                model, rollouts, folder, "loss", number,
                validation_data=held_out, verbose=0,
            )  # fmt: skip
        return model, log

    model, log = run(tmp_path / "whole", 3)
    again, log_again = run(tmp_path / "killed", 1, 3)
    assert [row["loss"] for row in log] == [row["loss"] for row in log_again]
    assert len(log) == 3 and "val_solved" in log[0]
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_saved_model_acts_as_before(tmp_path, rng):
    model = network(hidden_units=(6, 5))
    observed = rng.random((3, 5, EASY.observation_size)).astype("float32")
    expected = ops.convert_to_numpy(model(observed))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(observed)), expected)
    rollouts = keras_dnc.Rollouts(environment(), steps=1)
    assert loaded.evaluate(rollouts) == model.evaluate(rollouts)


def test_the_constructors_arguments_are_the_config():
    lstm = keras.layers.LSTM(3, return_sequences=True, return_state=True)
    model = keras_dnc.ActorCritic(
        [lstm], 4, (2,), name="player", trainable=False, dtype="mixed_bfloat16"
    )
    twin = keras_dnc.ActorCritic.from_config(model.get_config())
    assert (twin.name, twin.trainable, twin.num_actions) == ("player", False, 4)
    assert list(twin.hidden_units) == [2] and len(twin.recurrent) == 1
    policies = {layer.dtype_policy.name for layer in (twin, *twin.heads)}
    assert policies == {"mixed_bfloat16"}


def test_progress_is_shown_epoch_by_epoch(capsys):
    rollouts = keras_dnc.Rollouts(environment(), steps=2)
    network().fit(rollouts, epochs=2)
    said = capsys.readouterr().out
    assert "Epoch 2/2" in said and "moves_ratio" in said and "met" in said


def test_training_stops_when_a_callback_says_so():
    rollouts = keras_dnc.Rollouts(environment(), steps=1)
    stop = keras_dnc.StopAt("reward", 100.0)
    history = network().fit(rollouts, epochs=5, callbacks=[stop], verbose=0)
    assert history.epoch == [0]


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: keras_dnc.ActorCriticLoss(entropy=-1.0), "`entropy` must be at least"),
        (lambda: keras_dnc.ActorCriticLoss(value=np.nan), "`value` must be a finite"),
        (lambda: keras_dnc.ActorCritic([], 3), "`recurrent` must be a list of recurr"),
        (
            lambda: keras_dnc.ActorCritic([keras.layers.LSTM(3)], 3),
            "`recurrent` must be a list of recurrent layers with return_sequences=True",
        ),
        (lambda: network(hidden_units=32), "`hidden_units` must be a sequence of pos"),
        (lambda: network(hidden_units=(32, 0)), "`hidden_units` must be a positive"),
        (lambda: keras_dnc.Rollouts(3, 1), "`env` must be a vector environment"),
        (
            lambda: keras_dnc.Rollouts(ShrdluVectorEnv(EASY), 1),
            "`env` must be a vector environment with the autoreset mode `DISABLED`",
        ),
        (lambda: keras_dnc.Rollouts(environment(), 0), "`steps` must be a positive"),
        (
            lambda: keras_dnc.Rollouts(environment(), 1, discount=1.5),
            "`discount` must be at least 0 and at most 1",
        ),
    ],
)
def test_wrong_arguments_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
