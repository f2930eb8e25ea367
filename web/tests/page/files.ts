/** Files for the tests. */

/** A file with one metadata entry alone. */
export function fileWith(name: string, value: string): Uint8Array {
  const part = (field: number, content: Buffer): Buffer => {
    const length: number[] = [];
    let rest = content.length;
    for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
    return Buffer.concat([Buffer.from([field * 8 + 2, ...length, rest]), content]);
  };
  return Uint8Array.from(part(14, Buffer.concat([part(1, Buffer.from(name)), part(2, Buffer.from(value))])));
}
