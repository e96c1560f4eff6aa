// The screen of a wall stays awake while the wall is shown, also after the page was hidden.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keepAwake } from "../src/state/awake";

class FakeScreen {
  locks: { released: boolean; release: () => Promise<void> }[] = [];
  refuses = false;

  async request() {
    if (this.refuses) throw new Error("The battery is low.");
    const lock = { released: false, release: async () => void (lock.released = true) };
    this.locks.push(lock);
    return lock;
  }

  countHeld = (): number => this.locks.filter(({ released }) => !released).length;
}

class FakePage extends EventTarget {
  visibilityState = "visible";

  /** As a browser does it: a hidden page loses its locks, and then gets the event. */
  turn(visibilityState: string, screen: FakeScreen): void {
    this.visibilityState = visibilityState;
    if (visibilityState === "hidden") for (const lock of screen.locks) lock.released = true;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
const watch = (screen: FakeScreen | null, page: FakePage) => keepAwake(screen as unknown as WakeLock | null, page as unknown as Document);

test("a wall that is shown holds one lock, and a wall that was left holds none", async () => {
  const [screen, page] = [new FakeScreen(), new FakePage()];
  const stop = watch(screen, page);
  await settle();
  assert.equal(screen.countHeld(), 1);
  stop();
  await settle();
  page.turn("visible", screen);
  await settle();
  assert.equal(screen.countHeld(), 0);
});

test("a page that was hidden asks again when it is seen, and not before", async () => {
  const [screen, page] = [new FakeScreen(), new FakePage()];
  watch(screen, page);
  await settle();
  page.turn("hidden", screen);
  await settle();
  assert.equal(screen.countHeld(), 0);
  page.turn("visible", screen);
  page.turn("visible", screen);
  await settle();
  assert.equal(screen.countHeld(), 1);
  assert.equal(screen.locks.length, 2);
});

test("a lock that comes after the wall was left is given back", async () => {
  const [screen, page] = [new FakeScreen(), new FakePage()];
  watch(screen, page)();
  await settle();
  assert.equal(screen.countHeld(), 0);
});

test("a refusal is no error, and the next chance is taken; a browser may have no such lock", async () => {
  const [screen, page] = [new FakeScreen(), new FakePage()];
  screen.refuses = true;
  watch(screen, page);
  await settle();
  screen.refuses = false;
  page.turn("visible", screen);
  await settle();
  assert.equal(screen.countHeld(), 1);
  watch(null, page)();
  await settle();
});
