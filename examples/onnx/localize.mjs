// What a classifier sees in a photo, and where, without Python: node localize.mjs lite0.onnx photo.jpg
// npm install onnxruntime-node sharp, and put deepinside.mjs, which `deepinside export-onnx --page` writes, beside it.
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-node";
import sharp from "sharp";
import { localize, openNetwork } from "./deepinside.mjs";

const [file, photo] = process.argv.slice(2);
const { data, info } = await sharp(photo).rotate().flatten({ background: "white" }).raw().toBuffer({ resolveWithObject: true });
const network = await openNetwork(await readFile(file), ort);
const [best] = await localize(network, { data, width: info.width, height: info.height });
for (const { box } of best.objects) console.log(best.label, box.x0, box.y0, box.x1, box.y1);
