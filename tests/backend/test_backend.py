"""Loops, buffers and hand-written gradients, on the backend at hand."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dnc import backend


def tensor(*numbers):
    return ops.convert_to_tensor(np.array(numbers, "float32"))


def numbers(value):
    return ops.convert_to_numpy(value).tolist()


def compiled(function):
    """Return the function as the backend compiles it; PyTorch runs it as it is."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


either_way = pytest.mark.parametrize("run", [lambda f: f, compiled])


@either_way
@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_loop_runs_its_body_for_each_index_in_order(run, count):
    def body(index, carry):
        digits, (sums, last) = carry
        index = ops.cast(index, "float32")
        return digits * 10.0 + index, (sums + index, [last[0] * 0.0 + index])

    def function(start):
        return backend.loop(count, body, (start, (start, [start])))

    digits, (sums, (last,)) = run(function)(tensor(0.0))
    steps = range(count)
    assert numbers(digits) == [float("".join(map(str, steps)) or 0)]
    assert numbers(sums) == [sum(steps)] and numbers(last) == [max(steps, default=0)]


@either_way
def test_a_buffer_returns_what_was_written_to_it(run):
    def function(first):
        carry = backend.buffer(4, like=first)
        write = lambda index, carry: backend.write(  # noqa: E731
            carry, index, first + ops.cast(index, "float32")
        )
        carry = backend.loop(4, write, carry)
        return backend.read(carry, 2), backend.stack(carry)

    third, stacked = run(function)(tensor(1.0, 5.0))
    assert numbers(third) == [3.0, 7.0]
    assert numbers(stacked) == [[1.0, 5.0], [2.0, 6.0], [3.0, 7.0], [4.0, 8.0]]


@either_way
def test_several_buffers_are_written_and_read_together(run):
    def function(one, two):
        carry = backend.buffers(2, [one, two])
        for index in range(2):
            carry = backend.write_all(carry, index, [one + index, two - index])
        return backend.read_all(carry, 1)

    values = run(function)(tensor(1.0, 2.0), tensor(5.0))
    assert [numbers(value) for value in values] == [[2.0, 3.0], [4.0]]


def gradients_of(function, tensors, gradients):
    """The vector-Jacobian product of a function that returns nothing else."""
    return backend.vjp(lambda given: (function(given), []), tensors, gradients)[0]


@either_way
def test_vjp_multiplies_gradients_by_the_jacobian(run):
    def function(one, two, gradient):
        def products(tensors):
            return [tensors[0] * tensors[1], tensors[0]], [tensors[0] + 1.0]

        gradients = [gradient, ops.ones_like(gradient)]
        return backend.vjp(products, [one, two], gradients)

    given = tensor(2.0, 3.0), tensor(5.0, 7.0), tensor(10.0, 1.0)
    gradients, (other,) = run(function)(*given)
    assert [numbers(g) for g in gradients] == [[51.0, 8.0], [20.0, 3.0]]
    assert numbers(other) == [3.0, 4.0]


def test_vjp_is_zero_for_a_tensor_without_effect():
    double = lambda tensors: [tensors[0] * 2.0]  # noqa: E731
    gradients = gradients_of(double, [tensor(1.0), tensor(4.0)], [tensor(1.0)])
    assert [numbers(gradient) for gradient in gradients] == [[2.0], [0.0]]


def test_a_tensor_that_is_passed_twice_gets_the_gradient_of_each_place():
    same = tensor(2.0)
    function = lambda tensors: [tensors[0] * 3.0 + tensors[1] * 5.0]  # noqa: E731
    gradients = gradients_of(function, [same, same], [tensor(1.0)])
    assert [numbers(gradient) for gradient in gradients] == [[3.0], [5.0]]


class Recorded:
    """A function of two tensors and two outputs whose gradient is not its own."""

    def __init__(self, save):
        self.saves = []
        self.function = backend.with_gradient(self.forward, self.backward, save)

    def forward(self, tensors, save):
        self.saves.append(save)
        one, two = tensors
        entries = backend.write(backend.buffer(1, one), 0, one * 7.0)
        return [one + two, one * two], {"entries": entries} if save else None

    def backward(self, tensors, saved, gradients):
        kept = backend.read(saved["entries"], 0)
        return [kept + gradients[0] * tensors[1], gradients[1] * 100.0]


@either_way
@pytest.mark.parametrize("save", [False, True])
def test_a_hand_written_gradient_replaces_that_of_the_function(run, save):
    recorded = Recorded(save)

    def function(one, two, first, second):
        return gradients_of(recorded.function, [one, two], [first, second])

    given = tensor(2.0), tensor(3.0), tensor(10.0), tensor(1.0)
    outputs = recorded.function([*given[:2]])
    assert [numbers(output) for output in outputs] == [[5.0], [6.0]]
    gradients = run(function)(*given)
    assert [numbers(gradient) for gradient in gradients] == [[44.0], [100.0]]


@pytest.mark.parametrize("save", [False, True])
def test_without_save_the_forward_pass_keeps_nothing(save):
    recorded = Recorded(save)
    recorded.function([tensor(2.0), tensor(3.0)])
    saves_without_gradient = save and keras.backend.backend() != "jax"
    assert recorded.saves == [saves_without_gradient]


def test_a_function_of_the_forward_pass_alone_has_the_gradient_of_its_operations():
    given = [tensor(2.0), tensor(3.0)], [tensor(10.0), tensor(1.0)]
    with backend.forward_only():
        recorded = Recorded(save=True)
    gradients = gradients_of(recorded.function, *given)
    assert [numbers(gradient) for gradient in gradients] == [[13.0], [12.0]]
    assert recorded.saves == [False]
    after = gradients_of(Recorded(save=True).function, *given)
    assert [numbers(gradient) for gradient in after] == [[44.0], [100.0]]


def test_a_tensor_may_have_no_gradient():
    function = backend.with_gradient(
        lambda tensors, save: ([tensors[0] * 2.0], None),
        lambda tensors, saved, gradients: [gradients[0] * 2.0, None],
    )
    gradients = gradients_of(function, [tensor(1.0), tensor(4.0)], [tensor(3.0)])
    assert [numbers(gradient) for gradient in gradients] == [[6.0], [0.0]]


@pytest.mark.parametrize("sparse_gradient", [False, True])
def test_rows_of_a_weight_are_taken_and_assigned(sparse_gradient):
    table = keras.Variable(np.arange(6.0).reshape(3, 2), dtype="float32")
    rows = ops.convert_to_tensor(np.array([[2, 0], [2, 1]]), "int32")
    taken = backend.take_rows(table, rows, sparse_gradient)
    expected = [[[4.0, 5.0], [0.0, 1.0]], [[4.0, 5.0], [2.0, 3.0]]]
    assert numbers(taken) == expected


@pytest.mark.only("tensorflow", "torch")
def test_rows_of_a_variable_are_assigned_in_place():
    table = keras.Variable(np.zeros((3, 2)), dtype="float32")
    rows = ops.convert_to_tensor(np.array([2, 0]), "int32")
    backend.assign_rows(table, rows, tensor([1.0, 2.0], [3.0, 4.0]))
    assert numbers(table) == [[3.0, 4.0], [0.0, 0.0], [1.0, 2.0]]


def test_only_jax_always_compiles():
    assert backend.is_compiled() == (keras.backend.backend() == "jax")
