import { Ajv2020 } from 'ajv/dist/2020.js';

/** What CloudEvents 1.0.2 asks of an event in the JSON format (spec.md, formats/json-format.md), as a JSON Schema. */
const schema = {
  type: 'object',
  required: ['specversion', 'id', 'source', 'type'],
  properties: {
    specversion: { const: '1.0' },
    id: { type: 'string', minLength: 1 },
    source: { type: 'string', minLength: 1, pattern: "^[A-Za-z0-9/:?#@!$&'()*+,;=._~%-]+$" },
    type: { type: 'string', minLength: 1 },
    subject: { type: 'string', minLength: 1 },
    // RFC 3339.
    time: { type: 'string', pattern: String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$` },
    datacontenttype: { const: 'application/json' },
    dataschema: { type: 'string', minLength: 1 },
    data: { type: 'object' },
  },
  // Extension attributes have names of lower-case letters and digits; we have none.
  additionalProperties: false,
};
const validate = new Ajv2020({ strict: true, allErrors: true }).compile(schema);

/** What is wrong with an event; empty where it is one. */
export const faultsOf = (event: unknown): string[] =>
  validate(event) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
