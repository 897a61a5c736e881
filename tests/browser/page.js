// Plays the scenario with the unmodified browser SDK. The query says where and how:
// collector, writeKey, mode = single (one POST per event, the SDK's default) | batch | beacon.

const query = new URLSearchParams(location.search);
const collector = query.get('collector');
const modes = {
  single: { queueOptions: { maxItems: 1000 } },
  batch: { queueOptions: { maxItems: 1000, batch: { enabled: true, maxItems: 50, flushInterval: 300 } } },
  beacon: { useBeacon: true, beaconQueueOptions: { maxItems: 20, flushQueueInterval: 300 } },
};

async function play() {
  const scenario = await (await fetch('/scenario.json')).json();
  const { person, properties, traits } = scenario;
  const sdk = new window.rudderanalytics.RudderAnalytics();
  sdk.load(query.get('writeKey'), collector, { configUrl: collector, logLevel: 'WARN', ...modes[query.get('mode')] });
  sdk.setAnonymousId(person.anonymousId);
  sdk.identify(person.userId, traits);
  sdk.track('Order Completed ✅', properties);
  sdk.page('Docs', 'Início', properties);
  sdk.group(person.groupId, traits);
  sdk.alias(person.userId, person.previousId);
  for (let index = 0; index < scenario.rapid; index += 1) {
    sdk.track('Rapid', { index, note: `№${index} 🚀` });
  }
  await report(`calls: ${5 + scenario.rapid}`);
}

play().catch((error) => report(`failed: ${error}`));
