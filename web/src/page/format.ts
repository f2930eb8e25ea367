/** Numbers and names as the page shows them. */

import type { About } from "../types";

/** A probability: `93.7%`; the ends are told apart from certainty. */
export function percent(share: number): string {
  const value = 100 * share;
  if (value > 0 && value < 0.05) return "< 0.1%";
  if (value < 100 && value >= 99.95) return "> 99.9%";
  return `${value.toFixed(1)}%`;
}

/** A size of a file: `12.3 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** The name of a class, or its number where classes are numbers. */
export function nameOf(about: About, index: number): string {
  return about.labels[index] ?? `class ${index}`;
}

/** One name per class, for a list in which each stands once: names that several classes share get their numbers. */
export function uniqueNames(about: About, count: number): string[] {
  const names = Array.from({ length: count }, (_, index) => nameOf(about, index));
  const times = new Map<string, number>();
  for (const name of names) times.set(name, (times.get(name) ?? 0) + 1);
  return names.map((name, index) => ((times.get(name) ?? 0) > 1 ? `${name} (${index})` : name));
}

/** The class that a visitor means: a whole name, a number, or the only name that contains what was typed. */
export function classOf(names: readonly string[], typed: string): number | null {
  const wanted = typed.trim().toLowerCase();
  if (wanted === "") return null;
  const lower = names.map((name) => name.toLowerCase());
  const whole = lower.indexOf(wanted);
  if (whole >= 0) return whole;
  if (/^\d+$/.test(wanted) && Number(wanted) < names.length) return Number(wanted);
  const parts = lower.flatMap((name, index) => (name.split(/,\s*/).includes(wanted) ? [index] : []));
  if (parts.length === 1) return parts[0];
  const within = lower.flatMap((name, index) => (name.includes(wanted) ? [index] : []));
  return within.length === 1 ? within[0] : null;
}

/** A file name without its ending, for the files that are saved beside it. */
export function stem(file: string): string {
  return file.replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "") || "photo";
}

/** `1 object`, `2 objects`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
