// The tab in which a model reads a story and answers questions about it.

import { drawArcs } from "./arcs.js";
import { headWeights } from "./model.js";
import { onColourChange, Picture } from "./picture.js";
import {
  encode, ignoredCharacters, mostProbable, StepsRead, unfinishedLines,
} from "./reading.js";

const TOP = 3; // answers that are shown
const ARCS = 8; // reads that are shown at once
const LEAST_SHARE = 0.05; // a read below this share is not shown
const PAUSE_IN_TYPING = 400; // milliseconds after which a text is encoded

const byId = (id) => document.getElementById(id);

/** A model that has read some tokens of a story, and what it did at each. */
class Run {
  constructor(model, tokens) {
    Object.assign(this, { model, tokens });
    this.state = model.start();
    this.steps = []; // for each token read: logits, write, read, usage, shares
    this.stepsRead = new StepsRead(this.state.memory.dims[1]);
    this.pending = Promise.resolve();
  }

  /** Read until `count` tokens are read. Calls run one after another. */
  upTo(count) {
    this.pending = this.pending.then(() => this.read(count));
    return this.pending;
  }

  async read(count) {
    while (this.steps.length < count) {
      const { index } = this.tokens[this.steps.length];
      const { outputs, state } = await this.model.step(this.state, Int32Array.of(index));
      this.state = state;
      const [write, read] = ["write", "read"].map((verb) => headWeights(state, verb));
      this.steps.push({
        logits: outputs,
        write,
        read,
        usage: state.usage?.data,
        shares: write && read ? this.stepsRead.add(write, read) : [],
      });
    }
  }

  /** List the steps of the question that an answer token ends, or of any other token. */
  stepsOf(time) {
    const { line, isAnswer } = this.tokens[time];
    if (!isAnswer) return [time];
    const times = [...this.tokens.keys()].slice(0, time + 1);
    return times.filter((step) => this.tokens[step].line === line);
  }

  /** List the strongest reads at some steps, of words before these steps. */
  readsAt(times) {
    const reads = times.flatMap((from) =>
      this.steps[from].shares.flatMap((shares, head) =>
        shares.slice(0, times[0]).map((share, to) => ({ from, to, head, share })),
      ),
    );
    return reads
      .filter(({ share }) => share >= LEAST_SHARE)
      .sort((one, other) => other.share - one.share)
      .slice(0, ARCS);
  }
}

export class StoryTab {
  /**
   * @param {import("./model.js").StepModel} model Its description is `stories` of
   *   demo.json.
   */
  constructor(model) {
    this.model = model;
    this.about = model.about;
    this.playing = false;
    byId("hint").hidden = !this.about.examples.some(({ text }) => text.includes("? -"));
    byId("words").textContent = this.about.words.slice(this.about.unknown + 1).join(" ");
    this.listExamples();
    this.listen();
    this.choose(0);
    this.open();
  }

  /** Show the first story read to its end: without pictures the page looks broken. */
  async open() {
    const { run } = this;
    await run.upTo(run.tokens.length);
    const isUntouched = run === this.run && !this.playing && this.position === 0;
    if (isUntouched) this.show(run.tokens.length);
  }

  listExamples() {
    const titles = [...this.about.examples.map(({ title }) => title), "your own"];
    byId("example").replaceChildren(...titles.map((title, n) => new Option(title, n)));
  }

  listen() {
    byId("example").onchange = (event) => this.choose(Number(event.target.value));
    byId("text").oninput = () => {
      clearTimeout(this.typing);
      byId("example").value = this.about.examples.length;
      this.typing = setTimeout(() => this.begin([]), PAUSE_IN_TYPING);
    };
    byId("play").onclick = () => (this.playing ? this.pause() : this.play());
    byId("step").onclick = () => this.pauseAt(this.position + 1);
    byId("restart").onclick = () => this.begin(this.expected);
    byId("position").oninput = (event) => this.pauseAt(Number(event.target.value));
    byId("lines").onclick = (event) => {
      const word = event.target.closest("[data-time]");
      if (word) this.pauseAt(Number(word.dataset.time) + 1);
    };
    new ResizeObserver(() => this.drawReads()).observe(byId("lines"));
    onColourChange(() => this.pictures.forEach((picture) => picture.paint()));
  }

  choose(number) {
    const example = this.about.examples[number];
    byId("text").value = example?.text ?? "";
    this.begin(example?.expected ?? []);
  }

  /** Encode the text and go to its beginning; `expected` are the indices of answers. */
  begin(expected) {
    this.pause();
    this.expected = expected;
    const text = byId("text").value;
    const tokens = encode(text, this.about);
    const answers = tokens.filter(({ isAnswer }) => isAnswer);
    answers.forEach((token, n) => (token.expected = this.about.words[expected[n]]));
    this.run = new Run(this.model, tokens);
    this.warn(text, tokens);
    for (const id of ["play", "step", "restart", "position"]) {
      byId(id).disabled = !tokens.length;
    }
    byId("position").max = tokens.length;
    this.layOut();
    this.show(0);
  }

  warn(text, tokens) {
    const quoted = (items) => items.map((item) => `“${item}”`).join(", ");
    const unknown = [...new Set(tokens.filter((t) => t.isUnknown).map((t) => t.word))];
    const ignored = ignoredCharacters(text);
    const open = unfinishedLines(text);
    const problems = [
      unknown.length && `The model does not know ${quoted(unknown)}. All words that ` +
        "it does not know look alike to it, and its answers may be wrong.",
      ignored.length && `The model does not read ${quoted(ignored)}.`,
      open.length && `Put a “.” or “?” after ${quoted(open)}.`,
      tokens.length && !tokens.some((t) => t.isAnswer) &&
        "The text has no question, which ends with “?”.",
    ];
    const message = problems.filter(Boolean).join(" ");
    if (byId("problems").textContent !== message) byId("problems").textContent = message;
  }

  /** Write the story, one line for each sentence, and empty pictures. */
  layOut() {
    const { tokens } = this.run;
    this.words = tokens.map((token, time) => {
      const element = document.createElement(token.isAnswer ? "button" : "span");
      element.className = `word ${token.kind}`;
      element.classList.toggle("unknown", token.isUnknown);
      element.dataset.time = time;
      element.textContent = token.isAnswer ? "…" : token.word;
      return element;
    });
    const count = tokens.length ? tokens.at(-1).line + 1 : 0;
    const lines = Array.from({ length: count }, () => document.createElement("p"));
    tokens.forEach(({ line }, time) => lines[line].append(this.words[time], " "));
    byId("lines").replaceChildren(...lines);
    this.pictures = this.newPictures();
    byId("pictures").replaceChildren(...this.pictures.map(({ figure }) => figure));
  }

  newPictures() {
    const { state, tokens } = this.run;
    const kinds = tokens.map(({ kind }) => kind);
    const slots = state.memory.dims[1];
    const pictures = [];
    const add = (title, note, valuesOf) => {
      const picture = new Picture(title, note, slots, tokens.length || 1, kinds);
      picture.figure.onpointermove = (event) => this.tell(picture.at(event));
      picture.figure.onclick = (event) => this.pauseAt(picture.at(event).time + 1);
      pictures.push(Object.assign(picture, { valuesOf, painted: 0 }));
    };
    for (const verb of ["write", "read"]) {
      const heads = headWeights(state, verb) ?? [];
      heads.forEach((_, head) => {
        const which = heads.length > 1 ? ` head ${head + 1}` : " head";
        const note = `Weights of the slots that it ${verb}s.`;
        add(`${verb === "write" ? "Write" : "Read"}${which}`, note, (step) => step[verb][head]);
      });
    }
    if (state.usage) add("Usage", "How far each slot is in use.", (step) => step.usage);
    return pictures;
  }

  tell({ time, row, value }) {
    const word = this.run.tokens[time]?.word;
    const place = `word ${time + 1} “${word}”, slot ${row + 1}`;
    const isRead = word !== undefined && !Number.isNaN(value);
    byId("pointed").textContent = isRead ? `${place}: ${value.toFixed(2)}` : "\u00a0";
  }

  async play() {
    if (this.position === this.run.tokens.length) this.begin(this.expected);
    this.setPlaying(true);
    const { run } = this;
    while (this.playing && run === this.run && this.position < run.tokens.length) {
      const wait = 1000 / Number(byId("speed").value);
      await Promise.all([
        this.goTo(this.position + 1),
        new Promise((resolve) => setTimeout(resolve, wait)),
      ]);
    }
    if (run === this.run) this.setPlaying(false);
  }

  pause() {
    this.setPlaying(false);
  }

  setPlaying(playing) {
    this.playing = playing;
    byId("play").textContent = playing ? "Pause" : "Play";
  }

  pauseAt(position) {
    this.pause();
    return this.goTo(position);
  }

  /** Read until `position` words are read, then show what happened at the last. */
  async goTo(position) {
    const { run } = this;
    const wanted = Math.min(Math.max(position, 0), run.tokens.length);
    this.wanted = wanted;
    await run.upTo(wanted);
    if (run !== this.run || this.wanted !== wanted) return;
    const isNew = wanted > this.position;
    this.show(wanted);
    if (isNew) this.announce();
  }

  show(position) {
    this.position = this.wanted = position;
    const slider = byId("position");
    slider.value = position;
    const { tokens } = this.run;
    const current = tokens[position - 1];
    const place = `${position} of ${tokens.length}`;
    slider.setAttribute("aria-valuetext", current ? `${place}: ${current.word}` : place);
    this.words.forEach((element, time) => this.showWord(element, time));
    this.showPictures();
    this.showAnswer();
    this.showReads();
  }

  showWord(element, time) {
    element.classList.toggle("ahead", time >= this.position);
    element.classList.toggle("current", time === this.position - 1);
    if (!this.run.tokens[time].isAnswer) return;
    const isRead = time < this.run.steps.length; // also if the slider has gone back
    element.disabled = !isRead;
    element.textContent = isRead ? this.answersAt(time)[0].word : "…";
  }

  showPictures() {
    for (const picture of this.pictures) {
      for (; picture.painted < this.position; picture.painted += 1) {
        const step = this.run.steps[picture.painted];
        picture.setColumn(picture.painted, picture.valuesOf(step));
      }
      picture.paint();
      picture.point(this.position ? this.position - 1 : null);
    }
  }

  answersAt(time) {
    return mostProbable(this.run.steps[time].logits, this.about.words, TOP);
  }

  /** Return the step of the last answer so far, or -1. */
  lastAnswer() {
    return this.run.tokens.findLastIndex((t, time) => t.isAnswer && time < this.position);
  }

  questionOf(time) {
    const said = this.run.stepsOf(time).map((step) => this.run.tokens[step]);
    return said.filter((t) => t.kind === "question").map((t) => t.word).join(" ");
  }

  /** Show the question and the most probable words of the last answer so far. */
  showAnswer() {
    const time = this.lastAnswer();
    const lines = [document.createElement("p")];
    lines[0].textContent = time < 0 ? "No question has been read yet." : this.questionOf(time);
    if (time >= 0) {
      const list = document.createElement("ol");
      list.append(...this.answersAt(time).map(bar));
      lines.push(list);
      const { expected } = this.run.tokens[time];
      if (expected) {
        lines.push(document.createElement("p"));
        lines[2].textContent = `Right answer: ${expected}`;
      }
    }
    byId("answer").replaceChildren(...lines);
  }

  announce() {
    const time = this.position - 1;
    if (!this.run.tokens[time].isAnswer) return;
    const [{ word, probability }] = this.answersAt(time);
    const percent = `${(100 * probability).toFixed(0)} percent`;
    byId("announcement").textContent = `${this.questionOf(time)} ${word}, ${percent}.`;
  }

  /** Show which words the heads read at this word, or during the question it ends. */
  showReads() {
    const time = this.position - 1;
    this.reads = time < 0 ? [] : this.run.readsAt(this.run.stepsOf(time));
    byId("reads-note").textContent = this.readsNote(time);
    const body = this.reads.map(({ from, to, head, share }) => {
      const cells = [
        this.nameOf(from),
        `${this.nameOf(to)} (word ${to + 1})`,
        head + 1,
        `${(100 * share).toFixed(0)} %`,
      ];
      const line = row("td", cells);
      Object.assign(line.dataset, { from, to, head, share });
      return line;
    });
    const titles = row("th", ["At", "Went back to", "Read head", "Share"]);
    byId("reads").replaceChildren(...(body.length ? [titles, ...body] : []));
    this.drawReads();
  }

  nameOf(time) {
    const { word, isAnswer } = this.run.tokens[time];
    return isAnswer ? "the answer" : word;
  }

  readsNote(time) {
    if (time < 0) return "Play the story, or choose one of its words.";
    if (!this.run.steps[time].shares.length) {
      return "The steps of this model do not return the weights of its write heads.";
    }
    const { isAnswer, word } = this.run.tokens[time];
    const when = isAnswer ? "During this question and its answer" : `At “${word}”`;
    if (!this.reads.length) return `${when}, no earlier word has a share of 5 % or more.`;
    return `${when}. The share is the part of what a head read that was written at that ` +
      "word. A slot may hold the whole sentence up to the word.";
  }

  drawReads() {
    if (!this.reads) return;
    const arcs = this.reads.map((read) => ({
      ...read,
      from: this.words[read.from],
      to: this.words[read.to],
    }));
    drawArcs(byId("arcs"), arcs);
    this.words.forEach((element) => element.classList.remove("source"));
    arcs.forEach(({ to }) => to.classList.add("source"));
    const heads = this.run.steps[0]?.shares.length ?? 0;
    byId("arc-legend").replaceChildren(...Array.from({ length: heads }, (_, head) => legend(head)));
  }
}

function bar({ word, probability }) {
  const item = document.createElement("li");
  item.dataset.word = word;
  item.dataset.probability = probability;
  const [name, track, number] = ["span", "span", "span"].map((tag) => document.createElement(tag));
  name.textContent = word;
  track.className = "track";
  track.style.setProperty("--share", probability);
  number.textContent = `${(100 * probability).toFixed(1)} %`;
  item.append(name, track, number);
  return item;
}

function row(tag, texts) {
  const line = document.createElement("tr");
  for (const text of texts) {
    const cell = document.createElement(tag);
    if (tag === "th") cell.scope = "col";
    cell.textContent = text;
    line.append(cell);
  }
  return line;
}

function legend(head) {
  const item = document.createElement("span");
  item.className = `legend head-${head}`;
  item.textContent = `read head ${head + 1}`;
  return item;
}
