// SPDX-License-Identifier: Apache-2.0
// Copyright (c) 2026 the Meerkat authors
//
// node subscribe.mjs URL AUTHORIZATION NODE_MODULES QUERY: what the client of npm's graphql-sse, as it is, hears of a subscription: one
// JSON value a line, then "done".
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [url, authorization, modules, query] = process.argv.slice(2);
const { createClient } = createRequire(pathToFileURL(modules + '/'))('graphql-sse');
const client = createClient({ url, headers: { authorization }, retryAttempts: 0 });

for await (const result of client.iterate({ query })) console.log(JSON.stringify(result));
console.log('done');
client.dispose();
