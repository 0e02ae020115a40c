// A worker: does the jobs "upper" of a queue until it is ended; the first attempt of each fails.
import { Worker } from "bullmq";

const [name, prefix] = process.argv.slice(2);
const worker = new Worker(
  name,
  async (job) => {
    if (job.attemptsMade === 0) throw new Error("not at first");
    await job.updateProgress(50);
    return { text: job.data.text.toUpperCase() };
  },
  {
    connection: { url: process.env.REDIS_URL },
    prefix,
    settings: { backoffStrategy: (attempts) => Math.random() * 1000 * 2 ** (attempts - 1) },
  },
);
await worker.waitUntilReady();
console.log(JSON.stringify({ event: "ready" }));
