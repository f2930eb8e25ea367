/** The page: takes photos, asks the worker, and shows what it answers. */

import { answered } from "./answers";
import { coco } from "./coco";
import { decode, type Photo } from "./decode";
import { broken, desk, publish, refresh, select, style, tell, views } from "./desk";
import { byId } from "./elements";
import { boxesOf, shownClasses, unexplained, type Explained } from "./explained";
import { classOf, nameOf, stem } from "./format";
import type { Request, Response } from "./protocol";
import { save, viewOf } from "./saving";
import { serve } from "./serve";
import { addressOf, exampleOf, settingsOf } from "./settings";
import { drawLegend, mark, showPhoto } from "./stage";
import { takePhotos } from "./take";

let worker: Worker | null = null;
let turn = 0; // the number of the photo that came last

void begin();

async function begin(): Promise<void> {
  document.body.classList.add("started");
  publish();
  drawLegend();
  if (await serve()) return;
  listen();
  worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Response>) => answered(data, look));
  worker.addEventListener("error", () => broken("Expected a browser with WebAssembly and module workers, got another one."));
  try {
    const settings = await settingsOf();
    if (settings.title) document.title = byId("title").textContent = settings.title;
    ask({ kind: "open", model: addressOf(settings.model), page: location.href, thrifty: isThrifty() });
    const file = await exampleOf(settings);
    if (file && turn === 0) await take(file, settings.example ?? ""); // a visitor may have been faster
  } catch (error) {
    broken(lineOf(error));
  }
}

function ask(request: Request): void {
  worker?.postMessage(request);
}

/** Whether the visitor pays for bytes: then nothing is loaded that is not needed. */
function isThrifty(): boolean {
  return Boolean((navigator as { connection?: { saveData?: boolean } }).connection?.saveData);
}

/** A new photo. One that cannot be read leaves the photo before it. */
async function take(file: Blob, name: string): Promise<void> {
  const id = ++turn;
  let photo: Photo;
  try {
    photo = await decode(file, name);
  } catch (error) {
    if (id === turn) tell(lineOf(error), "error");
    return;
  }
  if (id !== turn) return;
  desk.current = unexplained(id, photo);
  showPhoto(photo);
  byId("classes").replaceChildren();
  refresh();
  if (desk.about) look(desk.current);
}

/** Has the network look at the photo. */
function look(explained: Explained): void {
  const { id, photo } = explained;
  explained.begun = performance.now();
  tell(`Looking at ${photo.name}.`, "busy");
  ask({ kind: "photo", id, picture: photo.picture });
}

/** Shows a class that is perhaps not in the list. */
function askFor(typed: string): void {
  const { about, current, names } = desk;
  if (!current || !about || typed.trim() === "") return;
  const index = classOf(names, typed);
  if (index === null) return tell(`Expected the name of one class, got “${typed}”, which is none, or several.`, "error");
  byId<HTMLInputElement>("other").value = "";
  if (!current.classes.includes(index)) {
    current.classes.push(index);
    current.done = false;
    current.begun = performance.now();
    tell(`Looking for ${nameOf(about, index)}.`, "busy");
    ask({ kind: "class", id: current.id, index });
  }
  select(index);
}

function listen(): void {
  takePhotos((file) => void take(file, file.name));
  byId("classes").addEventListener("click", ({ target }) => {
    const button = (target as Element).closest("button");
    if (button) select(Number(button.dataset.index));
  });
  byId("classes").addEventListener("keydown", stepped);
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    askFor(byId<HTMLInputElement>("other").value);
  });
  byId("other").addEventListener("change", ({ target }) => {
    const { value } = target as HTMLInputElement;
    if (desk.names.includes(value)) askFor(value); // chosen from the list
  });
  byId("second").addEventListener("change", ({ target }) => {
    const { value } = target as HTMLSelectElement;
    if (desk.current) desk.current.second = value === "" ? null : Number(value);
    refresh();
  });
  byId("controls").addEventListener("input", refresh);
  for (const name of ["pointerover", "pointerout"]) byId("objects").addEventListener(name, marked);
  byId("save-view").addEventListener("click", saveView);
  byId("save-boxes").addEventListener("click", saveBoxes);
}

/** Arrow keys go through the classes. */
function stepped(event: KeyboardEvent): void {
  const buttons = [...byId("classes").querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
  const [before, after] = [at - 1, at + 1];
  const places: Readonly<Record<string, number>> = {
    ArrowUp: before,
    ArrowLeft: before,
    ArrowDown: after,
    ArrowRight: after,
    Home: 0,
    End: buttons.length - 1,
  };
  const button = buttons[places[event.key] ?? -1];
  if (!button) return;
  event.preventDefault();
  button.focus();
  select(Number(button.dataset.index));
}

/** The object below the pointer in the table is marked in the photo. */
function marked(event: Event): void {
  const row = event.type === "pointerover" ? (event.target as Element).closest<HTMLElement>("tr[data-object]") : null;
  mark(row ? Number(row.dataset.object) : null);
}

function saveView(): void {
  const { current } = desk;
  if (!current) return;
  viewOf(views(current), style()).toBlob((content) => {
    if (content) save(content, `${stem(current.photo.name)}-seen.png`);
    else tell("Expected room for a picture of the view, but the browser has none.", "error");
  });
}

function saveBoxes(): void {
  const { about, current } = desk;
  if (!about || !current) return;
  const { name, width, height } = current.photo;
  const found = shownClasses(current).flatMap((index) => boxesOf(current, about, index));
  save(new Blob([coco(name, width, height, found)], { type: "application/json" }), `${stem(name)}-boxes.json`);
}

function lineOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
