/**
 * The service worker. It keeps what the page loads, so that the page opens without a connection, and it isolates the
 * page from other origins, which static hosts cannot do, and without which WebAssembly has one thread only.
 *
 * Files whose names or version tell their content come from the cache; the page, the network, the example and what names
 * them are asked for again, which a host answers briefly where nothing changed, and come from the cache without it.
 */

const scope = self as unknown as ServiceWorkerGlobalScope;
const folder = scope.registration.scope; // caches belong to a whole host, so their names begin with the folder
const own = `${folder} __VERSION__`;
const contents = `${folder} contents`;

scope.addEventListener("install", (event) => event.waitUntil(scope.skipWaiting()));
scope.addEventListener("activate", (event) => event.waitUntil(forget()));
scope.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(folder)) event.respondWith(answer(event).then(isolated));
});

/** Drops earlier versions in this folder. */
async function forget(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(`${folder} `) && name !== own && name !== contents) await caches.delete(name);
  }
}

async function answer(event: FetchEvent): Promise<Response> {
  const { request } = event;
  if (/^(assets|ort)\//.test(request.url.slice(folder.length))) {
    return (await (await caches.open(own)).match(request.url)) ?? asked(event, own, "default");
  }
  try {
    return await asked(event, contents, "no-cache");
  } catch (error) {
    const cached = await (await caches.open(contents)).match(request.url, { ignoreSearch: true });
    if (cached) return cached;
    throw error;
  }
}

/** From the host, and kept. Without room, it is not kept. */
async function asked(event: FetchEvent, into: string, cache: RequestCache): Promise<Response> {
  const { url } = event.request;
  const response = await fetch(url, { cache });
  if (response.ok) {
    const copy = response.clone();
    event.waitUntil(caches.open(into).then((store) => store.put(url, copy)).catch(() => undefined));
  }
  return response;
}

/** The same response, with the headers that isolate the page. */
function isolated(response: Response): Response {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

// A service worker's types, as far as they are used here: the library of types for pages has none.
interface ExtendableEvent {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface ServiceWorkerGlobalScope {
  readonly registration: { readonly scope: string };
  addEventListener(name: "install" | "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(name: "fetch", listener: (event: FetchEvent) => void): void;
  skipWaiting(): Promise<void>;
}

export {};
