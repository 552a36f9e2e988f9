// The other page. It has no socket. It asks what became of the one that was left.

import { tab } from "./accounts.js";
import { $ } from "./elements.js";
import { addFooter } from "./footer.js";
import { clock, sentenceOf, who } from "./words.js";

const ASK_EVERY_MS = 1000;

async function askAboutTheLeft() {
  try {
    const answer = await fetch(`/endings?tab=${encodeURIComponent(tab)}`, { cache: "no-store" });
    const { open, ended } = await answer.json();
    show(open[0], ended[0]);
  } catch {
    $("verdict").textContent = "The server does not answer.";
  }
  setTimeout(askAboutTheLeft, ASK_EVERY_MS);
}

function show(open, ended) {
  if (open) {
    $("verdict").textContent = `Connection #${open.id} is still open.`;
    $("verdict-detail").textContent =
      "The page sleeps, its socket does not: the server has been told nothing.";
  } else if (ended) {
    const text = sentenceOf(ended.ending.sentence, who(ended));
    // Written anew, the same text would be read out again.
    if ($("verdict").textContent !== text) $("verdict").textContent = text;
    $("verdict-detail").textContent = `Connection #${ended.id}, ${clock(ended.endedAt)}.`;
  } else {
    $("verdict").textContent = "It knows no connection of this tab.";
  }
}

$("back").addEventListener("click", () => window.history.back());
addFooter();
askAboutTheLeft();
