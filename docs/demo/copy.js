// The tab in which a model copies a random pattern of bits.

import { headWeights } from "./model.js";
import { onColourChange, Picture } from "./picture.js";

const FRAME = 50; // milliseconds between pictures while the model runs

const byId = (id) => document.getElementById(id);

export class CopyTab {
  /**
   * @param {import("./model.js").StepModel} model Its description is `copy` of
   *   demo.json.
   */
  constructor(model) {
    this.model = model;
    this.about = model.about;
    this.pictures = {};
    const slider = byId("length");
    slider.max = this.about.longest;
    slider.value = this.about.first_length;
    slider.oninput = () => this.showLength();
    slider.onchange = byId("pattern").onclick = () => this.copy();
    onColourChange(() => this.paint());
    this.showLength();
  }

  showLength() {
    byId("length-shown").textContent = `${byId("length").value} steps`;
  }

  /** Draw a new pattern and let the model copy it; a run before it is given up. */
  async copy() {
    const { bits } = this.about;
    const length = Number(byId("length").value);
    const pattern = Array.from({ length }, () =>
      Float32Array.from({ length: bits }, () => (Math.random() < 0.5 ? 0 : 1)),
    );
    this.layOut(length);
    const own = (this.pattern = pattern);
    byId("copy-result").textContent = "Copying …";
    let state = this.model.start();
    let [wrong, painted] = [0, performance.now()];
    for (let time = 0; time < 2 * length + 1; time += 1) {
      const inputs = inputsAt(time, pattern, bits);
      const done = await this.model.step(state, inputs);
      if (own !== this.pattern) return;
      state = done.state;
      const target = pattern[time - length - 1];
      wrong += this.record(time, { inputs, target, ...done });
      if (performance.now() - painted < FRAME) continue;
      this.paint();
      await new Promise((resolve) => setTimeout(resolve));
      painted = performance.now();
    }
    this.paint();
    this.showResult(wrong, length * bits);
  }

  layOut(length) {
    const { bits } = this.about;
    const { memory } = this.model.start();
    const [time, slots] = [2 * length + 1, memory.dims[1]];
    const add = (title, note, rows) => new Picture(title, note, rows, time);
    this.pictures = {
      input: add("Input", "The pattern, then one mark that it has ended.", bits + 1),
      target: add("Target", "The pattern again, after the mark.", bits),
      output: add("Output", "The probability of each bit. Wrong bits are orange.", bits),
      write: add("Write head", "Weights of the slots that it writes.", slots),
      read: add("Read head", "Weights of the slots that it reads.", slots),
    };
    const figures = Object.values(this.pictures).map(({ figure }) => figure);
    byId("copy-pictures").replaceChildren(...figures);
  }

  /** Fill the columns of a step; return the number of wrong bits. */
  record(time, { inputs, target, outputs, state }) {
    for (const verb of ["write", "read"]) {
      const heads = headWeights(state, verb);
      const total = heads[0].map((_, slot) => heads.reduce((sum, head) => sum + head[slot], 0));
      this.pictures[verb].setColumn(time, total);
    }
    this.pictures.input.setColumn(time, inputs);
    if (!target) return 0;
    this.pictures.target.setColumn(time, target);
    const bits = outputs.map((logit) => 1 / (1 + Math.exp(-logit)));
    this.pictures.output.setColumn(time, bits);
    const wrong = [...target.keys()].filter((bit) => outputs[bit] > 0 !== target[bit] > 0);
    wrong.forEach((bit) => this.pictures.output.mark(time, bit));
    return wrong.length;
  }

  paint() {
    Object.values(this.pictures).forEach((picture) => picture.paint());
  }

  showResult(wrong, total) {
    const result = byId("copy-result");
    result.textContent = `${wrong} wrong bits of ${total}.`;
    result.dataset.wrong = wrong;
  }
}

/** Return the inputs of a step of keras_dnc.tasks.copy.CopyTask. */
function inputsAt(time, pattern, bits) {
  const inputs = new Float32Array(bits + 1);
  if (time < pattern.length) inputs.set(pattern[time]);
  if (time === pattern.length) inputs[bits] = 1;
  return inputs;
}
