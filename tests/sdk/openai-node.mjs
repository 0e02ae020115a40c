// OpenAI's own SDK for JavaScript.

import OpenAI from "openai";
import { ADD, all, environment, failure, report } from "./report.mjs";

const client = new OpenAI({ ...environment, maxRetries: 0 });
const messages = [{ role: "user", content: "Hello" }];
const chatTool = { type: "function", function: { name: ADD.name, parameters: ADD.schema } };
const tool = { type: "function", name: ADD.name, parameters: ADD.schema, strict: true };
const format = { type: "json_schema", name: "sum", strict: true, schema: ADD.schema };

await report({
  async chat() {
    const answer = await client.chat.completions.create({ model: "chat", messages, x_unknown: 1 });
    const { content } = answer.choices[0].message;
    return { content, usage: answer.usage.total_tokens, vendor: answer.x_vendor };
  },
  async chatStream() {
    const chunks = await all(await client.chat.completions.create({ model: "chat", messages, stream: true }));
    const said = chunks.map((chunk) => chunk.choices[0]?.delta.content).filter(Boolean);
    return { said, finish: chunks.at(-1).choices[0].finish_reason };
  },
  async chatTools() {
    const runner = client.chat.completions.runTools({
      model: "calling",
      messages,
      tools: [{ ...chatTool, function: { ...chatTool.function, parse: JSON.parse, function: ({ a, b }) => `${a + b}` } }],
    });
    return await runner.finalContent();
  },
  async chatToolsStream() {
    const stream = client.chat.completions.stream({ model: "calling", messages, tools: [chatTool] });
    const { function: called, id } = (await stream.finalMessage()).tool_calls[0];
    return { id, name: called.name, arguments: JSON.parse(called.arguments) };
  },
  async embeddings() {
    const found = await client.embeddings.create({ model: "embed", input: ["a", "b"], dimensions: 8 });
    return found.data.map((item) => item.embedding.length);
  },
  async models() {
    return (await all(client.models.list())).map((model) => model.id);
  },
  async responses() {
    const first = await client.responses.create({ model: "chat", input: "One", instructions: "Brief." });
    const second = await client.responses.create({ model: "chat", input: "Two", previous_response_id: first.id });
    const kept = await client.responses.retrieve(second.id);
    const items = await all(client.responses.inputItems.list(second.id));
    await client.responses.delete(second.id);
    const gone = await failure(() => client.responses.retrieve(second.id));
    return {
      text: first.output_text,
      usage: first.usage.total_tokens,
      kept: kept.output_text,
      items: items.map((item) => item.content[0].text),
      gone: gone.class,
    };
  },
  async responsesStream() {
    const stream = client.responses.stream({ model: "chat", input: "Hello" });
    const types = (await all(stream)).map((event) => event.type);
    return { first: types[0], last: types.at(-1), text: (await stream.finalResponse()).output_text };
  },
  async responsesTools() {
    const stream = client.responses.stream({ model: "calling", input: "1+2", tools: [tool] });
    const first = await stream.finalResponse();
    const call = first.output[0];
    const result = { type: "function_call_output", call_id: call.call_id, output: "3" };
    const body = { model: "calling", previous_response_id: first.id, input: [result], tools: [tool] };
    return { name: call.name, arguments: call.arguments, text: (await client.responses.create(body)).output_text };
  },
  async responsesParsed() {
    const answer = await client.responses.parse({ model: "json", input: "1+2", text: { format } });
    return JSON.parse(answer.output_text);
  },
  unknownModel: () => failure(() => client.chat.completions.create({ model: "nobody", messages })),
  refused: () => failure(() => client.chat.completions.create({ model: "refused", messages })),
  refusedResponse: () => failure(() => client.responses.create({ model: "refused", input: "x" })),
  limited: () => failure(() => client.chat.completions.create({ model: "limited", messages })),
  unsupported: () => failure(() => client.responses.create({ model: "chat", input: "x", tools: [{ type: "web_search" }] })),
  wrongKey: () => failure(() => client.withOptions({ apiKey: "wrong" }).models.list()),
  broken: () => failure(async () => all(await client.chat.completions.create({ model: "broken", messages, stream: true }))),
  async brokenResponse() {
    const events = await all(await client.responses.create({ model: "broken", input: "x", stream: true }));
    return { last: events.at(-1).type, message: events.at(-1).response.error.message };
  },
  async cancelled() {
    const stream = await client.chat.completions.create({ model: "slow", messages, stream: true });
    let chunks = 0;
    for await (const _chunk of stream) {
      chunks += 1;
      if (chunks === 2) stream.controller.abort();
    }
    return chunks;
  },
  async cancelledResponse() {
    const controller = new AbortController();
    const asked = client.responses.create({ model: "waiting", input: "x" }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 300);
    return (await failure(() => asked)).class;
  },
});
