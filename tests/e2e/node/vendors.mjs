// Runs jobs with the official OpenAI client for Node and with the Vercel AI SDK, and prints what
// each of them read, as JSON. Usage: node vendors.mjs < {"workers", "jobs": [{…}]}
import { AsyncLocalStorage } from "node:async_hooks";
import { text } from "node:stream/consumers";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateImage, generateText, jsonSchema, streamText, tool } from "ai";
import OpenAI, { toFile } from "openai";

const current = new AsyncLocalStorage();
const unowned = [];

// Whatever a client says beside its answer is a warning of the job that it is busy with.
function warn(...words) {
  (current.getStore() ?? unowned).push(words.map(String).join(" ").slice(0, 600));
}
for (const level of ["log", "info", "warn", "error", "debug"]) console[level] = warn;
process.on("warning", warn);

const prompt = "hello";
const messages = [{ role: "user", content: prompt }];
const pixel = Buffer.from("89504e470d0a1a0a", "hex");

function usageOf(usage) {
  return (
    usage && {
      prompt: usage.prompt_tokens,
      completion: usage.completion_tokens,
      cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
      reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0,
    }
  );
}

function callOf(call) {
  const inner = call.function ?? call.custom ?? call;
  return [call.id, inner.name, inner.arguments ?? inner.input ?? ""];
}

function choiceOf(message, finish) {
  const calls = (message.tool_calls ?? []).map(callOf);
  if (message.function_call) {
    calls.push(["", message.function_call.name, message.function_call.arguments]);
  }
  return {
    text: message.content ?? "",
    reasoning: message.reasoning_content ?? message.reasoning ?? "",
    refusal: message.refusal ?? "",
    calls,
    finish,
    audio: message.audio?.transcript ?? "",
    audio_data: message.audio?.data?.length ?? 0,
    sources: (message.annotations ?? []).map((note) => note.url_citation.url),
  };
}

function readCompletion(completion) {
  const choices = {};
  for (const { index, message, finish_reason } of completion.choices) {
    choices[index] = choiceOf(message, finish_reason);
  }
  return { choices, usage: usageOf(completion.usage) };
}

function errorOf(error) {
  return {
    status: error.status ?? error.statusCode,
    code: error.code ?? error.data?.error?.code,
    message: error.error?.message ?? error.data?.error?.message ?? error.message ?? String(error),
  };
}

// A stream by hand: what each delta adds, as people write it.
async function readChunks(stream) {
  const held = {};
  let usage;
  let error;
  try {
    for await (const chunk of stream) {
      usage = chunk.usage;
      for (const { index, delta, finish_reason } of chunk.choices) {
        held[index] ??= { message: emptyMessage() };
        if (finish_reason) held[index].finish = finish_reason;
        addDelta(held[index].message, delta);
      }
    }
  } catch (failure) {
    if (!Object.keys(held).length) throw failure;
    error = errorOf(failure);
  }
  const choices = {};
  for (const [index, { message, finish }] of Object.entries(held)) {
    message.tool_calls = message.tool_calls.filter(Boolean);
    choices[index] = choiceOf(message, finish);
  }
  return { choices, usage: usageOf(usage), error };
}

function emptyMessage() {
  return { tool_calls: [], annotations: [], audio: {} };
}

function addDelta(message, delta) {
  for (const name of ["content", "refusal", "reasoning_content", "reasoning"]) {
    if (delta[name]) message[name] = (message[name] ?? "") + delta[name];
  }
  for (const call of delta.tool_calls ?? []) {
    const known = (message.tool_calls[call.index] ??= { function: { name: "", arguments: "" } });
    if (call.id) known.id = call.id;
    for (const name of ["name", "arguments"]) {
      known.function[name] += (call.function ?? call.custom)?.[name] ?? "";
    }
    known.function.arguments += call.custom?.input ?? "";
  }
  if (delta.function_call) {
    const known = (message.function_call ??= { name: "", arguments: "" });
    known.name += delta.function_call.name ?? "";
    known.arguments += delta.function_call.arguments ?? "";
  }
  message.annotations.push(...(delta.annotations ?? []));
  for (const name of ["data", "transcript"]) {
    if (delta.audio?.[name]) message.audio[name] = (message.audio[name] ?? "") + delta.audio[name];
  }
}

// The official client: whole answers, streams by hand, and its own helper where usage is asked for.
async function readOpenAI(job) {
  const client = new OpenAI({ baseURL: job.baseURL, apiKey: job.apiKey, maxRetries: 0 });
  if (job.kind === "models") {
    return { models: (await client.models.list()).data.map(({ id }) => id) };
  }
  if (job.kind === "images" || job.kind === "edits") return readOpenAIImages(client, job);
  const params = { model: job.model, messages, ...(job.choices > 1 && { n: job.choices }) };
  if (!job.stream) return readCompletion(await client.chat.completions.create(params));
  if (!job.usage) {
    return readChunks(await client.chat.completions.create({ ...params, stream: true }));
  }
  const runner = client.chat.completions.stream({
    ...params,
    stream_options: { include_usage: true },
  });
  // Of fields that it does not know, and of lists, the helper keeps the last part only: reasoning
  // and citations are read of the chunks, as everyone has to who wants them.
  const parts = {};
  let error;
  let snapshot;
  try {
    for await (const { choices } of runner) {
      snapshot = runner.currentChatCompletionSnapshot;
      for (const { index, delta } of choices) addDelta((parts[index] ??= emptyMessage()), delta);
    }
    snapshot = await runner.finalChatCompletion();
  } catch (failure) {
    if (!snapshot) throw failure;
    error = errorOf(failure);
  }
  for (const { index, message } of snapshot.choices) {
    const { reasoning_content, reasoning, annotations } = parts[index];
    Object.assign(message, { reasoning_content, reasoning, annotations });
  }
  return { ...readCompletion(snapshot), error };
}

async function readOpenAIImages(client, job) {
  const params = { model: job.model, prompt };
  const imageOf = (item) => item.url ?? item.b64_json;
  if (job.kind === "edits") {
    const image = await toFile(pixel, "a.png", { type: "image/png" });
    return { images: (await client.images.edit({ ...params, image })).data.map(imageOf) };
  }
  if (!job.stream) return { images: (await client.images.generate(params)).data.map(imageOf) };
  const images = [];
  for await (const event of await client.images.generate({ ...params, stream: true })) {
    images.push(imageOf(event));
  }
  return { images };
}

// The AI SDK. An image's address is fetched by it: here whatever is not the gateway's is a pixel.
function providerOf(job, fetched) {
  const options = {
    name: "tollgate",
    baseURL: job.baseURL,
    apiKey: job.apiKey,
    includeUsage: job.usage,
    fetch: async (address, init) => {
      if (String(address).startsWith(job.baseURL)) return fetch(address, init);
      fetched.push(String(address));
      return new Response(pixel, { headers: { "content-type": "image/png" } });
    },
  };
  if (job.client === "ai-compatible") return createOpenAICompatible(options);
  return createOpenAI(options);
}

async function readAI(job) {
  const fetched = [];
  const provider = providerOf(job, fetched);
  if (job.kind === "images" || job.kind === "edits") return readAIImages(provider, job, fetched);
  const model =
    job.client === "ai-compatible" ? provider.chatModel(job.model) : provider.chat(job.model);
  const schema = { inputSchema: jsonSchema({ type: "object" }) };
  const tools = Object.fromEntries(job.tools.map((name) => [name, tool(schema)]));
  const options = { model, prompt, maxRetries: 0, ...(job.tools.length && { tools }) };
  if (!job.stream) {
    const result = await generateText(options);
    current.getStore().push(...(result.warnings ?? []).map((entry) => JSON.stringify(entry)));
    return readAIParts(result.content, result);
  }
  const parts = [];
  let error;
  let last;
  for await (const part of streamText({ ...options, onError: () => {} }).fullStream) {
    parts.push(part);
    if (part.type === "error") error ??= part.error;
    if (part.type === "start-step") {
      current.getStore().push(...part.warnings.map((entry) => JSON.stringify(entry)));
    }
    if (part.type === "finish-step") last = part;
  }
  if (error && !parts.some(({ type }) => type === "start-step")) throw error;
  return { ...readAIParts(parts, last ?? {}), error: error && errorOf(error) };
}

function readAIParts(parts, { rawFinishReason, usage }) {
  const choice = { text: "", reasoning: "", calls: [], sources: [], finish: rawFinishReason };
  for (const part of parts) {
    if (/^text/.test(part.type)) choice.text += part.text ?? "";
    if (/^reasoning/.test(part.type)) choice.reasoning += part.text ?? "";
    if (part.type === "source") choice.sources.push(part.url);
    if (part.type === "tool-call") {
      choice.calls.push([part.toolCallId, part.toolName, JSON.stringify(part.input)]);
    }
  }
  const has = usage && usage.inputTokens != null;
  return {
    choices: { 0: choice },
    usage: has && {
      prompt: usage.inputTokens,
      completion: usage.outputTokens,
      cached: usage.inputTokenDetails?.cacheReadTokens ?? 0,
      reasoning: usage.outputTokenDetails?.reasoningTokens ?? 0,
    },
  };
}

async function readAIImages(provider, job, fetched) {
  const result = await generateImage({
    model: provider.imageModel(job.model),
    prompt: job.kind === "edits" ? { text: prompt, images: [pixel] } : prompt,
    maxRetries: 0,
  });
  current.getStore().push(...result.warnings.map((entry) => JSON.stringify(entry)));
  return { images: fetched.length ? fetched : result.images.map(({ base64 }) => base64) };
}

async function run(job) {
  const warnings = [];
  return current.run(warnings, async () => {
    try {
      const seen = await (job.client === "node" ? readOpenAI(job) : readAI(job));
      return { ...seen, warnings };
    } catch (error) {
      if (!(error.status ?? error.statusCode)) warnings.push(`${error.name}: ${error.message}`);
      return { error: errorOf(error), warnings };
    }
  });
}

const { workers, jobs } = JSON.parse(await text(process.stdin));
const readings = new Array(jobs.length);
let next = 0;
async function work() {
  while (next < jobs.length) {
    const position = next++;
    readings[position] = await run(jobs[position]);
  }
}
await Promise.all(Array.from({ length: workers }, work));
process.stdout.write(JSON.stringify({ readings, warnings: unowned }));
