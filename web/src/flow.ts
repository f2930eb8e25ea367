/**
 * Maximum flow between the pixels of a mask: what a minimum cut needs of it.
 *
 * A positive excess is flow that a pixel has to pass on, a negative one a deficit, flow that it can still absorb. The
 * algorithm is a push-relabel method that computes a *preflow*:
 *
 * 1. `matchChains` computes the exact maximum flow within each column, then within each row, in two sweeps each.
 * 2. `drain` finishes in rounds. A breadth-first search computes the distance of each pixel to the nearest deficit.
 *    Waves then push all excess from larger to smaller distances, and a pixel with excess left is relabeled to just
 *    above its lowest neighbor. When the waves have visited a quarter as many pixels as the search, the distances are
 *    recomputed. Pixels that cannot reach a deficit at the end are on the other side of the cut.
 *
 * The preflow depends on the order of the steps; the set of pixels that can reach a deficit does not.
 */

/** Directions; the opposite of `k` is `k ^ 1`. */
export const [LEFT, RIGHT, UP, DOWN] = [0, 1, 2, 3];

/** The distance of a pixel that cannot reach a deficit. */
export const FAR = 1 << 29;

const NONE = -1; // the end of a list of pixels

/**
 * Pixel p of the free ones, in reading order, is node p + 1. Nodes 0 and n + 1 are padding, without capacities.
 *
 * `capacities` and `neighbors` have four entries per node, one per direction; where the neighbor is not free, or
 * beyond the border, it is node 0.
 */
export interface Graph {
  readonly neighbors: Int32Array;
  readonly capacities: Int32Array; // residual
  readonly excess: Int32Array;
}

/** Cancels as much excess against deficits as paths within columns, then within rows, allow. */
export function matchChains(graph: Graph): void {
  const flow = new Int32Array(graph.excess.length);
  matchAlong(graph, DOWN, flow);
  matchAlong(graph, RIGHT, flow);
}

/** The maximum flow within each chain of pixels in one direction; excess that meets no deficit returns. */
function matchAlong({ neighbors, capacities, excess }: Graph, forth: number, flow: Int32Array): void {
  const last = excess.length - 2;
  const back = forth ^ 1;
  for (let i = 1; i <= last; i++) {
    const j = neighbors[4 * i + forth];
    const amount = Math.min(Math.max(excess[i], -capacities[4 * j + back]), capacities[4 * i + forth]);
    flow[i] = amount;
    excess[i] -= amount;
    excess[j] += amount;
  }
  for (let i = last; i >= 1; i--) {
    const j = neighbors[4 * i + forth];
    const amount = flow[i];
    const rest = excess[j];
    const undo = Math.min(Math.max(rest, 0), Math.max(amount, 0)) + Math.max(Math.min(rest, 0), Math.min(amount, 0));
    excess[j] = rest - undo;
    excess[i] += undo;
    capacities[4 * i + forth] -= amount - undo;
    capacities[4 * j + back] += amount - undo;
  }
}

/** Pushes excess to deficits until none can reach one; nodes with distances below FAR are on the deficits' side. */
export function drain(graph: Graph): Int32Array {
  const search = new Search(graph);
  const waves = new Waves(graph, search);
  for (;;) {
    const reached = search.measure();
    if (waves.restart(search.distances[search.queue[reached - 1]] + 1) === 0) return search.distances;
    for (let visits = 0, more = 1; more > 0 && 4 * visits <= reached; visits += more) more = waves.push();
  }
}

function nodesWithSign(excess: Int32Array, sign: number): Int32Array {
  const found: number[] = [];
  excess.forEach((value, i) => {
    if (value * sign > 0) found.push(i);
  });
  return Int32Array.from(found);
}

/** Exact distances to the nearest deficit. */
class Search {
  readonly distances: Int32Array;
  readonly inlets: Uint8Array; // bit k of a node: whether its neighbor in direction k has residual capacity to it
  readonly queue: Int32Array; // the nodes that can reach a deficit, by increasing distance
  private deficits: Int32Array;

  constructor(private readonly graph: Graph) {
    const { neighbors, capacities, excess } = graph;
    this.distances = new Int32Array(excess.length);
    this.queue = new Int32Array(excess.length + 1);
    this.deficits = nodesWithSign(excess, -1);
    this.inlets = new Uint8Array(excess.length);
    for (let i = 1; i < excess.length - 1; i++) {
      for (let k = 0; k < 4; k++) {
        if (capacities[4 * neighbors[4 * i + k] + (k ^ 1)] > 0) this.inlets[i] |= 1 << k;
      }
    }
  }

  /** A breadth-first search from all deficits; returns how many nodes can reach one. */
  measure(): number {
    const { distances, inlets, queue } = this;
    const { neighbors, excess } = this.graph;
    this.deficits = this.deficits.filter((i) => excess[i] < 0);
    distances.fill(FAR);
    for (const i of this.deficits) distances[i] = 0;
    queue.set(this.deficits);
    let end = this.deficits.length;
    for (let begin = 0; begin < end; begin++) {
      const i = queue[begin];
      const distance = distances[i] + 1;
      for (let k = 0, bits = inlets[i]; bits > 0; k++, bits >>= 1) {
        const j = neighbors[4 * i + k];
        if ((bits & 1) === 0 || distances[j] !== FAR) continue;
        distances[j] = distance;
        queue[end++] = j;
      }
    }
    return end;
  }
}

/** Pushes excess downhill, with the nodes that have some in lists by distance. */
class Waves {
  private readonly active: Int32Array; // the first `count` are nodes with excess
  private count: number;
  private limit = 0; // no node that can reach a deficit is so far from it
  private readonly heads: Int32Array; // of each distance, the first node
  private readonly next: Int32Array; // of each node, the next one at its distance

  constructor(
    private readonly graph: Graph,
    private readonly search: Search,
  ) {
    const size = graph.excess.length;
    const active = nodesWithSign(graph.excess, 1);
    this.active = new Int32Array(size);
    this.active.set(active);
    this.count = active.length;
    this.heads = new Int32Array(size + 1).fill(NONE);
    this.next = new Int32Array(size);
  }

  /** Forgets the nodes that cannot reach a deficit, since they never will; returns how many are left. */
  restart(limit: number): number {
    let kept = 0;
    for (let p = 0; p < this.count; p++) {
      if (this.search.distances[this.active[p]] < FAR) this.active[kept++] = this.active[p];
    }
    this.count = kept;
    this.limit = limit;
    return kept;
  }

  /** Pushes all excess from larger to smaller distances, once; returns the number of visits. */
  push(): number {
    let visits = 0;
    for (let distance = this.sort(); distance > 0; distance--) {
      for (let i = this.heads[distance]; i !== NONE; i = this.heads[distance]) {
        this.heads[distance] = this.next[i];
        this.visit(i, distance);
        visits++;
      }
    }
    return visits;
  }

  /** Moves the active nodes to the list of their distance, but for those too far; returns the largest distance. */
  private sort(): number {
    const { distances } = this.search;
    let [top, stay] = [0, 0];
    for (let p = 0; p < this.count; p++) {
      const i = this.active[p];
      const distance = distances[i];
      if (distance === FAR) {
        this.active[stay++] = i;
        continue;
      }
      this.list(i, distance);
      top = Math.max(top, distance);
    }
    this.count = stay;
    return top;
  }

  private list(i: number, distance: number): void {
    this.next[i] = this.heads[distance];
    this.heads[distance] = i;
  }

  /** Pushes the excess of a node to neighbors one step nearer to a deficit, and relabels it if some is left. */
  private visit(i: number, distance: number): void {
    const { neighbors, capacities, excess } = this.graph;
    const { distances } = this.search;
    let lowest = FAR;
    for (let k = 0; k < 4; k++) {
      const capacity = capacities[4 * i + k];
      if (capacity === 0) continue;
      const j = neighbors[4 * i + k];
      if (distances[j] === distance - 1) {
        const amount = Math.min(excess[i], capacity);
        this.move(i, j, k, amount);
        if (excess[i] === 0) return;
        if (amount === capacity) continue;
      }
      lowest = Math.min(lowest, distances[j]);
    }
    distances[i] = lowest < this.limit ? lowest + 1 : FAR; // a guess, which the next search corrects
    this.active[this.count++] = i;
  }

  /** Moves flow from node i to its neighbor j in direction k, which is then active if it has excess. */
  private move(i: number, j: number, k: number, amount: number): void {
    const { capacities, excess } = this.graph;
    const { distances, inlets } = this.search;
    const had = excess[j];
    capacities[4 * i + k] -= amount;
    capacities[4 * j + (k ^ 1)] += amount;
    excess[i] -= amount;
    excess[j] = had + amount;
    inlets[i] |= 1 << k;
    if (capacities[4 * i + k] === 0) inlets[j] &= ~(1 << (k ^ 1));
    if (had > 0 || had + amount <= 0) return;
    if (distances[j] > 0) {
      this.list(j, distances[j]);
    } else {
      distances[j] = 1; // a deficit has overflowed
      this.active[this.count++] = j;
    }
  }
}
