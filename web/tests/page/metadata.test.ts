import { describe, expect, it } from "vitest";
import { aboutOf, metadataOf } from "../../src/metadata";
import { fileWith } from "./files";

// Both written by Python's `onnx`: an Identity, with a model version of 2^40; the second one with `set_model_props`.
const PLAIN =
  "CAkSCmRlZXBpbnNpZGUogICAgIAgOjcKEAoBeBIBeSIISWRlbnRpdHkSAWdaDwoBeBIKCggIARIECgIIAWIPCgF5EgoKCAgBEgQKAggBQgQKABAS";
const EXPORTED =
  PLAIN +
  "cgwKBW90aGVyEgPigKZykwIKCmRlZXBpbnNpZGUShAJ7ImZvcm1hdCI6IDEsICJ2ZXJzaW9uIjogIjIuMCIsICJtb2RlbCI6ICJ0aW55IiwgImxhYmVscyI6" +
  "IFsiS8Okc2UiLCAiY2F0Il0sICJ3bmlkcyI6IFtudWxsLCBudWxsXSwgInNpemUiOiBbNCwgNl0sICJzaXplcyI6IFtbNCwgNl1dLCAiaW5wdXQiOiAiZmxv" +
  "YXQzMiIsICJyZXNhbXBsZSI6ICJiaWN1YmljIiwgImxpbmsiOiAic29mdG1heCIsICJydWxlIjogImdyYWRpZW50IiwgImNvbnN0YW50cyI6IHsiY2xvc2Vy" +
  "IjogMn0sICJkcmF3cyI6IFswLjVdfQ==";

const bytes = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));

describe("the metadata of an ONNX file", () => {
  it("are those that Python's onnx wrote", () => {
    const found = metadataOf(bytes(EXPORTED));
    expect([...found.keys()]).toEqual(["other", "deepinside"]);
    expect(found.get("other")).toBe("…");
    expect(metadataOf(bytes(PLAIN)).size).toBe(0);
  });

  it("say what the network is", () => {
    const about = aboutOf(bytes(EXPORTED));
    expect(about.model).toBe("tiny");
    expect(about.labels).toEqual(["Käse", "cat"]);
    expect(about.size).toEqual([4, 6]);
    expect(about.constants).toEqual({ closer: 2 });
  });

  it.each([
    ["a file without them", bytes(PLAIN), /exported, got one without its metadata/],
    ["an empty file", new Uint8Array(), /without its metadata/],
    ["a page", new TextEncoder().encode("<!doctype html>"), /Expected an ONNX file, got something else/],
    ["half a file", bytes(EXPORTED).subarray(0, 120), /only a part of one/],
    ["a later format", fileWith("deepinside", '{"format": 2}'), /format 1 of an exported file, got 2/],
    ["no JSON", fileWith("deepinside", "{"), /Expected JSON/],
    ["another kind of JSON", fileWith("deepinside", "null"), /Expected an object/],
    ["too little", fileWith("deepinside", '{"format": 1}'), /Expected size, sizes, labels and input/],
  ])("are told in one line to be missing: %s", (_, file, message) => {
    expect(() => aboutOf(file)).toThrow(message);
  });

  it("may be long", () => {
    const value = "x".repeat(300_000);
    expect(metadataOf(fileWith("name", value)).get("name")).toBe(value);
  });
});
