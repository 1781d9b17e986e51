// Drives @segment/analytics-node as it comes. In: URL, key, count, seconds. Out: JSON (pace.mjs).

import { Analytics } from "@segment/analytics-node";
import { asked, drive, failed } from "./pace.mjs";

const client = new Analytics({ writeKey: asked.key, host: asked.url });
client.on("error", failed);

await drive(
  (number) =>
    client.track({
      anonymousId: `visitor-${number % 50}`,
      event: "Trip Viewed",
      properties: { number, trip_id: 1 + (number % 20) },
    }),
  () => client.closeAndFlush(),
);
