// The page: loads the models, and switches between its tabs.

import { CopyTab } from "./copy.js";
import { loadRuntime, StepModel } from "./model.js";
import { StoryTab } from "./story.js";

const FOLDER = new URL("built/", import.meta.url); // written by build.py

const byId = (id) => document.getElementById(id);

async function main() {
  const response = await fetch(new URL("demo.json", FOLDER));
  if (!response.ok) {
    byId("status").textContent = "";
    byId("missing").hidden = false;
    return;
  }
  const about = await response.json();
  const size = Math.round(about.bytes / 1e6);
  byId("status").textContent = `Loading the models and ONNX Runtime, ${size} MB …`;
  const ort = await loadRuntime(FOLDER);
  const [stories, copy] = await Promise.all(
    [about.stories, about.copy].map((entry) => StepModel.load(ort, entry, FOLDER)),
  );
  document.querySelector("#stories .model-name").textContent = about.stories.name;
  document.querySelector("#copy .model-name").textContent = about.copy.name;
  byId("demo").hidden = false;
  new StoryTab(stories);
  const copying = new CopyTab(copy);
  listenToTabs({ copy: () => copying.pattern ?? copying.copy() });
  byId("status").textContent = "";
}

/** Let tabs be chosen by mouse and arrow keys; `opened` are calls by panel. */
function listenToTabs(opened) {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const choose = (chosen) => {
    for (const tab of tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", isChosen);
      tab.tabIndex = isChosen ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = !isChosen;
    }
    chosen.focus();
    opened[chosen.getAttribute("aria-controls")]?.();
  };
  tabs.forEach((tab, number) => {
    tab.onclick = () => choose(tab);
    tab.onkeydown = ({ key }) => {
      const moves = { ArrowRight: 1, ArrowLeft: -1, Home: -number, End: -1 - number };
      if (key in moves) choose(tabs.at((number + moves[key]) % tabs.length));
    };
  });
}

main().catch((error) => {
  byId("status").textContent = `The demo could not be loaded: ${error.message}`;
  throw error;
});
