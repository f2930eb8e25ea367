/** The page's elements. */

/** The element with this id, which `index.html` has. */
export function byId<T extends Element = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`Expected an element with the id ${id} in the page.`);
  return found as unknown as T;
}

/** A new element with text, and perhaps a class of styles. */
export function element<K extends keyof HTMLElementTagNameMap>(tag: K, text = "", style = ""): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.textContent = text;
  if (style) made.className = style;
  return made;
}

/** A new element of SVG with attributes. */
export function shape(tag: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}
