// Prints what QueueEvents tells of a queue, one JSON object a line, until it is ended.
import { QueueEvents } from "bullmq";

const [queue, prefix] = process.argv.slice(2);
const events = new QueueEvents(queue, { connection: { url: process.env.REDIS_URL }, prefix });
const tell = (event) => (args) => console.log(JSON.stringify({ event, ...args }));
for (const event of ["completed", "failed", "progress"]) events.on(event, tell(event));
await events.waitUntilReady();
console.log(JSON.stringify({ event: "ready" }));
