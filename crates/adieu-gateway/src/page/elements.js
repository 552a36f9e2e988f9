// Small builders of elements. Everything a peer said goes through them as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function icon(name, className = "icon") {
  const box = { class: className, "aria-hidden": "true", focusable: "false" };
  return svg("svg", box, svg("use", { href: "#" + name }));
}

// Moves a node only if it stands elsewhere: a node that is moved loses its focus.
export function placeAt(list, node, i) {
  if (list.children[i] !== node) list.insertBefore(node, list.children[i] ?? null);
}
