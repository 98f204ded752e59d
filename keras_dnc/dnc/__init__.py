"""Graves et al. 2016: the Differentiable Neural Computer (Nature 538, 471-476).

The Differentiable Neural Computer adds two things to memory: a usage per slot, by which
free slots are found and slots that are no longer needed are freed, and links between
slots in the order of writing, along which a sequence can be read back.

One step, with the controls of the interface vector (`state.AccessControls`). The
equation numbers in this package are those of this list:

    1  retention      psi_t = prod_i (1 - f_t^i w_{t-1}^{r,i})
    2  usage          u_t = (u_{t-1} + w_{t-1}^w - u_{t-1} o w_{t-1}^w) o psi_t
    3  allocation     a_t[j] = (1 - u_t[j]) prod_{k before j} u_t[k]
    4  write weights  w_t^w = g_t^w (g_t^a a_t
                                     + (1 - g_t^a) C(M_{t-1}, k_t^w, beta_t^w))
    5  memory         M_t = M_{t-1} o (1 - w_t^w e_t^T) + w_t^w v_t^T
    6  links          L_t[i, j] = (1 - w_t^w[i] - w_t^w[j]) L_{t-1}[i, j]
                                  + w_t^w[i] p_{t-1}[j],  L_t[i, i] = 0
    7  precedence     p_t = (1 - sum_i w_t^w[i]) p_{t-1} + w_t^w
    8  directions     f_t^i = L_t w_{t-1}^{r,i},  b_t^i = L_t^T w_{t-1}^{r,i}
    9  read weights   w_t^{r,i} = pi_1 b_t^i + pi_2 f_t^i
                                  + pi_3 C(M_t, k_t^{r,i}, beta_t^{r,i})
   10  read words     r_t^i = M_t^T w_t^{r,i}

Reading order: `state` (state and controls), `addressing` (usage and links),
`content_access` (a step without links), `access` (a step with links), `cell` (the whole
computer as a Keras RNN cell), `sparse_links` (the largest few links of each slot) and
`checkpoint` (weights of deepmind/dnc). `keras_dnc.ops.free_list` and
`keras_dnc.ops.links` compute equations 3, 6 and 8 with gradients written by hand.
"""
