/** Loads files, and tells how far it is. */

/** Told after each piece: bytes so far, and all of them where the host says so. */
export type Told = (loaded: number, total: number | null) => void;

/** All files at once; `told` hears of all together. */
export async function load(addresses: readonly string[], told: Told): Promise<ArrayBuffer[]> {
  const loaded = addresses.map(() => 0);
  const totals: (number | null)[] = addresses.map(() => 0);
  const sum = (values: readonly number[]): number => values.reduce((one, other) => one + other, 0);
  const parts = await Promise.all(addresses.map((address) => asked(address)));
  parts.forEach((response, k) => (totals[k] = lengthOf(response)));
  const total = totals.every((value) => value !== null) ? sum(totals as number[]) : null;
  return Promise.all(
    parts.map((response, k) =>
      read(response, (count) => {
        loaded[k] = count;
        told(sum(loaded), total === null || sum(loaded) > total ? null : total);
      }),
    ),
  );
}

async function asked(address: string): Promise<Response> {
  const name = address.split("/").pop() ?? address;
  let response: Response;
  try {
    response = await fetch(address);
  } catch {
    throw new Error(`Expected the file ${name} beside the page, but the host does not answer: is there a connection?`);
  }
  if (!response.ok) throw new Error(`Expected the file ${name} beside the page, but the host answered ${response.status}.`);
  return response;
}

/** The length of the file, unless it is sent compressed: then the host tells another one. */
function lengthOf(response: Response): number | null {
  const length = Number(response.headers.get("Content-Length"));
  return length > 0 && !response.headers.get("Content-Encoding") ? length : null;
}

async function read(response: Response, told: (count: number) => void): Promise<ArrayBuffer> {
  if (!response.body) return response.arrayBuffer();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let count = 0;
  const reader = response.body.getReader();
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    pieces.push(step.value);
    count += step.value.length;
    told(count);
  }
  return new Blob(pieces).arrayBuffer();
}
