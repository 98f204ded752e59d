// Render the equations of a page, which pymdownx.arithmatex marks, with KaTeX.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof katex === "undefined") return; // not built: the page shows TeX
  for (const element of document.querySelectorAll(".arithmatex")) {
    const source = element.textContent.trim();
    const displayMode = source.startsWith("\\[");
    const tex = source.replace(/^\\[[(]/, "").replace(/\\[\])]$/, "");
    katex.render(tex, element, { displayMode, throwOnError: false });
  }
});
