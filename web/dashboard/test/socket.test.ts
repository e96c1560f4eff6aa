// The socket of a tab, on lines that never open, fall silent, or wait for a network that is gone.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { LiveSocket } from "../src/live/socket";

class FakeSocket {
  static readonly OPEN = 1;
  static made: FakeSocket[] = [];
  readyState = 0;
  isDropped = false;
  onopen = () => {};
  onmessage = (_event: { data: string }) => {};
  onclose = () => {};

  constructor() {
    FakeSocket.made.push(this);
  }

  open(): void {
    this.readyState = FakeSocket.OPEN;
    this.onopen();
  }

  send(): void {}

  close(): void {
    this.isDropped = true;
    this.readyState = 2;
  }
}

const downs: number[] = [];
const handlers = { onOpen: () => {}, onMessage: () => {}, onDown: (failures: number) => downs.push(failures) };
const opened = (): LiveSocket => {
  const socket = new LiveSocket("/v1/live/ws", handlers);
  socket.open();
  return socket;
};

beforeEach(() => {
  Object.assign(globalThis, { window: globalThis, WebSocket: FakeSocket, location: { href: "http://127.0.0.1/" } });
  FakeSocket.made = [];
  downs.length = 0;
  mock.timers.enable({ apis: ["setTimeout"] });
});
afterEach(() => mock.timers.reset());

test("an attempt that never opens is given up, and another is made", () => {
  opened();
  mock.timers.tick(10_000);
  assert.equal(FakeSocket.made[0]?.isDropped, true);
  assert.deepEqual(downs, [1]);
  mock.timers.tick(500);
  assert.equal(FakeSocket.made.length, 2);
});

test("once the network is back, an attempt from before is not waited for", () => {
  const socket = opened();
  socket.retry();
  assert.equal(FakeSocket.made[0]?.isDropped, true);
  assert.equal(FakeSocket.made.length, 2);
});

test("an open line is kept, whoever asks for another", () => {
  const socket = opened();
  FakeSocket.made[0]?.open();
  socket.retry();
  assert.equal(FakeSocket.made.length, 1);
});

test("a line that says nothing for two and a half heartbeats is dead", () => {
  opened();
  FakeSocket.made[0]?.open();
  mock.timers.tick(24_999);
  assert.equal(FakeSocket.made[0]?.isDropped, false);
  mock.timers.tick(1);
  assert.equal(FakeSocket.made[0]?.isDropped, true);
  assert.deepEqual(downs, [1]);
});

test("a socket that was closed stays closed", () => {
  const socket = opened();
  socket.close();
  socket.retry();
  mock.timers.tick(60_000);
  assert.equal(FakeSocket.made.length, 1);
});
