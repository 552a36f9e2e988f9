// The foot of each page: which version this is, its documents, and what programs may read.

import { el } from "./elements.js";
import { VERSION } from "./version.js";

const LINKS = [
  ["Documents", [
    ["/docs/endings.md", "How connections end"],
    ["/docs/sessions.md", "Sessions, the backend and the API"],
    ["/docs/browsers.md", "What each browser does"],
  ]],
  ["For programs", [
    ["/endings", "Endings as JSON"],
    ["/sessions", "Sessions as JSON"],
    ["/metrics", "Metrics"],
  ]],
];

export function addFooter() {
  const groups = LINKS.map(([title, links]) => el("div", "", el("h2", "", title),
    el("ul", "", ...links.map(([path, text]) => el("li", "", link(path, text))))));
  const name = el("p", "", el("span", "wordmark", "Adieu"), " ", el("span", "version", VERSION));
  document.querySelector("main").after(el("footer", "footer", name, ...groups));
}

function link(path, text) {
  const node = el("a", "", text);
  node.href = path;
  return node;
}
