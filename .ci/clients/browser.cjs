// Chromium decodes the list and revalidates it on its own.
//
// browser.cjs URL LIST: LIST holds the bytes that the list has under no coding. A proxy
// between the browser and the gateway writes down what goes over the wire, which a page
// is not told: its fetch sees a 200 where the server said 304.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const { chromium } = require("playwright-core");

const [, , url, listPath] = process.argv;
const expected = fs.readFileSync(listPath, "utf8");
const gateway = new URL(url);
const wire = [];

const proxy = http.createServer((request, response) => {
  const { method, url: path, headers } = request;
  const upstream = http.request(
    { host: gateway.hostname, port: gateway.port, method, path, headers },
    (answer) => {
      if (path === gateway.pathname) {
        wire.push({
          asked: headers["if-none-match"],
          accepted: headers["accept-encoding"],
          status: answer.statusCode,
          etag: answer.headers.etag,
          coding: answer.headers["content-encoding"] ?? "identity",
        });
      }
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    },
  );
  upstream.on("error", (error) => response.destroy(error));
  request.pipe(upstream);
});

let failed = false;
function check(name, holds, what) {
  failed ||= !holds;
  console.log(holds ? `ok   chromium ${name}` : `FAIL chromium ${name}: ${JSON.stringify(what)}`);
}

async function main() {
  await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${proxy.address().port}`;
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-quic",
    ],
  });
  try {
    const page = await browser.newPage();
    // Its own page is the list: so fetch() is of the same origin.
    await page.goto(origin + gateway.pathname);
    const load = () =>
      page.evaluate(async (path) => {
        const answer = await fetch(path);
        return { status: answer.status, text: await answer.text() };
      }, gateway.pathname);
    const first = await load();
    const before = wire.length;
    const second = await load();
    const again = wire.slice(before);

    const opened = wire[0];
    check("gets a coding that it offered", opened.coding !== "identity" && opened.accepted.includes(opened.coding), opened);
    check("decodes the list", first.status === 200 && first.text === expected, first.status);
    const revalidated =
      again.length === 1 && again[0].status === 304 && again[0].asked === opened.etag && again[0].etag === opened.etag;
    check("revalidates the list", revalidated, again);
    check("shows the same list after a 304", second.status === 200 && second.text === expected, second.status);

    const reloaded = wire.length;
    await page.reload();
    const shown = await page.evaluate(() => document.body.innerText);
    check("revalidates when the page is reloaded", wire[reloaded]?.status === 304, wire.slice(reloaded));
    check("shows the list to a person", shown.includes("acme/quill-3-mini"), shown.slice(0, 80));
  } finally {
    await browser.close();
    proxy.close();
    proxy.closeAllConnections();
  }
}

main().then(
  () => process.exit(failed ? 1 : 0),
  (error) => {
    console.log(`FAIL chromium: ${String(error).split("\n")[0]}`);
    process.exit(1);
  },
);
