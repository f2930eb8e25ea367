/** Rounded to the nearest integer, and halves to the even one, as Python and IEEE 754 have it. */
export function round(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
