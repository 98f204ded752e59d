// Heat maps over time: one pixel of a canvas for each value, scaled up by the browser.

const HEIGHT = 200; // CSS pixels, about, of a picture with many rows
const TALLEST_ROW = 12; // CSS pixels

/** Return the colours of a CSS variable as a list of [red, green, blue]. */
function colours(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name);
  return text
    .match(/#[0-9a-f]{6}/gi)
    .map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
}

/** Return the colour of a value from 0 to 1 on a scale of several colours. */
function onScale(scale, value) {
  const place = Math.min(Math.max(value, 0), 1) * (scale.length - 1);
  const below = Math.min(Math.floor(place), scale.length - 2);
  const [from, to] = [scale[below], scale[below + 1]];
  return from.map((part, channel) => part + (to[channel] - part) * (place - below));
}

export class Picture {
  /**
   * @param {string} title
   * @param {string} note What the picture shows, in a sentence.
   * @param {number} rows
   * @param {number} columns
   * @param {string[]|null} kinds For each column "statement", "question" or "answer",
   *   or `null` for no strip above the picture.
   */
  constructor(title, note, rows, columns, kinds = null) {
    Object.assign(this, { title, rows, columns });
    this.values = new Float32Array(rows * columns).fill(NaN);
    this.marked = new Set(); // cells that are wrong
    this.figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.innerHTML = "<strong></strong> <span></span>";
    caption.firstChild.textContent = title;
    caption.lastChild.textContent = note;
    this.area = document.createElement("div");
    this.area.className = "area";
    this.canvas = document.createElement("canvas");
    Object.assign(this.canvas, { width: columns, height: rows });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${title}. ${note}`);
    const height = Math.min(Math.max(Math.round(HEIGHT / rows), 1), TALLEST_ROW);
    this.canvas.style.height = `${rows * height}px`;
    this.cursor = document.createElement("div");
    this.cursor.className = "cursor";
    this.cursor.hidden = true;
    if (kinds) this.figure.append(caption, strip(kinds), this.area);
    else this.figure.append(caption, this.area);
    this.area.append(this.canvas, this.cursor);
  }

  /** Set one column; `values` are in [0, 1], one for each row. */
  setColumn(time, values) {
    values.forEach((value, row) => {
      this.values[row * this.columns + time] = value;
    });
  }

  /** Mark the cell of a row and a column as wrong. */
  mark(time, row) {
    this.marked.add(row * this.columns + time);
  }

  /** Paint all values in the colours of the page; columns without values are clear. */
  paint() {
    const scale = colours("--weights");
    const [wrong] = colours("--wrong");
    const image = new ImageData(this.columns, this.rows);
    this.values.forEach((value, cell) => {
      if (Number.isNaN(value)) return;
      const colour = this.marked.has(cell) ? wrong : onScale(scale, value);
      image.data.set([...colour, 255], 4 * cell);
    });
    this.canvas.getContext("2d").putImageData(image, 0, 0);
  }

  /** Outline the column of a step, or none for `null`. */
  point(time) {
    this.cursor.hidden = time === null;
    if (time === null) return;
    this.cursor.style.left = `${(100 * time) / this.columns}%`;
    this.cursor.style.width = `${100 / this.columns}%`;
  }

  /** Return the row, column and value under a mouse or finger. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (offset, size, count) =>
      Math.min(Math.max(Math.floor((offset / size) * count), 0), count - 1);
    const time = place(event.clientX - box.left, box.width, this.columns);
    const row = place(event.clientY - box.top, box.height, this.rows);
    return { time, row, value: this.values[row * this.columns + time] };
  }
}

function strip(kinds) {
  const line = document.createElement("div");
  line.className = "strip";
  line.ariaHidden = "true";
  for (const kind of kinds) {
    const cell = document.createElement("i");
    cell.className = kind;
    line.append(cell);
  }
  return line;
}

/** Call a function whenever the page turns light or dark. */
export function onColourChange(repaint) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}
