// Text as tokens, and what the heads read: rules of keras_dnc, written in JavaScript.

const TOKEN = /[\p{L}\p{N}_'-]+|[.?]/gu; // keras_dnc.tasks.babi.tokenize

/**
 * Encode a text as the model reads it.
 *
 * Each question is followed by blanks, on which the model may think, and by one answer
 * token for each word of the answer: those that the text has, at least one.
 *
 * @param {string} text
 * @param {object} model `stories` of demo.json: `words`, `unknown`, `answer`, `blank`,
 *   `thinking_steps`.
 * @returns {object[]} For each token: `word`, `index` in the vocabulary, `line` of the
 *   story, and `kind`, one of "statement", "question" and "answer".
 */
export function encode(text, model) {
  const words = withAnswers(text.toLowerCase().match(TOKEN) ?? [], model);
  const tokens = [];
  let line = 0;
  words.forEach((word, time) => {
    const before = words[time - 1];
    const isAnswer = word === model.answer;
    if (before === "." || (before === model.answer && !isAnswer)) line += 1;
    const known = model.words.indexOf(word);
    const index = known < 0 ? model.unknown : known;
    tokens.push({ word, index, line, isAnswer, isUnknown: known < 0 });
  });
  const questions = new Set(tokens.filter((t) => t.word === "?").map((t) => t.line));
  for (const token of tokens) {
    const said = questions.has(token.line) ? "question" : "statement";
    token.kind = token.isAnswer ? "answer" : said;
  }
  return tokens;
}

function withAnswers(words, model) {
  const found = [];
  words.forEach((word, time) => {
    found.push(word);
    if (word !== "?") return;
    found.push(...Array(model.thinking_steps).fill(model.blank));
    if (words[time + 1] !== model.answer) found.push(model.answer);
  });
  return found;
}

/** Return the last words of the lines of a text that no `.` or `?` ends. */
export function unfinishedLines(text) {
  const lines = text.split("\n").map((line) => line.match(TOKEN) ?? []);
  const last = lines.map((tokens) => tokens.findLast((token) => token !== "-"));
  return last.filter((token) => token && !".?".includes(token));
}

/** Return the characters of a text, each once, that are part of no token. */
export function ignoredCharacters(text) {
  return [...new Set(text.replace(TOKEN, "").replace(/\s/g, ""))];
}

/**
 * Return the most probable words.
 *
 * @param {Float32Array} logits One number for each word.
 * @param {string[]} words
 * @param {number} count
 * @returns {{word: string, probability: number}[]} In falling order.
 */
export function mostProbable(logits, words, count) {
  const highest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - highest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return words
    .map((word, index) => ({ word, probability: powers[index] / total }))
    .sort((one, other) => other.probability - one.probability)
    .slice(0, count);
}

/**
 * From which earlier steps the heads read, as keras_dnc.inspect.views.steps_read.
 *
 * A write of weight w replaces the fraction w of what a slot holds.
 */
export class StepsRead {
  /** @param {number} slots Number of slots of the memory. */
  constructor(slots) {
    this.held = Array.from({ length: slots }, () => []); // fractions, for each slot
  }

  /**
   * Add a step.
   *
   * @param {Float32Array[]} write One array of weights for each write head.
   * @param {Float32Array[]} read One array of weights for each read head.
   * @returns {number[][]} For each read head, the fraction of what it reads that was
   *   written at each step so far, this one included.
   */
  add(write, read) {
    this.held = this.held.map((fractions, slot) => {
      const written = Math.min(write.reduce((sum, head) => sum + head[slot], 0), 1);
      return [...fractions.map((fraction) => fraction * (1 - written)), written];
    });
    const steps = this.held[0].map((_, time) => time);
    const share = (head, time) =>
      this.held.reduce((sum, held, slot) => sum + head[slot] * held[time], 0);
    return read.map((head) => steps.map((time) => share(head, time)));
  }
}
