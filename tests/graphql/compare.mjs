// SPDX-License-Identifier: Apache-2.0
// Copyright (c) 2026 the Meerkat authors
//
// node compare.mjs RUNNER NODE_MODULES: asks our engine (runner.c) and graphql-js the same questions over the same schema and values,
// and compares data, the number of errors, messages, locations and paths. Prints what differs; the last line counts.
import { spawn, execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { cases } from './cases.mjs';

const [runner, modules] = process.argv.slice(2);
const here = new URL('.', import.meta.url);
const require = createRequire(pathToFileURL(modules + '/'));
const g = require('graphql');
const { recommendedRules = [] } = g;

// -- graphql-js

const standard = new Set(['Int', 'Float', 'String', 'Boolean', 'ID', 'include', 'skip', 'deprecated', 'specifiedBy']);

function makeSchema(base, text) {
  const document = g.parse(base);
  const definitions = document.definitions.filter(
    (d) => !standard.has(d.name.value) && !d.name.value.startsWith('__'));
  const roots = g.parse('schema { query: AdminQuery mutation: AdminMutation subscription: AdminSubscription }');
  const users = new Set(['UserQuery', 'UserMutation', 'UserSubscription', 'UserAuthInfo']);
  const all = [...roots.definitions, ...definitions.filter((d) => !users.has(d.name.value)), ...g.parse(text).definitions];
  const schema = g.buildASTSchema({ kind: 'Document', definitions: all });
  const even = schema.getType('Even');
  even.parseValue = (value) => {
    if (Number.isInteger(value) && value % 2 === 0) return value;
    throw new Error('it is odd');
  };
  even.parseLiteral = (node) => even.parseValue(node.kind === 'IntValue' ? Number(node.value) : null);
  return schema;
}

function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== 'object') return value;
  if (value.$error !== undefined) return new Error(value.$error);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, revive(v)]));
}

class Reference {
  constructor(schema, values) {
    this.schema = schema;
    this.values = values;
  }

  field(source, args, info) {
    const name = info.fieldName;
    if (['echo', 'required', 'withDefault'].includes(name)) return JSON.stringify(args);
    if (name === 'count') return ++this.counted;
    if (name === 'later') return new Promise((resolve) => setTimeout(resolve, 1, args.name));
    const value = this.values[`${info.parentType.name}.${name}`];
    if (value !== undefined) return revive(value);
    if (source !== undefined && source !== null && Object.keys(source).length) return source[name];
    return g.isObjectType(g.getNullableType(info.returnType)) ? {} : null;
  }

  async answer({ query, variables, operationName }) {
    let document;
    this.counted = 0;
    try {
      document = g.parse(query);
    } catch (error) {
      return { errors: [error.toJSON()] };
    }
    const errors = g.validate(this.schema, document, [...new Set([...g.specifiedRules, ...recommendedRules])]);
    if (errors.length) return { errors: errors.map((e) => e.toJSON()) };
    const operation = g.getOperationAST(document, operationName);
    if (operation?.operation === 'subscription') return { subscription: true };
    const result = await g.execute({ schema: this.schema, document, variableValues: variables, operationName, rootValue: {},
      fieldResolver: (source, args, context, info) => this.field(source, args, info) });
    return JSON.parse(JSON.stringify(result));
  }
}

// -- ours

class Ours {
  constructor(schema, values) {
    this.process = spawn(runner, [schema, values], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.waiting = [];
    createInterface({ input: this.process.stdout }).on('line', (line) => this.waiting.shift()(JSON.parse(line)));
    this.ended = new Promise((resolve) => this.process.on('exit', resolve));
    this.process.on('exit', () => this.waiting.forEach((w) => w({ died: true })));
    this.process.stdin.on('error', () => {});
  }

  answer(request) {
    return new Promise((resolve) => {
      if (this.process.exitCode !== null) return resolve({ died: true });
      this.waiting.push(resolve);
      this.process.stdin.write(JSON.stringify(request) + '\n');
    });
  }

  async end() {
    this.process.stdin.end();
    return this.ended;
  }
}

// -- comparing

// The arguments that `echo` tells are JSON in a string: their order and the form of numbers say nothing.
function normal(data) {
  if (Array.isArray(data)) return data.map(normal);
  if (data && typeof data === 'object') return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, normal(v)]));
  if (typeof data === 'string' && data.startsWith('{')) {
    try {
      return JSON.parse(data);
    } catch {
      return data;
    }
  }
  return data;
}

function errorsOf(answer, spirit) {
  const list = (answer.errors ?? []).map(({ message, locations, path }) => ({
    ...(spirit ? {} : { message }),
    locations: locations ?? [],
    ...(path ? { path } : {}),
  }));
  return list.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function differences(ours, theirs, more) {
  const list = [];
  if (more.data !== false && !isDeepStrictEqual(normal(ours.data), normal(theirs.data))) list.push('data');
  if (Object.keys(ours.data ?? {}).join() !== Object.keys(theirs.data ?? {}).join()) list.push('the order of data');
  if (('data' in ours) !== ('data' in theirs)) list.push('whether there is data');
  if (ours.died || ours.subscription !== theirs.subscription) list.push('the kind of answer');
  if ((ours.errors ?? []).length !== (theirs.errors ?? []).length) list.push('the number of errors');
  else if (!isDeepStrictEqual(errorsOf(ours, more.spirit), errorsOf(theirs, more.spirit))) list.push('errors');
  if ((ours.errors ?? []).some((e) => typeof e.extensions?.code !== 'string')) list.push('an error without code');
  return list;
}

const path = (name) => new URL(name, here).pathname;
const base = execFileSync(runner, ['--base'], { encoding: 'utf8' });
const text = readFileSync(path('schema.graphql'), 'utf8');
const schema = makeSchema(base, text);
const reference = new Reference(schema, JSON.parse(readFileSync(path('values.json'), 'utf8')));
const ours = new Ours(path('schema.graphql'), path('values.json'));
let count = 0;
let bad = 0;

for (const [group, list] of Object.entries(cases)) {
  for (const [query, more = {}] of list) {
    const request = { query, variables: more.variables, operationName: more.operationName };
    const [a, b] = await Promise.all([ours.answer(request), reference.answer(request)]);
    const what = differences(a, b, more);
    count++;
    if (what.length === 0) continue;
    bad++;
    console.log(`${group}: ${what.join(', ')} differ:\n  ${JSON.stringify(request)}\n  ours:   ${JSON.stringify(a)}\n  theirs: ${JSON.stringify(b)}`);
  }
}

// A client's schema out of our introspection is the one that the text says.
const introspection = await ours.answer({ query: g.getIntrospectionQuery({
  descriptions: true, specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true }) });
const client = g.buildClientSchema(introspection.data);
const problems = g.validateSchema(client);
count++;
if (problems.length) {
  bad++;
  console.log('the schema of a client is wrong:', problems.map(String));
}
for (const [name, type] of Object.entries(schema.getTypeMap())) {
  const theirs = client.getType(name);
  // What nothing refers to is not shown; the base's own descriptions of standard types differ.
  if (name.startsWith('__') || standard.has(name) || !text.includes(name)) continue;
  count++;
  if (!theirs || g.printType(theirs) !== g.printType(type)) {
    bad++;
    console.log(`type ${name} differs:\n${theirs && g.printType(theirs)}\n${g.printType(type)}`);
  }
}

const status = await ours.end();
if (status !== 0) console.log(`our engine ended with ${status}`);
console.log(`${count} compared, ${bad} differ`);
process.exit(bad || status ? 1 : 0);
