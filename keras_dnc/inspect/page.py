"""The HTML page of a report: controls at the top, panels, and their script."""

import html
import json
import string
from collections.abc import Sequence

_PAGE = string.Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { margin: 0; font-family: "Open Sans", Verdana, sans-serif; color: #222; }
header { position: sticky; top: 0; z-index: 10; padding: 8px 24px; background: #fff;
  border-bottom: 1px solid #ccc; box-shadow: 0 2px 6px #0002; }
h1 { margin: 0 0 6px; font-size: 18px; }
.controls { display: flex; align-items: center; gap: 8px; }
.controls input { flex: 1; }
.controls output { min-width: 11em; font-weight: bold; }
button { padding: 4px 10px; border: 1px solid #999; border-radius: 4px;
  background: #f4f4f4; font: inherit; cursor: pointer; }
nav { display: flex; flex-wrap: wrap; gap: 3px; margin-top: 6px; max-height: 84px;
  overflow-y: auto; }
nav button { padding: 1px 6px; border-color: #ddd; background: #fff; }
nav button[aria-current] { border-color: #222; background: #222; color: #fff; }
</style>
</head>
<body>
<header>
<h1>$title</h1>
<div class="controls">
<button id="play" title="Space">Play</button>
<button id="back" title="Left arrow">&#9664;</button>
<button id="next" title="Right arrow">&#9654;</button>
<input id="step" type="range" min="0" max="$last" value="$first" aria-label="step">
<output id="now"></output>
</div>
<nav id="tokens">$tokens</nav>
</header>
$figure
<script>
const names = $names;
const page = document.querySelector(".plotly-graph-div");
const [play, slider, now] = ["play", "step", "now"].map(
  id => document.getElementById(id));
const tokens = document.querySelectorAll("#tokens button");
let timer = null;

function label(step) {
  slider.value = step;
  now.textContent = "step " + names[step];
  tokens.forEach((token, place) =>
    place == step ? token.setAttribute("aria-current", "step")
      : token.removeAttribute("aria-current"));
}

function show(step) {
  label(Math.min(Math.max(step, 0), names.length - 1));
  return Plotly.animate(page, [slider.value], {
    mode: "immediate", transition: {duration: 0},
    frame: {duration: 0, redraw: true}});
}

function pause() {
  clearInterval(timer);
  timer = null;
  play.textContent = "Play";
}

function toggle() {
  if (timer) return pause();
  play.textContent = "Pause";
  if (+slider.value == names.length - 1) show(0);
  timer = setInterval(() => {
    show(+slider.value + 1);
    if (+slider.value == names.length - 1) pause();
  }, 500);
}

function jump(step) {
  pause();
  return show(step);
}

play.onclick = toggle;
slider.oninput = () => jump(+slider.value);
document.getElementById("back").onclick = () => jump(+slider.value - 1);
document.getElementById("next").onclick = () => jump(+slider.value + 1);
tokens.forEach((token, place) => { token.onclick = () => jump(place); });
document.addEventListener("keydown", event => {
  if (event.target == slider || event.target.tagName == "BUTTON") return;
  if (event.key == "ArrowLeft") jump(+slider.value - 1);
  if (event.key == "ArrowRight") jump(+slider.value + 1);
  if (event.key == " ") { event.preventDefault(); toggle(); }
});
label($first);
</script>
</body>
</html>
""")


def page_of(
    figure: str, title: str, steps: int, labels: Sequence[str] | None, first: int
) -> str:
    """Build the page of a report.

    Args:
        figure: HTML of a plotly figure with a frame for each step, named `"0"`, `"1"`
            and so on.
        title: Title of the page.
        steps: Number of steps.
        labels: Tokens, one for each step, or `None`.
        first: Index of the step that the figure shows when the page is opened.

    Returns:
        HTML. The controls stick to the top of the window: a slider, a play button, and
        a button for each token.

    Example:
        >>> page = page_of("<div></div>", "A < B", 2, ["yes", "no"], first=1)
        >>> "A &lt; B" in page, "<button>yes</button>" in page
        (True, True)
    """
    names = [str(step) for step in range(steps)]
    if labels is not None:
        names = [f"{step}: {label}" for step, label in enumerate(labels)]
    buttons = [f"<button>{html.escape(label)}</button>" for label in labels or ()]
    return _PAGE.substitute(
        title=html.escape(title),
        tokens="".join(buttons),
        figure=figure,
        # A label must not end the script.
        names=json.dumps(names).replace("<", "\\u003c"),
        last=steps - 1,
        first=first,
    )
