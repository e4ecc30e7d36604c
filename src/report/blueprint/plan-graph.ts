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
export type NodeKind = 'service' | 'table' | 'flag' | 'step' | 'gate' | 'junction' | 'end';
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
  /**
   * `order`: comes after. `acts`: from a table or flag to the first step that acts on it; all others name it in their
   * lines, or nobody could follow the lines any more. `depends`: a service on another.
   */
  kind: 'order' | 'acts' | 'depends';
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
  graph.nodes.push({ id: 'completed', kind: 'end', lines: ['completed'], cluster: null });
  for (const from of ends) graph.edges.push({ from, to: 'completed', kind: 'order' });
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
      graph.edges.push({ from: ids.of('service', name), to: ids.of('service', other), kind: 'depends' });
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
    before = addSteps(graph, ids, { input, phase, cluster, before: joined(graph, ids, phase, before) });
    for (const gate of gates.filter(({ gate: name }) => name === `${phase.name}/after`)) {
      before = [addGate(graph, ids, { gate, cluster, after: before })];
    }
  }
  return before;
}

/** Where many steps follow on many, they meet in one point: else each would have a line to each. */
function joined(
  graph: PlanGraph,
  ids: Ids,
  { name, steps }: BlueprintInput['plan']['spec']['phases'][number],
  before: readonly string[],
): string[] {
  const first = steps.filter(({ needs }) => needs.length === 0);
  if (before.length < 2 || first.length < 2) return [...before];
  const id = ids.of('junction', name);
  graph.nodes.push({ id, kind: 'junction', lines: [], cluster: null });
  for (const from of before) graph.edges.push({ from, to: id, kind: 'order' });
  return [id];
}

function addGate(
  graph: PlanGraph,
  ids: Ids,
  { gate, cluster, after }: { gate: Gate; cluster: string; after: readonly string[] },
): string {
  const id = ids.of('gate', gate.gate);
  graph.nodes.push({ id, kind: 'gate', lines: [gate.gate, approvalWords(gate)], cluster });
  for (const from of after) graph.edges.push({ from, to: id, kind: 'order' });
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
    const flag = 'flag' in step ? step.flag : null;
    const lines =
      gate === undefined
        ? [step.id, step.uses, ...(flag === null ? [] : [flag]), ...tableLines(step.id, input)]
        : [gate.gate, approvalWords(gate)];
    graph.nodes.push({ id, kind: gate === undefined ? 'step' : 'gate', lines, cluster });
    const after = step.needs.length === 0 ? before : step.needs.map((need) => ids.of('step', need));
    for (const from of after) graph.edges.push({ from, to: id, kind: 'order' });
    addActs(graph, ids, { tables: input.tables.get(step.id) ?? [], id, flag });
  }
  return phase.steps.filter(({ id }) => !needed.has(id)).map(({ id }) => ids.of('step', id));
}

/** What a step acts on, with the strongest lock that it takes there, where that is known. */
function tableLines(step: string, input: BlueprintInput): string[] {
  const statements = statementsOf(step, input);
  return (input.tables.get(step) ?? []).map((table) => {
    const lock = statements === null ? null : strongestLock(statements, table);
    return lock === null ? `${tableName(table)} of ${table.database}` : `${tableName(table)}: ${lock.mode}`;
  });
}

function addActs(
  graph: PlanGraph,
  ids: Ids,
  { tables, id, flag }: { tables: readonly StepTable[]; id: string; flag: string | null },
): void {
  const flagId = flag === null ? null : ids.of('flag', flag);
  if (flag !== null && flagId !== null && !graph.nodes.some((node) => node.id === flagId))
    graph.nodes.push({ id: flagId, kind: 'flag', lines: [flag], cluster: null });
  const of = tables.map((table) => ids.of('table', tableKey(table)));
  for (const from of flagId === null ? of : [...of, flagId]) {
    const isFirst = !graph.edges.some((edge) => edge.kind === 'acts' && edge.from === from);
    if (isFirst) graph.edges.push({ from, to: id, kind: 'acts' });
  }
}

function approvalWords({ min, roles }: Gate): string {
  return `approval by ${min} of ${roles.length === 0 ? 'anyone' : roles.join(' or ')}`;
}
