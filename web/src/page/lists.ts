/** The lists beside the photo: classes with their probabilities, and objects with their boxes. */

import type { About } from "../types";
import type { Boxed } from "./coco";
import { byId, element } from "./elements";
import type { Explained } from "./explained";
import { counted, nameOf, percent, uniqueNames } from "./format";

/** Shows the classes. Buttons that stay keep the focus, so only what changed is made anew. */
export function showClasses(explained: Explained, about: About): void {
  const list = byId<HTMLUListElement>("classes");
  const known = [...list.querySelectorAll("button")].map(({ dataset }) => dataset.index).join();
  if (known !== explained.classes.join()) {
    list.replaceChildren(...explained.classes.map((index) => entry(about, index)));
  }
  for (const button of list.querySelectorAll("button")) {
    const index = Number(button.dataset.index);
    const share = explained.probabilities[index];
    button.setAttribute("aria-pressed", String(index === explained.selected));
    button.style.setProperty("--share", `${100 * share}%`);
    button.querySelector(".share")!.textContent = percent(share);
  }
  showSeconds(explained, about);
}

function entry(about: About, index: number): HTMLLIElement {
  const item = element("li");
  const button = element("button");
  button.type = "button";
  button.dataset.index = String(index);
  button.append(element("span", nameOf(about, index), "name"), element("span", "", "share"), element("span", "", "bar"));
  item.append(button);
  return item;
}

/** The classes to compare with: those of the list, but for the selected one. */
function showSeconds(explained: Explained, about: About): void {
  const select = byId<HTMLSelectElement>("second");
  const options = explained.classes.filter((index) => index !== explained.selected);
  select.replaceChildren(option("", "with nothing"), ...options.map((index) => option(String(index), `with ${nameOf(about, index)}`)));
  select.value = explained.second === null ? "" : String(explained.second);
  select.disabled = options.length === 0;
}

function option(value: string, text: string): HTMLOptionElement {
  const made = element("option", text);
  made.value = value;
  return made;
}

/** Fills the list of names once, for the box to pick any class. Returns the names. */
export function showNames(about: About, count: number): string[] {
  const names = uniqueNames(about, count);
  byId("names").replaceChildren(...names.map((name) => option(name, "")));
  return names;
}

/** Shows the objects of a class, or that they are still looked for (`found` is null). */
export function showObjects(label: string, found: readonly Boxed[] | null): void {
  const caption = byId("objects-caption");
  const body = byId<HTMLTableElement>("objects").tBodies[0];
  caption.textContent = found === null ? "Looking closer for outlines …" : `Where it is: ${counted(found.length, "object")} of ${label}`;
  body.replaceChildren(...(found ?? []).map((one, k) => row(one, k + 1)));
  byId("objects").classList.toggle("empty", !found?.length);
}

function row({ confidence, box }: Boxed, number: number): HTMLTableRowElement {
  const made = element("tr");
  made.dataset.object = String(number);
  const numbers = [box.x0, box.y0, box.x1, box.y1].map(String);
  const head = element("th", String(number));
  head.scope = "row";
  made.append(head, ...[percent(confidence), ...numbers].map((text) => element("td", text)));
  return made;
}
