// What every Node driver does: read its arguments, send at an even pace, say what came of it.
//
// In: URL, key, count, and seconds to spread them over; the count is sent once for every line on stdin. Out, when stdin
// ends: one line of JSON: `sent`, and `failures` in words.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const [url, key, count, seconds] = process.argv.slice(2);
export const asked = { url, key, count: Number(count), seconds: Number(seconds) };

const failures = [];

/** An SDK's failure callback. */
export function failed(error) {
  failures.push(`${error?.code ?? error?.name}: ${error?.message ?? JSON.stringify(error)}`);
}
process.on("unhandledRejection", failed);

/** Send all, wait until the SDK has nothing left to do, and report. */
export async function drive(send, flush) {
  let sent = 0;
  for await (const _ of createInterface({ input: process.stdin })) {
    const began = performance.now();
    for (let number = 0; number < asked.count; number++) {
      const early = began + (number * asked.seconds * 1000) / asked.count - performance.now();
      if (early > 1) await sleep(early);
      send(sent++);
    }
  }
  await flush();
  process.stdout.write(JSON.stringify({ sent, failures }) + "\n");
}
