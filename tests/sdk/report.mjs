// Runs named cases one after the other and prints what each of them gave, as one JSON object.
// A case that throws gives what an application would see of the error.

export async function report(cases) {
  const found = {};
  for (const [name, run] of Object.entries(cases)) {
    try {
      found[name] = await run();
    } catch (error) {
      found[name] = { unexpected: describe(error) };
    }
  }
  process.stdout.write(JSON.stringify(found));
}

// What `run` throws, for cases that have to fail.
export async function failure(run) {
  try {
    await run();
  } catch (error) {
    return describe(error);
  }
  return { none: true };
}

export function describe(error) {
  return {
    class: error?.constructor?.name ?? typeof error,
    name: error?.name,
    status: error?.status ?? error?.statusCode ?? null,
    code: error?.code ?? error?.data?.error?.code ?? null,
    param: error?.param ?? error?.data?.error?.param ?? null,
    retryable: error?.isRetryable ?? null,
    message: String(error?.message ?? error).slice(0, 500),
  };
}

export async function all(iterable) {
  const found = [];
  for await (const item of iterable) found.push(item);
  return found;
}

export const environment = {
  baseURL: process.env.AIAPP_URL,
  apiKey: process.env.AIAPP_KEY,
};

export const ADD = {
  name: "add",
  description: "Add two numbers",
  schema: {
    type: "object",
    properties: { a: { type: "number" }, b: { type: "number" } },
    required: ["a", "b"],
    additionalProperties: false,
  },
};
