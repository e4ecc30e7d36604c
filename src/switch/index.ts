/**
 * `switchback/switch`: for services. Imports nothing else of Switchback; unleash-client and pg come in as the service's
 * own instances.
 */
export { createSwitch, type ReadSwitch, type ReadWriteSwitch } from './create-switch.ts';
export type { SwitchCounts } from './counters.ts';
export type { SwitchStatus } from './exposition.ts';
export type { FlagAnswer, FlagContext, FlagSource } from './flag-source.ts';
export type { Ledger } from './ledger.ts';
export { fromOpenFeature, type OpenFeatureClient, type OpenFeatureOptions } from './openfeature.ts';
export { FENCED_SQLSTATE, type Mismatch, type ReadSwitchOptions, type ReadWriteSwitchOptions } from './options.ts';
export { handleSwitches, serveSwitches, type SwitchesDocument, type SwitchesServer } from './serve.ts';
export { STAGES, type Stage } from './stage.ts';
export { SWITCH_ERROR_CODES, SwitchError, type SwitchErrorCode } from './switch-error.ts';
export { exposureOf, fromUnleash, type UnleashClient } from './unleash-flags.ts';
