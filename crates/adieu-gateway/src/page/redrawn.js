// Lists of cards of which only what has changed is redrawn, so that nobody loses the focus, or the
// button between press and release. An item is { key, signature, open, build }.

import { placeAt } from "./elements.js";

export class Redrawn {
  #drawn = new Map(); // key -> { node, signature }, for all lists
  #unfolded; // what the visitor folded or unfolded by hand
  #first = true;

  constructor(unfolded) {
    this.#unfolded = unfolded;
  }

  reconcile(list, items) {
    const keys = new Set(items.map((item) => item.key));
    for (const node of [...list.children]) if (!keys.has(node.dataset.key)) node.remove();
    items.forEach((item, i) => {
      const old = this.#drawn.get(item.key);
      if (old?.signature === item.signature) {
        placeAt(list, old.node, i);
        this.#followDefault(old.node, item);
      } else {
        this.#replace(list, item, i, old?.node);
      }
    });
  }

  // All lists are drawn; what is in none of them is forgotten.
  done(items) {
    const keys = new Set(items.map((item) => item.key));
    for (const key of [...this.#drawn.keys()]) if (!keys.has(key)) this.#drawn.delete(key);
    this.#first = false;
  }

  #replace(list, item, i, old) {
    const focused = old?.contains(document.activeElement);
    const node = item.build();
    node.dataset.key = item.key;
    if (!old && !this.#first) node.classList.add("fresh");
    old?.remove();
    this.#drawn.set(item.key, { node, signature: item.signature });
    placeAt(list, node, i);
    if (focused) node.querySelector("summary, button").focus();
  }

  // A card that was unfolded only because it was among the newest folds when newer ones come.
  #followDefault(node, item) {
    if (item.open !== undefined && !this.#unfolded.has(item.key) && node.open && !item.open) {
      if (!node.contains(document.activeElement)) node.open = false;
    }
  }
}
