// Plays the scenario with the unmodified browser SDK. The query says where and how:
// collector, writeKey, rapid = how many rapid events, mode = single (one POST per event, the SDK's default) | batch |
// beacon. Browsers keep at most 64 KiB of beacons on their way, so that mode gives them time.

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
  const rapid = Number(query.get('rapid'));
  for (let index = 0; index < rapid; index += 1) {
    sdk.track('Rapid', { index, note: `№${index} 🚀` });
    if (query.get('mode') === 'beacon' && index % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 400));
  }
  await report(`calls: ${5 + rapid}`);
}

play().catch((error) => report(`failed: ${error}`));
