// Plays the scenario with an unmodified Node SDK: `node drive.mjs rudderstack|segment URL WRITE_KEY SCENARIO`.
//
// Both post their batches in parallel when calls come fast (rudder-sdk-node: every flush that waited for the one
// before starts at its end), so their order is only known to the collector.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const [sdk, url, writeKey, scenarioPath] = process.argv.slice(2);
const scenario = JSON.parse(readFileSync(scenarioPath, 'utf8'));
const errors = [];

function rudderstack() {
  const Analytics = require('@rudderstack/rudder-sdk-node');
  const client = new Analytics(writeKey, {
    dataPlaneUrl: url,
    flushInterval: 200,
    logLevel: 'error',
    errorHandler: (error) => errors.push(String(error)),
  });
  let settled = 0;
  let made = 0;
  const call = (type, message) => {
    made += 1;
    client[type](message, (error) => {
      settled += 1;
      if (error) errors.push(String(error));
    });
  };
  const finish = async () => {
    while (settled < made && errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  return { call, finish };
}

function segment() {
  const { Analytics } = require('@segment/analytics-node');
  const client = new Analytics({ writeKey, host: url, flushInterval: 200, maxRetries: 3 });
  client.on('error', (error) => errors.push(JSON.stringify(error, ['code', 'reason', 'message'])));
  return { call: (type, message) => client[type](message), finish: () => client.closeAndFlush({ timeout: 60_000 }) };
}

const { call, finish } = { rudderstack, segment }[sdk]();
const { person, properties, traits } = scenario;
const who = { userId: person.userId, anonymousId: person.anonymousId };
call('identify', { ...who, traits, context: { locale: 'he-IL', app: { '': null } } });
call('track', { ...who, event: 'Order Completed ✅', properties, integrations: { All: true } });
call('page', { ...who, category: 'Docs', name: 'Início', properties });
call('screen', { ...who, category: 'Camera', name: '玄関', properties });
call('group', { ...who, groupId: person.groupId, traits });
call('alias', { userId: person.userId, previousId: person.previousId });
for (let index = 0; index < scenario.rapid; index += 1) {
  call('track', { ...who, event: 'Rapid', properties: { index, note: `№${index} 🚀` } });
}
await finish();
console.log(JSON.stringify({ calls: 6 + scenario.rapid, errors }));
process.exit(errors.length ? 1 : 0);
