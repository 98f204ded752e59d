// A model that runs step by step in ONNX Runtime.

/**
 * Load ONNX Runtime from the folder of the built files.
 *
 * @param {URL} folder
 * @returns {Promise<object>} The module `ort`.
 */
export async function loadRuntime(folder) {
  const ort = await import(new URL("ort.js", folder));
  ort.env.wasm.numThreads = 1; // threads need headers that a plain server does not send
  ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", folder).href };
  ort.env.logLevel = "error";
  return ort;
}

export class StepModel {
  /**
   * @param {object} ort ONNX Runtime.
   * @param {object} about The model's entry in demo.json.
   * @param {URL} folder
   * @returns {Promise<StepModel>}
   */
  static async load(ort, about, folder) {
    const response = await fetch(new URL(about.file, folder));
    const inference = await ort.InferenceSession.create(await response.arrayBuffer());
    return new StepModel(ort, about, inference);
  }

  constructor(ort, about, inference) {
    this.ort = ort;
    this.about = about;
    this.inference = inference;
    this.last = Promise.resolve(); // it runs one step at a time
  }

  /** Return the state at the start of a sequence, tensors by name. */
  start() {
    const tensors = Object.entries(this.about.start).map(([name, { shape, values }]) => {
      const size = shape.reduce((product, axis) => product * axis, 1);
      const numbers = new Float32Array(size);
      if (Array.isArray(values)) numbers.set(values);
      else numbers.fill(values);
      return [name, new this.ort.Tensor("float32", numbers, shape)];
    });
    return Object.fromEntries(tensors);
  }

  /**
   * Run one step.
   *
   * @param {object} state Tensors by name, which stay as they are.
   * @param {Int32Array|Float32Array} inputs A token, or the features of a step.
   * @returns {Promise<{outputs: Float32Array, state: object}>}
   */
  step(state, inputs) {
    const done = this.last.then(() => this.run(state, inputs));
    this.last = done.catch(() => {});
    return done;
  }

  async run(state, inputs) {
    const isToken = inputs instanceof Int32Array;
    const tensor = isToken
      ? new this.ort.Tensor("int32", inputs, [1])
      : new this.ort.Tensor("float32", inputs, [1, inputs.length]);
    const given = { ...state, inputs: tensor };
    // The file has no input for a state that the step does not read.
    const feeds = this.inference.inputNames.map((name) => [name, given[name]]);
    const found = await this.inference.run(Object.fromEntries(feeds));
    const after = Object.keys(state).map((name) => [name, found[`new_${name}`]]);
    return { outputs: found.outputs.data, state: Object.fromEntries(after) };
  }
}

/**
 * Return the weights of all heads over all slots, or `null` if the state has none.
 *
 * A sparse memory keeps the weights of a few slots, and their numbers in `read_slots`.
 *
 * @param {object} state Tensors by name.
 * @param {string} verb "read" or "write".
 * @returns {Float32Array[]|null}
 */
export function headWeights(state, verb) {
  const weights = state[`${verb}_weights`];
  if (!weights) return null;
  const [, heads, count] = weights.dims;
  const places = state[`${verb}_slots`];
  const slots = state.memory.dims[1];
  return Array.from({ length: heads }, (_, head) => {
    const own = weights.data.slice(head * count, (head + 1) * count);
    if (!places) return own;
    const all = new Float32Array(slots);
    own.forEach((weight, rank) => {
      all[places.data[head * count + rank]] += weight;
    });
    return all;
  });
}
