"use strict";
// What toxiproxy-node-client can do, done with the package as npm gives it. Its
// tarball carries no tests; these ask of each of its functions what its users
// rely on. CLIENT is the folder it is installed in, TOXIPROXY_URL the server,
// ECHO an address that echoes.
const { test, beforeEach } = require("node:test");
const assert = require("node:assert/strict");
const net = require("node:net");
const { createRequire } = require("node:module");
const path = require("node:path");

const client = createRequire(path.join(process.env.CLIENT, "x.cjs"));
const { Toxiproxy, Proxy, Toxic, ToxiproxyError } = client("toxiproxy-node-client");
const url = process.env.TOXIPROXY_URL;
const server = new Toxiproxy(url);
const upstream = process.env.ECHO;

// through sends a message through a proxy and tells what came back and when.
function through(listen, message) {
  const [host, port] = listen.split(":");
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const c = net.connect(Number(port), host);
    let got = "";
    c.on("data", (b) => {
      got += b;
      if (got.length >= message.length) c.destroy();
    });
    c.on("error", reject);
    c.on("close", () => resolve({ got, took: performance.now() - begin }));
    c.on("end", () => c.destroy());
    c.write(message);
  });
}

const make = (name, more) => server.createProxy({ name, listen: "localhost:0", upstream, ...more });

const failsWith = (status) => (e) => {
  assert.ok(e instanceof ToxiproxyError, `${e} is a ToxiproxyError`);
  assert.equal(e.message, `Request failed with status code ${status}`);
  return true;
};

beforeEach(async () => {
  for (const p of Object.values(await server.getAll())) await p.remove();
});

test("version", async () => {
  const { version } = JSON.parse(await server.getVersion());
  assert.match(version, /^2\.\d+\.\d+/);
});

test("create a proxy", async () => {
  const p = await make("a");
  assert.ok(p instanceof Proxy);
  assert.equal(p.name, "a");
  assert.equal(p.upstream, upstream);
  assert.equal(p.enabled, true);
  assert.match(p.listen, /^127\.0\.0\.1:[1-9]\d+$/);
  assert.equal(p.getToxiproxy(), server);
  assert.equal(p.getHost(), url);
  assert.equal(p.getPath(), `${url}/proxies/a`);
  assert.deepEqual(p.toJson(), { enabled: true, listen: p.listen, name: "a", upstream });
  assert.equal((await through(p.listen, "hello")).got, "hello");
});

test("create a proxy twice", async () => {
  await make("a");
  await assert.rejects(make("a"), failsWith(409));
});

test("create a proxy without what it needs", async () => {
  await assert.rejects(server.createProxy({ name: "a", listen: "localhost:0" }), failsWith(400));
  await assert.rejects(server.createProxy({ listen: "localhost:0", upstream }), failsWith(400));
  await assert.rejects(server.createProxy({ name: "a", listen: "nonsense", upstream }), failsWith(500));
});

test("create a disabled proxy", async () => {
  const p = await make("a", { enabled: false });
  assert.equal(p.enabled, false);
  assert.equal((await server.get("a")).enabled, false);
});

test("get a proxy", async () => {
  const p = await make("a");
  const q = await server.get("a");
  assert.deepEqual(q.toJson(), p.toJson());
  await assert.rejects(server.get("none"), failsWith(404));
});

test("get all proxies", async () => {
  assert.deepEqual(await server.getAll(), {});
  const a = await make("a");
  await make("b", { enabled: false });
  const all = await server.getAll();
  assert.deepEqual(Object.keys(all), ["a", "b"]);
  assert.ok(all.a instanceof Proxy);
  assert.deepEqual(all.a.toJson(), a.toJson());
});

test("populate", async () => {
  const made = await server.populate([
    { name: "a", listen: "127.0.0.1:0", upstream },
    { name: "b", listen: "127.0.0.1:0", upstream: "localhost:12345" },
  ]);
  assert.deepEqual(Object.keys(made), ["a", "b"]);
  assert.ok(made.a instanceof Proxy);
  assert.equal((await through(made.a.listen, "hello")).got, "hello");
  const again = await server.populate([{ name: "a", listen: made.a.listen, upstream }]);
  assert.deepEqual(again.a.toJson(), made.a.toJson());
  assert.equal(Object.keys(await server.getAll()).length, 2);
  await assert.rejects(server.populate([{ name: "c" }]), failsWith(400));
});

test("update a proxy", async () => {
  const p = await make("a");
  const off = await p.update({ enabled: false, listen: p.listen, upstream });
  assert.equal(off.enabled, false);
  assert.equal(off.listen, p.listen);
  await assert.rejects(through(p.listen, "hello"), { code: "ECONNREFUSED" });
  const on = await p.update({ enabled: true, listen: p.listen, upstream: "somehost:12345" });
  assert.equal(on.enabled, true);
  assert.equal(on.upstream, "somehost:12345");
  const back = await p.update({ upstream });
  assert.equal((await through(back.listen, "hello")).got, "hello");
});

test("remove a proxy", async () => {
  const p = await make("a");
  assert.equal(await p.remove(), undefined);
  await assert.rejects(server.get("a"), failsWith(404));
  await assert.rejects(p.remove(), failsWith(404));
  await assert.rejects(through(p.listen, "hello"), { code: "ECONNREFUSED" });
});

test("reset", async () => {
  const p = await make("a");
  await p.addToxic({ type: "latency", attributes: { latency: 60000, jitter: 0 } });
  await p.update({ enabled: false });
  assert.equal(await server.reset(), undefined);
  assert.equal((await server.get("a")).enabled, true);
  await assert.rejects(p.getToxic("latency_downstream"), failsWith(404));
  assert.equal((await through(p.listen, "hello")).got, "hello");
});

for (const [type, attributes] of [
  ["latency", { latency: 1000, jitter: 100 }],
  ["bandwidth", { rate: 1000 }],
  ["slow_close", { delay: 1000 }],
  ["timeout", { timeout: 5000 }],
  ["slicer", { average_size: 1000, delay: 1000, size_variation: 1000 }],
  ["slicer", { average_size: 64, delay: 10, size_variation: 32 }],
  ["reset_peer", { timeout: 1000 }],
  ["limit_data", { bytes: 42 }],
]) {
  test(`add a toxic: ${type} ${JSON.stringify(attributes)}`, async () => {
    const p = await make("a");
    const x = await p.addToxic({ type, attributes });
    assert.ok(x instanceof Toxic);
    assert.deepEqual(x.toJson(), { attributes, name: `${type}_downstream`, stream: "downstream", toxicity: 1, type });
    assert.equal(x.getPath(), `${url}/proxies/a/toxics/${type}_downstream`);
    assert.deepEqual((await p.getToxic(x.name)).toJson(), x.toJson());
    const up = await p.addToxic({ type, attributes, stream: "upstream", name: "named", toxicity: 0.25 });
    assert.deepEqual(up.toJson(), { attributes, name: "named", stream: "upstream", toxicity: 0.25, type });
  });
}

test("what is no toxic", async () => {
  const p = await make("a");
  await assert.rejects(p.addToxic({ type: "down", attributes: {} }), failsWith(400));
  await assert.rejects(p.addToxic({ type: "latency", attributes: { latency: "long" } }), failsWith(400));
  await assert.rejects(p.addToxic({ type: "latency", stream: "sideways", attributes: {} }), failsWith(400));
});

test("the same toxic twice", async () => {
  const p = await make("a");
  await p.addToxic({ type: "latency", attributes: { latency: 1, jitter: 0 } });
  await assert.rejects(p.addToxic({ type: "latency", attributes: { latency: 1, jitter: 0 } }), failsWith(409));
});

test("the life of a toxic", async () => {
  const p = await make("a");
  const x = await p.addToxic({ type: "latency", attributes: { latency: 300, jitter: 0 } });
  assert.ok((await through(p.listen, "hello")).took >= 290);
  const y = await x.update({ attributes: { latency: 12345, jitter: 42 } });
  assert.deepEqual(y.toJson(), { ...x.toJson(), attributes: { latency: 12345, jitter: 42 } });
  const half = await y.update({ toxicity: 0.5 });
  assert.equal(half.toxicity, 0.5);
  await x.remove();
  await assert.rejects(p.getToxic(x.name), failsWith(404));
  await assert.rejects(x.remove(), failsWith(404));
  await assert.rejects(x.update({ attributes: { latency: 1 } }), failsWith(404));
  const { got, took } = await through(p.listen, "hello");
  assert.equal(got, "hello");
  assert.ok(took < 12345);
});

test("a server that is not there", async () => {
  const none = new Toxiproxy("http://127.0.0.1:1");
  await assert.rejects(none.getVersion(), ToxiproxyError);
});
