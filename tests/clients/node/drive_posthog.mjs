// Drives posthog-node as it comes. In: URL, key, count, seconds. Out: JSON (pace.mjs).

import { PostHog } from "posthog-node";
import { asked, drive, failed } from "./pace.mjs";

const client = new PostHog(asked.key, { host: asked.url });
client.on("error", failed);

await drive(
  (number) =>
    client.capture({
      distinctId: `visitor-${number % 50}`,
      event: "trip viewed",
      properties: { number, trip_id: 1 + (number % 20) },
    }),
  () => client.shutdown(60_000),
);
