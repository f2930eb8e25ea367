/** Builds the page into `dist`, and with `--mode library` the module for Node programs beside it. */

import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const RUNTIME = resolve(import.meta.dirname, "node_modules/onnxruntime-web/dist");
const PUBLIC = resolve(import.meta.dirname, "public");
// WebAssembly for every browser, and WebGPU for those that can wait inside WebAssembly (JSPI). The scripts are called
// .js, since some hosts do not know .mjs, and a browser runs a module only if its type is right.
const COPIES: readonly (readonly [string, string])[] = [
  ["ort.wasm.min.mjs", "ort.wasm.js"],
  ["ort-wasm-simd-threaded.mjs", "wasm.js"],
  ["ort-wasm-simd-threaded.wasm", "wasm.wasm"],
  ["ort.jspi.min.mjs", "ort.webgpu.js"],
  ["ort-wasm-simd-threaded.jspi.mjs", "webgpu.js"],
  ["ort-wasm-simd-threaded.jspi.wasm", "webgpu.wasm"],
];

/** Copies ONNX Runtime into the built folder: it loads its parts by address, so it is not bundled. */
function runtime(): Plugin {
  return {
    name: "deepinside-runtime",
    writeBundle({ dir }) {
      const folder = join(dir ?? "dist", "ort");
      mkdirSync(folder, { recursive: true });
      for (const [from, to] of COPIES) copyFileSync(join(RUNTIME, from), join(folder, to));
    },
  };
}

/** Tells the service worker the version of the page, a hash of all its files. */
function service(): Plugin {
  return {
    name: "deepinside-service",
    enforce: "post", // after Vite has written index.html
    generateBundle(_, bundle) {
      const hash = createHash("sha256");
      for (const name of Object.keys(bundle).sort()) {
        if (name === "sw.js") continue;
        const part = bundle[name];
        hash.update(name).update(part.type === "chunk" ? part.code : part.source);
      }
      for (const [from] of COPIES) hash.update(readFileSync(join(RUNTIME, from)));
      const part = bundle["sw.js"];
      if (part?.type !== "chunk") throw new Error("Expected the service worker among the built files.");
      part.code = part.code.replace("__VERSION__", hash.digest("hex").slice(0, 12));
    },
  };
}

export default defineConfig(({ mode }) => ({
  base: "./",
  publicDir: existsSync(PUBLIC) && readdirSync(PUBLIC).length > 0 && mode !== "library" ? "public" : false,
  plugins: mode === "library" || mode === "test" ? [] : [runtime(), service()],
  worker: { format: "es" as const },
  build:
    mode === "library"
      ? {
          emptyOutDir: false,
          minify: false,
          target: "es2022",
          lib: { entry: "src/library.ts", formats: ["es" as const], fileName: () => "deepinside.mjs" },
        }
      : {
          target: "es2022",
          modulePreload: { polyfill: false },
          rollupOptions: {
            input: { index: "index.html", sw: "src/page/service.ts" },
            output: {
              entryFileNames: ({ name }: { name: string }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
            },
          },
        },
  test: { include: ["tests/**/*.test.ts"], environment: "node" as const, passWithNoTests: true },
}));
