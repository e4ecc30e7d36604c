import type { Gate } from '../../plan/index.ts';
import { type BlueprintInput, type StepTable, tableName } from './blueprint-input.ts';
import { statementsOf, strongestLock } from './statement-locks.ts';

/**
 * A plan as a picture, whoever draws it: services and what they depend on, databases with their tables, phases with
 * their gates and steps, what follows on what, and which step touches which table under which lock.
 */
export interface PlanGraph {
  clusters: GraphCluster[];
  nodes: GraphNode[];
  edges: GraphEdge[];
}
export interface GraphCluster {
  id: string;
  kind: 'services' | 'database' | 'phase';
  label: string;
}
export type NodeKind = 'service' | 'table' | 'flag' | 'step' | 'gate' | 'end';
export interface GraphNode {
  id: string;
  kind: NodeKind;
  /** The name first, then what else is to be known. */
  lines: string[];
  cluster: string | null;
}
export interface GraphEdge {
  from: string;
  to: string;
  /** `order`: comes after. `acts`: a step on a table or flag. `depends`: a service on another. */
  kind: 'order' | 'acts' | 'depends';
  label: string | null;
}

/** Names of people's making never become ids: those are numbered. */
class Ids {
  readonly #known = new Map<string, string>();
  of(kind: string, ...names: readonly string[]): string {
    const key = JSON.stringify([kind, ...names]);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const id = `${kind}${this.#known.size + 1}`;
    this.#known.set(key, id);
    return id;
  }
}

export function planGraph(input: BlueprintInput): PlanGraph {
  const graph: PlanGraph = { clusters: [], nodes: [], edges: [] };
  const ids = new Ids();
  addServices(graph, ids, input);
  addTables(graph, ids, input);
  const ends = addPhases(graph, ids, input);
  graph.nodes.push({ id: 'end', kind: 'end', lines: ['completed'], cluster: null });
  for (const from of ends) graph.edges.push({ from, to: 'end', kind: 'order', label: null });
  return graph;
}

function addServices(graph: PlanGraph, ids: Ids, { plan }: BlueprintInput): void {
  const services = Object.entries(plan.spec.services);
  if (services.length === 0) return;
  const cluster = ids.of('services');
  graph.clusters.push({ id: cluster, kind: 'services', label: 'services' });
  for (const [name, { version, provides, consumes }] of services) {
    const lines = [
      version === undefined ? name : `${name} ${version}`,
      ...Object.entries(provides).map(([of, versions]) => `provides ${of} ${versions.join(', ')}`),
      ...Object.entries(consumes).map(([of, range]) => `consumes ${of} ${range}`),
    ];
    graph.nodes.push({ id: ids.of('service', name), kind: 'service', lines, cluster });
  }
  for (const [name, { dependsOn }] of services) {
    for (const other of dependsOn) {
      graph.edges.push({ from: ids.of('service', name), to: ids.of('service', other), kind: 'depends', label: null });
    }
  }
}

const tableKey = ({ database, schema, table }: StepTable): string => JSON.stringify([database, schema, table]);

function addTables(graph: PlanGraph, ids: Ids, { tables }: BlueprintInput): void {
  const all = new Map([...tables.values()].flat().map((table) => [tableKey(table), table]));
  const databases = new Set([...all.values()].map(({ database }) => database));
  for (const database of [...databases].toSorted()) {
    const cluster = ids.of('database', database);
    graph.clusters.push({ id: cluster, kind: 'database', label: database });
    for (const table of all.values()) {
      if (table.database !== database) continue;
      graph.nodes.push({ id: ids.of('table', tableKey(table)), kind: 'table', lines: [tableName(table)], cluster });
    }
  }
}

/** Answers with what the end of the run follows on. */
function addPhases(graph: PlanGraph, ids: Ids, input: BlueprintInput): string[] {
  let before: string[] = [];
  for (const phase of input.plan.spec.phases) {
    const cluster = ids.of('phase', phase.name);
    const risk = input.risks[phase.name] ?? input.plan.spec.risk;
    graph.clusters.push({ id: cluster, kind: 'phase', label: `${phase.name} (risk: ${risk})` });
    const gates = input.gates.filter((gate) => gate.phase === phase.name);
    for (const gate of gates.filter(({ gate: name }) => name === `${phase.name}/before`)) {
      before = [addGate(graph, ids, { gate, cluster, after: before })];
    }
    before = addSteps(graph, ids, { input, phase, cluster, before });
    for (const gate of gates.filter(({ gate: name }) => name === `${phase.name}/after`)) {
      before = [addGate(graph, ids, { gate, cluster, after: before })];
    }
  }
  return before;
}

function addGate(
  graph: PlanGraph,
  ids: Ids,
  { gate, cluster, after }: { gate: Gate; cluster: string; after: readonly string[] },
): string {
  const id = ids.of('gate', gate.gate);
  const who = gate.roles.length === 0 ? 'anyone' : gate.roles.join(' or ');
  graph.nodes.push({ id, kind: 'gate', lines: [gate.gate, `approval by ${gate.min} of ${who}`], cluster });
  for (const from of after) graph.edges.push({ from, to: id, kind: 'order', label: null });
  return id;
}

/** Steps without needs follow on what was before the phase; what no step needs is what the phase ends with. */
function addSteps(
  graph: PlanGraph,
  ids: Ids,
  {
    input,
    phase,
    cluster,
    before,
  }: {
    input: BlueprintInput;
    phase: BlueprintInput['plan']['spec']['phases'][number];
    cluster: string;
    before: string[];
  },
): string[] {
  const needed = new Set(phase.steps.flatMap(({ needs }) => needs));
  for (const step of phase.steps) {
    const id = ids.of('step', step.id);
    const gate = input.gates.find((one) => one.step === step.id);
    const lines =
      gate === undefined
        ? [step.id, step.uses]
        : [gate.gate, `approval by ${gate.min} of ${gate.roles.length === 0 ? 'anyone' : gate.roles.join(' or ')}`];
    graph.nodes.push({ id, kind: gate === undefined ? 'step' : 'gate', lines, cluster });
    const after = step.needs.length === 0 ? before : step.needs.map((need) => ids.of('step', need));
    for (const from of after) graph.edges.push({ from, to: id, kind: 'order', label: null });
    addActs(graph, ids, { input, step: step.id, id, flag: 'flag' in step ? step.flag : null });
  }
  return phase.steps.filter(({ id }) => !needed.has(id)).map(({ id }) => ids.of('step', id));
}

function addActs(
  graph: PlanGraph,
  ids: Ids,
  { input, step, id, flag }: { input: BlueprintInput; step: string; id: string; flag: string | null },
): void {
  const statements = statementsOf(step, input);
  for (const table of input.tables.get(step) ?? []) {
    const lock = statements === null ? null : strongestLock(statements, table);
    graph.edges.push({ from: id, to: ids.of('table', tableKey(table)), kind: 'acts', label: lock?.mode ?? null });
  }
  if (flag === null) return;
  const to = ids.of('flag', flag);
  if (!graph.nodes.some((node) => node.id === to))
    graph.nodes.push({ id: to, kind: 'flag', lines: [flag, 'flag'], cluster: null });
  graph.edges.push({ from: id, to, kind: 'acts', label: null });
}
