import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/** Ends the output with one plain line, for people and scripts that read only the last one: `12 passed, 0 failed`. */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const states = modules.flatMap((module) => [...module.children.allTests()].map((test) => test.result().state));
    const passed = states.filter((state) => state === 'passed').length;
    // A file that can't be loaded, a hook that fails and an error outside any test count as one failure each.
    const outside = modules.flatMap((module) => [
      ...module.errors(),
      ...[...module.children.allSuites()].flatMap((suite) => suite.errors()),
    ]);
    const failed = states.filter((state) => state === 'failed').length + outside.length + errors.length;
    process.stdout.write(`${passed} passed, ${failed} failed\n`);
  }
}
