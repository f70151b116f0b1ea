// The npm package `sqs-consumer` with `pg`, tuned as its users tune it: several consumers, batches
// of ten, one INSERT of many rows for each batch. Reads a task and prints what it took, as
// benchmarks/loops.py does. Version 14 is the last that runs on Node 20.

import { existsSync, readFileSync } from "node:fs";
import { Agent } from "node:http";
import { text } from "node:stream/consumers";
import { SQSClient } from "@aws-sdk/client-sqs";
import pg from "pg";
import { Consumer } from "sqs-consumer";

const CONSUMERS = 8; // of 1, 8 and 20 the quickest
const NAMES = ["user_id", "device_type", "ip", "device_id", "locale", "app_version"];

const task = JSON.parse(await text(process.stdin));
const sqs = new SQSClient({
  endpoint: task.endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "embedded", secretAccessKey: "embedded" },
  requestHandler: { httpAgent: new Agent({ keepAlive: true, maxSockets: CONSUMERS }) },
});
const pool = new pg.Pool({ connectionString: task.postgres_url, max: CONSUMERS });
const connections = await Promise.all(Array.from({ length: CONSUMERS }, () => pool.connect()));
connections.forEach((connection) => connection.release());

async function handleMessageBatch(messages) {
  const records = messages.map((message) => JSON.parse(message.Body));
  const values = records.flatMap((record) => NAMES.map((name) => record[name]));
  const rows = records.map(
    (_, row) => `(${NAMES.map((_, column) => `$${row * NAMES.length + column + 1}`).join(", ")})`,
  );
  await pool.query(
    `INSERT INTO benchmark.plain (${NAMES.join(", ")}) VALUES ${rows.join(", ")}`,
    values,
  );
  return messages;
}

const consumers = Array.from({ length: CONSUMERS }, () =>
  Consumer.create({ queueUrl: task.queue_url, sqs, batchSize: 10, waitTimeSeconds: 1, handleMessageBatch }),
);
const [started, spent] = [performance.now(), process.cpuUsage()];
let left = task.messages;
await new Promise((done, failed) => {
  for (const consumer of consumers) {
    consumer.on("error", failed);
    consumer.on("message_processed", () => --left === 0 && done());
    consumer.start();
  }
});
const [seconds, { user, system }] = [(performance.now() - started) / 1e3, process.cpuUsage(spent)];
consumers.forEach((consumer) => consumer.stop()); // their last polls end by themselves
await pool.end();
// What getrusage tells on Linux holds what the parent had when it started this process.
const status = existsSync("/proc/self/status") ? readFileSync("/proc/self/status", "utf8") : "";
const kib = status.match(/VmHWM:\s+(\d+)/)?.[1] ?? process.resourceUsage().maxRSS;
const peak_mib = Number(kib) / 1024;
console.log(JSON.stringify({ seconds, cpu_seconds: (user + system) / 1e6, peak_mib }));
