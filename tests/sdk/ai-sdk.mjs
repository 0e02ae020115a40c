// The AI SDK, with either of its providers: OpenAI's (chat and responses) and the one for compatible servers.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embed, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";
import { ADD, all, describe, environment, failure, report } from "./report.mjs";

const openai = createOpenAI(environment);
const compatible = createOpenAICompatible({ ...environment, name: "aiapp", includeUsage: true, supportsStructuredOutputs: true });
const providers = {
  chat: (model) => openai.chat(model),
  responses: (model) => openai.responses(model),
  compatible: (model) => compatible(model),
};
const embeddings = { openai: openai.embedding("embed"), compatible: compatible.textEmbeddingModel("embed") };
const tools = {
  add: tool({ description: ADD.description, inputSchema: jsonSchema(ADD.schema), execute: ({ a, b }) => a + b }),
};
const once = { maxRetries: 0 };

function casesOf(model) {
  return {
    async text() {
      const answer = await generateText({ model: model("chat"), system: "Brief.", prompt: "Hello", ...once });
      return { text: answer.text, tokens: answer.usage.totalTokens, finish: answer.finishReason };
    },
    async stream() {
      const answer = streamText({ model: model("chat"), prompt: "Hello", ...once });
      const said = await all(answer.textStream);
      return { said, finish: await answer.finishReason, output: (await answer.usage).outputTokens };
    },
    async tools() {
      const asked = { model: model("calling"), prompt: "1+2", tools, stopWhen: stepCountIs(3), ...once };
      const answer = await generateText(asked);
      return { text: answer.text, steps: answer.steps.length, results: answer.steps[0].toolResults.map((r) => r.output) };
    },
    async toolsStream() {
      const answer = streamText({ model: model("calling"), prompt: "1+2", tools, stopWhen: stepCountIs(3), ...once });
      await answer.consumeStream();
      return { text: await answer.text, steps: (await answer.steps).length };
    },
    async conversation() {
      const messages = [{ role: "user", content: "One" }];
      const first = await generateText({ model: model("chat"), messages, ...once });
      messages.push(...first.response.messages, { role: "user", content: "Two" });
      return (await generateText({ model: model("chat"), messages, ...once })).text;
    },
    async object() {
      const output = Output.object({ schema: jsonSchema(ADD.schema) });
      return (await generateText({ model: model("json"), prompt: "1+2", output, ...once })).output;
    },
    unknownModel: () => refused(model("nobody")),
    refused: () => refused(model("refused")),
    limited: () => refused(model("limited")),
    async broken() {
      const answer = streamText({ model: model("broken"), prompt: "x", onError() {}, ...once });
      const parts = await all(answer.fullStream);
      const errors = parts.filter((part) => part.type === "error").map((part) => describe(part.error).message);
      return { errors, finish: parts.findLast((part) => part.type === "finish")?.finishReason ?? null };
    },
    async cancelled() {
      const controller = new AbortController();
      const asked = { model: model("slow"), prompt: "x", abortSignal: controller.signal, onError() {}, ...once };
      const parts = [];
      for await (const part of streamText(asked).fullStream) {
        parts.push(part.type);
        if (part.type === "text-delta") controller.abort();
      }
      return parts.at(-1);
    },
  };
}

async function refused(model) {
  let known = false;
  const found = await failure(async () => {
    try {
      await generateText({ model, prompt: "x", ...once });
    } catch (error) {
      known = APICallError.isInstance(error);
      throw error;
    }
  });
  return { ...found, known };
}

const cases = {};
for (const [provider, model] of Object.entries(providers)) {
  for (const [name, run] of Object.entries(casesOf(model))) cases[`${provider}.${name}`] = run;
}
const relayed = casesOf(() => openai.responses("native"));
for (const name of ["text", "stream", "conversation"]) cases[`relayed.${name}`] = relayed[name];
for (const [provider, model] of Object.entries(embeddings)) {
  cases[`${provider}.embeddings`] = async () => (await embed({ model, value: "a", ...once })).embedding.length;
}
await report(cases);
