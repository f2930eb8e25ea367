/** What the worker answers, put on the page. */

import type { About } from "../types";
import { broken, desk, outcome, refresh, sureOf, tell } from "./desk";
import { byId } from "./elements";
import type { Explained } from "./explained";
import { counted, megabytes } from "./format";
import { showNames } from "./lists";
import type { Engine, Response } from "./protocol";

/** Shows an answer; `look` is called for the photo that waited for the network. */
export function answered(response: Response, look: (explained: Explained) => void): void {
  switch (response.kind) {
    case "progress":
      return progressed(response.loaded, response.total);
    case "preparing":
      return prepared();
    case "opened":
      return opened(response.about, look);
    case "engine":
      return showEngine(response.engine);
    default:
      if (response.kind === "failed" && response.id === null) broken(response.message);
      else if (desk.current?.id === response.id) told(desk.current, response); // others are of a photo that is gone
  }
}

type OfPhoto = Extract<Response, { readonly id: number | null }>;

/** What the worker says of the photo on the page. */
function told(explained: Explained, response: OfPhoto): void {
  switch (response.kind) {
    case "looked":
      looked(explained, response);
      break;
    case "saliency":
      if (response.saliency) explained.saliency.set(response.index, response.saliency);
      break;
    case "objects":
      explained.objects.set(response.index, response.objects);
      break;
    case "done":
      done(explained);
      break;
    case "failed":
      explained.done = true;
      tell(response.message, "error");
  }
  refresh();
}

function looked(explained: Explained, response: Extract<OfPhoto, { readonly kind: "looked" }>): void {
  if (desk.about && desk.names.length === 0) desk.names = showNames(desk.about, response.logits.length);
  explained.logits = response.logits;
  explained.probabilities = response.probabilities;
  explained.classes = [...response.chosen];
  explained.selected ??= response.chosen[0];
  response.saliency.forEach((grid, k) => explained.saliency.set(response.chosen[k], grid));
  tell(`${sureOf(explained)}. Looking closer for outlines.`, "busy");
}

function done(explained: Explained): void {
  explained.done = true;
  const seconds = ((performance.now() - explained.begun) / 1000).toFixed(1);
  tell(`${outcome(explained)}. It took ${seconds} seconds.`, "done");
}

function progressed(loaded: number, total: number | null): void {
  const bar = byId<HTMLProgressElement>("progress");
  if (total === null) bar.removeAttribute("value");
  else bar.value = loaded / total;
  byId("amount").textContent = total === null ? megabytes(loaded) : `${megabytes(loaded)} of ${megabytes(total)}`;
}

function prepared(): void {
  byId("progress").removeAttribute("value");
  byId("amount").textContent = "";
  tell("Preparing the network.", "busy");
}

function opened(about: About, look: (explained: Explained) => void): void {
  desk.about = about;
  document.body.classList.add("opened");
  if (desk.current) look(desk.current);
  else tell("Drop, paste or choose a photo.", "done");
}

function showEngine({ name, threads, version }: Engine): void {
  const { about } = desk;
  const how = name === "WebGPU" ? name : `${name} in ${counted(threads, "thread")}`;
  byId("engine").textContent =
    `${about?.model ?? "The network"} runs on ${how}, with ONNX Runtime ${version}. Made by deepinside ${about?.version ?? ""}.`;
}
