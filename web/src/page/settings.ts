/** What lies beside the page: its settings, and the example photo. */

/** What `page.json` says. Names are relative to the page. */
export interface Settings {
  readonly model: string;
  readonly example?: string;
  readonly title?: string;
}

/** The address of a file beside the page. */
export function addressOf(name: string): string {
  return new URL(name, location.href).href;
}

/** Reads `page.json`. Throws in one line where there is none. */
export async function settingsOf(): Promise<Settings> {
  const response = await fetch(addressOf("page.json")).catch(() => null);
  if (!response?.ok) throw new Error("Expected page.json beside this page, got none: export the network with --page.");
  try {
    return (await response.json()) as Settings;
  } catch {
    throw new Error("Expected JSON in page.json, got something else: export the network with --page again.");
  }
}

/** The example, or null where it is missing: then the page waits for a photo of the visitor. */
export async function exampleOf({ example }: Settings): Promise<Blob | null> {
  if (!example) return null;
  const response = await fetch(addressOf(example)).catch(() => null);
  return response?.ok ? response.blob() : null;
}
