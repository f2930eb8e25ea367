/** CIELAB, where equal distances look about equally different. */

const TO_XYZ = [
  [0.412453, 0.35758, 0.180423],
  [0.212671, 0.71516, 0.072169],
  [0.019334, 0.119193, 0.950227],
];
const WHITE = [0.950456, 1, 1.088754]; // D65

/** sRGB in [0, 1], three values per pixel -> L, a and b, three values per pixel. */
export function lab(image: Float32Array): Float32Array {
  const found = new Float32Array(image.length);
  const roots = [0, 0, 0];
  for (let at = 0; at < image.length; at += 3) {
    const [red, green, blue] = [linear(image[at]), linear(image[at + 1]), linear(image[at + 2])];
    for (let k = 0; k < 3; k++) {
      const [r, g, b] = TO_XYZ[k];
      roots[k] = root((red * r + green * g + blue * b) / WHITE[k]);
    }
    found[at] = 116 * roots[1] - 16;
    found[at + 1] = 500 * (roots[0] - roots[1]);
    found[at + 2] = 200 * (roots[1] - roots[2]);
  }
  return found;
}

/** Without the gamma of sRGB. */
function linear(value: number): number {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/** The cube root, with a straight line in its place near black. */
function root(value: number): number {
  return value > 0.008856 ? Math.cbrt(value) : 7.787 * value + 16 / 116;
}
