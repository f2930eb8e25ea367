/** What lies on the page, and how it is shown. */

import type { About } from "../types";
import { byId } from "./elements";
import { boxesOf, shownClasses, type Explained } from "./explained";
import { counted, nameOf, percent } from "./format";
import { showClasses, showObjects } from "./lists";
import { show, type Mode, type Shown, type Style } from "./stage";

/** The network, once it is open, and the photo. */
export const desk: {
  about: About | null;
  names: string[]; // of all classes, each once
  current: Explained | null;
} = { about: null, names: [], current: null };

/** Shows all that is known. */
export function refresh(): void {
  const { about, current } = desk;
  if (!current) return;
  const index = about ? current.selected : null;
  if (about && index !== null) {
    const isLooked = current.done || current.objects.has(index);
    showClasses(current, about);
    showObjects(nameOf(about, index), isLooked ? boxesOf(current, about, index) : null);
  }
  const [first, second] = views(current);
  show(first, second ?? null, style());
  for (const id of ["other", "look", "save-view"]) byId<HTMLInputElement>(id).disabled = index === null;
  byId<HTMLButtonElement>("save-boxes").disabled = foundOf(current) === 0;
  document.body.classList.toggle("explained", index !== null);
  publish();
}

/** What the views show: one class, or two. */
export function views(explained: Explained): Shown[] {
  const { photo, probabilities, saliency, objects } = explained;
  const { about } = desk;
  const classes = shownClasses(explained);
  if (!about || classes.length === 0) return [{ photo, title: "", saliency: null, objects: null }];
  return classes.map((index) => ({
    photo,
    title: `${nameOf(about, index)} ${percent(probabilities[index])}`,
    saliency: saliency.get(index) ?? null,
    objects: objects.get(index) ?? null,
  }));
}

/** How they show it: what the controls say. */
export function style(): Style {
  const mode = document.querySelector<HTMLInputElement>("input[name=mode]:checked")?.value;
  return {
    mode: mode as Mode,
    opacity: Number(byId<HTMLInputElement>("opacity").value) / 100,
    outlines: byId<HTMLInputElement>("show-outlines").checked,
    boxes: byId<HTMLInputElement>("show-boxes").checked,
  };
}

/** Shows another class. What it is compared with stays; where that is the same, the two change places. */
export function select(index: number): void {
  const { current } = desk;
  if (!current) return;
  if (current.second === index) current.second = current.selected;
  current.selected = index;
  refresh();
  if (current.done || current.objects.has(index)) tell(`${outcome(current)}.`, "done");
}

/** The selected class and its probability. */
export function sureOf({ selected, probabilities }: Explained): string {
  return desk.about && selected !== null ? `${nameOf(desk.about, selected)}, ${percent(probabilities[selected])}` : "";
}

/** The same, and how many objects of it were found. */
export function outcome(explained: Explained): string {
  return `${sureOf(explained)}: ${counted(foundOf(explained), "object")}`;
}

function foundOf({ objects, selected }: Explained): number {
  return selected === null ? 0 : (objects.get(selected)?.length ?? 0);
}

/** Says in one line what happens; screen readers say it too. */
export function tell(text: string, state: "busy" | "done" | "error"): void {
  const status = byId("status");
  status.textContent = text;
  status.dataset.state = state;
  byId("stage").setAttribute("aria-busy", String(state === "busy"));
}

/** Says that nothing works: without a network, there is nothing to do. */
export function broken(message: string): void {
  document.body.classList.add("broken");
  tell(message, "error");
}

/** The last result's numbers, for tests. */
export function publish(): void {
  const { current } = desk;
  (window as unknown as { deepinside: unknown }).deepinside = { last: current && lastOf(current) };
}

function lastOf(explained: Explained): unknown {
  const { photo, logits, probabilities, classes, saliency, objects, selected, second, done } = explained;
  const { name, width, height } = photo;
  const { about } = desk;
  const boxes = about ? [...objects.keys()].flatMap((index) => boxesOf(explained, about, index)) : [];
  return { photo: name, width, height, logits, probabilities, classes, saliency, boxes, selected, second, done };
}
