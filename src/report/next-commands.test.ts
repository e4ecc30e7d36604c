import { describe, expect, it } from 'vitest';
import { nextCommands } from './next-commands.ts';
import { openGate, sampleStatus } from './sample-status.test-data.ts';

const commandsOf = (status: Parameters<typeof nextCommands>[0]) =>
  nextCommands(status, 'npx switchback').map(({ command }) => command);

describe('nextCommands', () => {
  it('asks for nothing while it runs by itself', () => {
    expect(commandsOf(sampleStatus())).toEqual([]);
  });
  it('names each open gate', () => {
    const gates = [
      openGate(),
      openGate({ gate: 'contract/before', phase: 'contract' }),
      openGate({ gate: 'x', state: 'approved' }),
    ];
    expect(commandsOf(sampleStatus({ gates }))).toEqual([
      'npx switchback approve split-full-name migrate/after --as you@example.com',
      'npx switchback reject split-full-name migrate/after --as you@example.com',
      'npx switchback approve split-full-name contract/before --as you@example.com',
      'npx switchback reject split-full-name contract/before --as you@example.com',
    ]);
  });
  it('lets a step go outside of its windows by its gate, which nobody has to refuse', () => {
    const override = openGate({ gate: 'fill/window', overrides: 'window' });
    expect(nextCommands(sampleStatus({ status: 'waiting', gates: [override] }), 'npx switchback')).toEqual([
      {
        why: 'let fill go outside of its windows',
        command: 'npx switchback approve split-full-name fill/window --as you@example.com',
      },
    ]);
    const rejected = { ...override, state: 'rejected' as const };
    expect(commandsOf(sampleStatus({ status: 'held', gates: [rejected], error: null }))).toEqual([]);
  });
  it('offers retry, skip and abort for what is held', () => {
    const phases = [
      {
        name: 'p',
        state: 'running' as const,
        steps: [{ id: 's', uses: 'ddl', state: 'held' as const, progress: null, note: null }],
      },
    ];
    expect(commandsOf(sampleStatus({ status: 'held', phases }))).toEqual([
      'npx switchback retry split-full-name s --as you@example.com',
      'npx switchback skip split-full-name s --as you@example.com',
      'npx switchback abort split-full-name --as you@example.com',
    ]);
  });
  it('does not offer to abort what is being undone', () => {
    const phases = [
      {
        name: 'p',
        state: 'running' as const,
        steps: [{ id: 's', uses: 'ddl', state: 'held' as const, progress: null, note: null }],
      },
    ];
    expect(commandsOf(sampleStatus({ status: 'rolling-back', phases })).join()).not.toContain('abort');
  });
  it('names what the error names where neither a step nor a gate is held', () => {
    const status = sampleStatus({
      status: 'held',
      error: { code: 'ConditionUnmet', message: 'm', hint: null, step: 'migrate' },
    });
    expect(commandsOf(status)[0]).toBe('npx switchback retry split-full-name migrate --as you@example.com');
  });
  it('offers to resume', () => {
    expect(commandsOf(sampleStatus({ status: 'paused' }))).toEqual([
      'npx switchback resume split-full-name --as you@example.com',
    ]);
  });
  it('quotes what a shell would take apart', () => {
    expect(commandsOf(sampleStatus({ name: "it's; rm", status: 'completed' }))).toEqual([
      "npx switchback report 'it'\\''s; rm'",
    ]);
  });
});
