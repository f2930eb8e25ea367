/** What an ONNX file says of itself. onnxruntime-web does not show a file's metadata, so they are read from its bytes. */

import type { About } from "./types";

const KEY = "deepinside";
const METADATA_PROPS = 14; // of ModelProto
const NAME = 1; // of StringStringEntryProto
const VALUE = 2;

/** What deepinside wrote into the file. Throws in one line for other files. */
export function aboutOf(bytes: Uint8Array): About {
  const text = metadataOf(bytes).get(KEY);
  if (text === undefined) {
    throw new Error("Expected an ONNX file that deepinside exported, got one without its metadata: export it again.");
  }
  return checked(parsed(text));
}

/** All metadata of an ONNX file: the entries of `metadata_props`. Throws for what is no ONNX file. */
export function metadataOf(bytes: Uint8Array): Map<string, string> {
  const found = new Map<string, string>();
  for (const { field, content } of fields(bytes)) {
    if (field !== METADATA_PROPS || content === null) continue;
    let name = "";
    let value = "";
    for (const part of fields(content)) {
      if (part.content === null) continue;
      if (part.field === NAME) name = text(part.content);
      if (part.field === VALUE) value = text(part.content);
    }
    found.set(name, value);
  }
  return found;
}

interface Field {
  readonly field: number;
  readonly content: Uint8Array | null; // of length-delimited fields
}

/** The fields of a protobuf message, one level deep: the network itself, megabytes long, is stepped over. */
function* fields(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= bytes.length) break;
      const byte = bytes[at++];
      value += (byte & 0x7f) * 2 ** shift; // lengths exceed 31 bits, so no shifts
      if (byte < 0x80) return value;
    }
    throw noFile();
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    const kind = tag % 8;
    let content: Uint8Array | null = null;
    if (field === 0) throw noFile();
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = varint();
      content = bytes.subarray(at, at + length);
      at += length;
    } else throw noFile();
    if (at > bytes.length) throw noFile();
    yield { field, content };
  }
}

function noFile(): Error {
  return new Error("Expected an ONNX file, got something else or only a part of one.");
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new Error("Expected JSON in the file's metadata of deepinside, got something else: export it again.");
  }
}

/** The metadata, if this version understands them. */
function checked(value: unknown): About {
  const about = value as Partial<About> | null;
  if (typeof about !== "object" || about === null) throw new Error("Expected an object in the file's metadata of deepinside.");
  if (about.format !== 1) {
    const got = String(about.format);
    throw new Error(`Expected format 1 of an exported file, got ${got}: use the page of the deepinside that exported it.`);
  }
  const isSize = Array.isArray(about.size) && about.size.length === 2;
  if (!isSize || !Array.isArray(about.sizes) || !Array.isArray(about.labels) || typeof about.input !== "string") {
    throw new Error("Expected size, sizes, labels and input in the file's metadata of deepinside: export it again.");
  }
  return about as About;
}
