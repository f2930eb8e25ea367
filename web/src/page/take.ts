/** Takes photos: dropped, pasted, chosen, or taken with a phone. */

import { byId } from "./elements";

/** Calls `take` with each file that a visitor gives. */
export function takePhotos(take: (file: File) => void): void {
  for (const [button, input] of [["choose", "file"], ["take", "camera"]] as const) {
    const files = byId<HTMLInputElement>(input);
    byId(button).addEventListener("click", () => files.click());
    files.addEventListener("change", () => {
      const [file] = files.files ?? [];
      if (file) take(file);
      files.value = ""; // so that the same file can be chosen again
    });
  }
  dropped(take);
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) take(file);
  });
}

/** Files may be dropped anywhere: missing a target would leave the page. */
function dropped(take: (file: File) => void): void {
  let depth = 0; // enter and leave come for each element below the pointer
  const over = (change: number): void => {
    depth = Math.max(0, change === 0 ? 0 : depth + change);
    document.body.classList.toggle("over", depth > 0);
  };
  window.addEventListener("dragenter", () => over(1));
  window.addEventListener("dragleave", () => over(-1));
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    over(0);
    const file = [...(event.dataTransfer?.files ?? [])][0];
    if (file) take(file);
  });
}
