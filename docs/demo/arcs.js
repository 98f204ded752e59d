// Arcs from the words at which the heads read to the words whose slots they read.

const NAMESPACE = "http://www.w3.org/2000/svg";
const RISE = 26; // pixels, at most, that an arc within a line rises above it
const THICKEST = 7; // pixels, of an arc that has the whole share
const APART = 4; // pixels between arcs of different heads

/**
 * Draw arcs over a text.
 *
 * @param {SVGElement} drawing It covers the text.
 * @param {{from: Element, to: Element, head: number, share: number}[]} arcs
 */
export function drawArcs(drawing, arcs) {
  const origin = drawing.getBoundingClientRect();
  drawing.replaceChildren(
    ...arcs.map(({ from, to, head, share }) => {
      const path = document.createElementNS(NAMESPACE, "path");
      path.setAttribute("d", curve(placeOf(from, origin, head), placeOf(to, origin, head)));
      path.setAttribute("stroke-width", 1.5 + share * THICKEST);
      path.setAttribute("class", `head-${head}`);
      return path;
    }),
  );
}

function placeOf(element, origin, head) {
  const box = element.getBoundingClientRect();
  const x = box.left + box.width / 2 - origin.left + APART * head;
  return { x, top: box.top - origin.top, bottom: box.bottom - origin.top };
}

/** Return the path of an arc: over a line, or from one line up to an earlier one. */
function curve(from, to) {
  if (to.bottom > from.top) {
    const rise = Math.min(Math.abs(from.x - to.x) / 3, RISE);
    const [start, end] = [from.top, to.top];
    return `M${from.x},${start} C${from.x},${start - rise} ${to.x},${end - rise} ${to.x},${end}`;
  }
  const bend = Math.max((from.top - to.bottom) / 2, 12);
  return (
    `M${from.x},${from.top} C${from.x},${from.top - bend} ` +
    `${to.x},${to.bottom + bend} ${to.x},${to.bottom}`
  );
}
