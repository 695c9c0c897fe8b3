// The SDKs of OpenAI, Anthropic and Google for Node list the gateway's models, page through
// them, retrieve each, and throw their own error for one that there is not.
//
// sdks.mjs ROOT LIST: ROOT is the gateway's address, LIST holds its list in OpenAI's form.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// By NODE_PATH, which imports do not look at.
const require = createRequire(import.meta.url);
const OpenAI = require('openai');
const Anthropic = require('@anthropic-ai/sdk');
const { GoogleGenAI, ApiError } = require('@google/genai');

const [root, list] = process.argv.slice(2);
const models = new Map(JSON.parse(readFileSync(list)).data.map((model) => [model.id, model]));
const ids = [...models.keys()];
const byBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const sorted = ids.toSorted?.(byBytes) ?? [...ids].sort(byBytes);
const claude = ids.map((id) => (id.includes('claude') ? id : `claude-${id}`)).sort(byBytes);
const acme = (id) => /^(claude-)?(acme\/|fast$)/.test(id);
const ACME_ONLY = 'demo-acme-only';
const UNKNOWN = 'acme/no-such-model';
let failed = false;

async function check(name, test) {
  try {
    const said = await test();
    console.log(`ok   ${name}${said ? `: ${said}` : ''}`);
  } catch (error) {
    failed = true;
    console.log(`FAIL ${name}: ${String(error).slice(0, 300).replaceAll('\n', ' ')}`);
  }
}

async function all(pages, named) {
  const got = [];
  for await (const model of pages) got.push(named(model));
  return got;
}

function same(got, expected) {
  assert.deepEqual(got, expected);
  return `${got.length} models`;
}

async function throws(kind, status, promise) {
  const error = await promise.then(
    () => assert.fail('nothing was thrown'),
    (error) => error,
  );
  assert(error instanceof kind, String(error));
  assert.equal(error.status, status);
  return error;
}

// ===== openai =====

const gpt = (apiKey) => new OpenAI({ baseURL: `${root}/v1`, apiKey, maxRetries: 0 });
const id = (model) => model.id;
await check('openai for Node lists', async () => same(await all(gpt('any').models.list(), id), ids));
await check('openai for Node retrieves every id', async () => {
  for (const name of ids) assert.deepEqual({ ...(await gpt('any').models.retrieve(name)) }, models.get(name));
});
await check('openai for Node throws NotFoundError', async () =>
  (await throws(OpenAI.NotFoundError, 404, gpt('any').models.retrieve(UNKNOWN))).code);
await check('openai for Node sees its view', async () => {
  await throws(OpenAI.NotFoundError, 404, gpt(ACME_ONLY).models.retrieve('cellar/ember:8b'));
  return same(await all(gpt(ACME_ONLY).models.list(), id), ids.filter(acme));
});

// ===== anthropic =====

const anthropic = (options) => new Anthropic({ baseURL: root, apiKey: null, authToken: null, maxRetries: 0, ...options });
for (const [way, options] of [['x-api-key', { apiKey: 'any' }], ['bearer', { authToken: 'any' }]]) {
  const client = anthropic(options);
  for (const limit of [undefined, 7, 1000]) {
    await check(`anthropic for Node pages by ${limit ?? 'default'}, ${way}`, async () =>
      same(await all(client.models.list({ limit }), id), claude));
  }
}
await check('anthropic for Node retrieves every id', async () => {
  const client = anthropic({ apiKey: 'any' });
  for (const name of claude) assert.equal((await client.models.retrieve(name)).id, name);
  for (const name of ids) assert((await client.models.retrieve(name)).id.endsWith(name));
});
await check('anthropic for Node throws NotFoundError', async () =>
  (await throws(Anthropic.NotFoundError, 404, anthropic({ apiKey: 'any' }).models.retrieve(UNKNOWN))).error.error.type);
await check('anthropic for Node sees its view', async () =>
  same(await all(anthropic({ apiKey: ACME_ONLY }).models.list({ limit: 1000 }), id), claude.filter(acme)));

// ===== @google/genai =====

const google = (apiVersion, apiKey = 'any') =>
  new GoogleGenAI({ apiKey, httpOptions: { baseUrl: root, ...(apiVersion && { apiVersion }) } });
const named = (model) => model.name.replace(/^models\//, '');
for (const version of [undefined, 'v1beta', 'v1']) {
  const name = `@google/genai ${version ?? 'as it comes'}`;
  for (const pageSize of [3, 50, 1000]) {
    await check(`${name} pages by ${pageSize}`, async () =>
      same(await all(await google(version).models.list({ config: { pageSize } }), named), sorted));
  }
  await check(`${name} retrieves every id`, async () => {
    let refused = 0;
    for (const model of ids) {
      // The SDK itself refuses these signs, and writes all others into the path as they are.
      if (/[?&]/.test(model)) {
        await assert.rejects(google(version).models.get({ model }), /invalid model parameter/i);
        refused += 1;
        continue;
      }
      const asked = /[%#]/.test(model) ? encodeURIComponent(model) : model;
      assert.equal(named(await google(version).models.get({ model: asked })), model);
    }
    assert.equal(refused, 2);
  });
  await check(`${name} throws ApiError`, async () =>
    (await throws(ApiError, 404, google(version).models.get({ model: UNKNOWN }))).name);
}
await check('@google/genai sees its view', async () =>
  same(await all(await google(undefined, ACME_ONLY).models.list(), named), sorted.filter(acme)));

process.exit(failed ? 1 : 0);
