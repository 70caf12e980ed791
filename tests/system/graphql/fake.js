// SPDX-License-Identifier: Apache-2.0
// Copyright (c) 2026 the Meerkat authors
//
// A stand-in for a node's API, on graphql-js: node fake.js SOCKET|PORT [--cert FILE --key FILE --user NAME:PASSWORD]
// It writes every request it gets to stdout, one JSON a line, and "ready" first.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const path = require('path');
const gql = require('graphql');

const [place, ...rest] = process.argv.slice(2);
const options = Object.fromEntries(rest.map((word, i) => (i % 2 ? null : [word.slice(2), rest[i + 1]])).filter(Boolean));
const sdl = fs.readFileSync(path.join(__dirname, 'fake.graphql'), 'utf8');
const schema = gql.buildSchema(sdl);
for (const [union, is] of [['Mixed', (v) => v.is], ['Named', (v) => v.is]]) schema.getType(union).resolveType = is;

const state = { ready: true };
const tree = (depth) => (depth ? { name: `t${depth}`, left: tree(depth - 1), right: null } : null);
const fail = (message, code) => { throw new gql.GraphQLError(message, { extensions: { code } }); };

const root = {
  account: {
    listUsers: ({ domain }) => [`alice@${domain}`, `bob@${domain}`],
    countUsers: () => 2,
    registerUser: ({ domain, username }) => {
      if (username === 'taken') fail(`User taken@${domain} already registered`, 'exists');
      const jid = `${username ?? 'made-up'}@${domain}`;
      return { jid, message: `User ${jid} successfully registered` };
    },
  },
  server: {
    status: () => ({ statusCode: 'RUNNING', message: 'a stand-in', version: '1.2.3', ready: state.ready }),
    level: 'INFO',
    slow: ({ ms }) => new Promise((done) => setTimeout(() => done('late'), ms)),
    stop: () => { setTimeout(() => process.exit(0), 50); return 'stopping'; },
    setLoglevel: ({ level }) => `level ${level}`,
  },
  config: { reload: 'reloaded', pause: ({ running }) => { state.ready = running; return 'done'; } },
  odd: {
    echo: (given) => JSON.stringify(given),
    tree: tree(5),
    mixed: [{ is: 'Numbers', value: [1, 2], same: 1 }, { is: 'Words', value: 'three', same: 2 }, { is: 'Empty' }],
    named: [{ is: 'Cat', name: 'Tom', lives: 9 }, { is: 'Dog', name: 'Rex', master: 'Ann' }],
    sessions: [
      { user: 'alice@localhost/täst', ip: '127.0.0.1', port: 40000, tags: ['a', 'b'], at: { node: 'n1', rack: { number: 7 } } },
      { user: 'b@localhost/x', ip: null, port: 1, tags: [], at: null },
    ],
    payload: { count: 2, pairs: [{ key: 'k1', value: 0.1 }, { key: 'key2', value: 3 }], names: ['x', 'y'] },
    hostile: { text: 'bell \u0007 escape \u001b[2J c1 \u009b2J end', list: ['line\nbreak', '\u202eturned'] },
    float: 0.1,
    fails: () => fail('it does not work', 'broken'),
    partly: ['good', new gql.GraphQLError('bad one', { extensions: { code: 'item' } })],
  },
  stanza: {},
};

async function* messages(caller) {
  for (let i = 1; ; i++) {
    if (caller === 'two@localhost' && i > 2) return;
    yield { data: { stanza: { subscribeForMessages: { sender: `${i}@localhost`, stanza: '<message/>\n' } } } };
    await new Promise((done) => setTimeout(done, 20));
  }
}

function allowed(request) {
  const given = request.headers.authorization;
  return !options.user || given === 'Basic ' + Buffer.from(options.user).toString('base64');
}

function answer(response, status, body, type = 'application/json') {
  response.writeHead(status, { 'Content-Type': type });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

async function stream(response, asked) {
  const refused = gql.validate(schema, gql.parse(asked.query));
  if (refused.length) return answer(response, 400, { errors: refused });
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  let id = 0;
  response.write(': hello\n\n');
  for await (const event of messages(Object.values(asked.variables)[0])) {
    if (response.destroyed) return;
    // In two pieces, the first of which ends in the middle of a line.
    response.write(`id: ${++id}\ndata: ${JSON.stringify(event).slice(0, 9)}`);
    response.write(`${JSON.stringify(event).slice(9)}\r\n\r\n`);
  }
  response.end();
}

async function serve(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  console.log(JSON.stringify({ url: request.url, headers: request.headers, body: text }));
  if (request.url === '/mess/api/graphql') return answer(response, 200, '<html>hello</html>', 'text/html');
  if (!allowed(request)) return answer(response, 401, 'no', 'text/plain');
  if (!request.url.startsWith('/api/graphql')) return answer(response, 404, 'not here', 'text/plain');
  const asked = JSON.parse(text);
  if (request.url === '/api/graphql/sse') return stream(response, asked);
  const result = await gql.graphql({
    schema, source: asked.query, rootValue: root, variableValues: asked.variables, operationName: asked.operationName,
  });
  return answer(response, result.data === undefined ? 400 : 200, result);
}

const secure = options.cert && { cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key) };
const server = secure ? https.createServer(secure, serve) : http.createServer(serve);
server.listen(/^\d+$/.test(place) ? { port: Number(place), host: '127.0.0.1' } : place, () => {
  const at = server.address();
  console.log(`ready ${at.port ?? at}`);
});
