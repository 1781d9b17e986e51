// Drives @rudderstack/rudder-sdk-node as it comes. In: URL, key, count, seconds. Out: JSON (pace.mjs).

import Analytics from "@rudderstack/rudder-sdk-node";
import { asked, drive, failed } from "./pace.mjs";

const client = new Analytics(asked.key, { dataPlaneUrl: asked.url });
const answered = [];

await drive(
  (number) =>
    answered.push(
      new Promise((done) =>
        client.track(
          {
            anonymousId: `visitor-${number % 50}`,
            event: "Trip Viewed",
            properties: { number, trip_id: 1 + (number % 20) },
          },
          (error) => done(error && failed(error)),
        ),
      ),
    ),
  async () => {
    while (client.queue.length) await client.flush();
    await Promise.all(answered);
  },
);
