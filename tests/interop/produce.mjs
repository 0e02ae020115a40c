// Adds jobs in the ways that producers do, and prints their ids.
import { Queue } from "bullmq";

const [name, prefix] = process.argv.slice(2);
const queue = new Queue(name, { connection: { url: process.env.REDIS_URL }, prefix });
const one = await queue.add("echo", { text: "one" }, { jobId: "node-one" });
const bulk = await queue.addBulk([
  { name: "echo", data: { text: "delayed" }, opts: { jobId: "node-delayed", delay: 300 } },
  { name: "echo", data: { text: "first" }, opts: { jobId: "node-first", priority: 1 } },
  { name: "refuse", data: {}, opts: { jobId: "node-refused" } },
]);
console.log(JSON.stringify([one, ...bulk].map((job) => job.id)));
await queue.close();
