// Runs Vercel's AI SDK against a server and prints, as one JSON object, what each scenario got.
// usage: node ai.mjs <server's address> <provider>; the packages are found through NODE_MODULES.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [root, provider] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${process.env.NODE_MODULES}/`));
const { generateObject, stepCountIs, streamObject, streamText, tool } = require("ai");
const { createAnthropic } = require("@ai-sdk/anthropic");
const { createOpenAI } = require("@ai-sdk/openai");
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");
const { z } = require("zod");

globalThis.AI_SDK_LOG_WARNINGS = false; // it prints them among the output
const options = { baseURL: `${root}/v1`, apiKey: "none" };
const model = {
  anthropic: (name) => createAnthropic(options)(name),
  chat: (name) => createOpenAI(options).chat(name),
  compatible: (name) =>
    createOpenAICompatible({ ...options, name: "relay", includeUsage: true, supportsStructuredOutputs: true })(name),
  responses: (name) => createOpenAI(options).responses(name),
}[provider];
const person = z.object({ name: z.string(), age: z.number().int() });
const weather = tool({
  description: "The weather of a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `It snows in ${city}.`,
});

// A stream's failure is thrown instead of printed.
const onError = ({ error }) => {
  throw error;
};

const scenarios = {
  async text() {
    const pieces = [];
    const result = streamText({ model: model("demo"), prompt: "good morning", maxRetries: 0, onError });
    for await (const piece of result.textStream) pieces.push(piece);
    return { text: pieces.join(""), pieces: pieces.length, finish: await result.finishReason, usage: await result.usage };
  },
  async thinker() {
    const result = streamText({ model: model("demo/thinker"), prompt: "good morning", maxRetries: 0, onError });
    await result.consumeStream();
    return { text: await result.text, reasoning: await result.reasoningText };
  },
  async tools() {
    const result = streamText({
      model: model("demo"),
      prompt: "What is the weather in Oslo?",
      tools: { get_weather: weather },
      stopWhen: stepCountIs(3),
      maxRetries: 0,
      onError,
    });
    await result.consumeStream();
    const steps = await result.steps;
    const calls = steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input]));
    return { calls, text: await result.text, finish: steps.map((step) => step.finishReason) };
  },
  async object() {
    const asked = { model: model("demo"), schema: person, prompt: "Jane is 54 years old.", maxRetries: 0 };
    const { object } = await generateObject(asked);
    return object;
  },
  async objectStream() {
    const asked = { model: model("demo"), schema: person, prompt: "Jane is 54 years old.", maxRetries: 0 };
    const result = streamObject({ ...asked, onError });
    let parts = 0;
    for await (const _ of result.partialObjectStream) parts += 1;
    return { parts, object: await result.object };
  },
};

const got = {};
for (const [name, run] of Object.entries(scenarios)) {
  got[name] = await run().catch((error) => ({ error: `${error.name}: ${error.message} ${error.responseBody ?? ""}` }));
}
console.log(JSON.stringify(got));
