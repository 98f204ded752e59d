"""Graves et al. 2014: Neural Turing Machines (arXiv 1410.5401).

The Neural Turing Machine adds an addressable memory to a neural network. Each head
finds slots by content, and can shift its weights by a few slots per step.

Equation numbers are the paper's:

    2  read words     r_t = sum_i w_t(i) M_t(i)
    3  erase          M~_t(i) = M_{t-1}(i) o (1 - w_t(i) e_t)
    4  add            M_t(i) = M~_t(i) + w_t(i) a_t
    5  content        w_t^c(i) = softmax_i(beta_t K(k_t, M_t(i)))
    6  similarity     K(u, v) = u . v / (|u| |v|)
    7  interpolation  w_t^g = g_t w_t^c + (1 - g_t) w_{t-1}
    8  shift          w~_t(i) = sum_j w_t^g(j) s_t(i - j), indices modulo N
    9  sharpening     w_t(i) = w~_t(i)^gamma_t / sum_j w~_t(j)^gamma_t

Reading order: `addressing` (the weights of a head), `access` (one step of writing and
reading), `cell` (the whole machine as a Keras RNN cell).
"""
