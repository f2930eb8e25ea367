/** Begins a visit behind the service worker, which keeps files and allows several threads, see `service.ts`. */

const PATIENCE = 3000; // milliseconds; a page without it is better than none
const ONCE = "deepinside: behind the service worker";

/**
 * Registers the service worker. At the first visit, the page is loaded once more, before it has loaded anything large:
 * then true. Where there is no service worker, as over plain http, the page works without.
 */
export async function serve(): Promise<boolean> {
  const container = navigator.serviceWorker;
  if (!container) return false;
  try {
    await container.register("sw.js", { scope: "./" });
    if (container.controller || sessionStorage.getItem(ONCE)) return false;
    const isReady = await Promise.race([container.ready.then(() => true), after(PATIENCE)]);
    if (!isReady) return false;
    sessionStorage.setItem(ONCE, "true"); // a reload that goes around the service worker is not repeated
    location.reload();
    return true;
  } catch {
    return false; // a private window, or no storage
  }
}

function after(time: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), time));
}
