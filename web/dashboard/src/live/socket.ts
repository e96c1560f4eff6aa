// One WebSocket per tab: connect, back off, watch for silence. It knows messages, not what they mean.

export interface SocketHandlers {
  onOpen(): void;
  onMessage(message: Record<string, unknown>): void;
  onDown(opensInARow: number): void;
}

const BACKOFF_MS = { first: 250, longest: 10_000 };
const SILENCES = 2.5;
const CONNECT_MS = 10_000;

export class LiveSocket {
  private socket: WebSocket | null = null;
  private failures = 0;
  private timer = 0;
  private watchdog = 0;
  private heartbeatMs = 10_000;
  private closed = true;
  private earliest = 0;

  constructor(
    private readonly path: string,
    private readonly handlers: SocketHandlers,
  ) {}

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  open(): void {
    this.closed = false;
    if (this.socket) return;
    clearTimeout(this.timer);
    const address = new URL(this.path, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.socket = socket;
    this.watch(CONNECT_MS);
    socket.onopen = () => this.onOpen();
    socket.onmessage = (event) => this.onMessage(String(event.data));
    socket.onclose = () => this.socket === socket && this.onClose();
  }

  /** At once, whatever the back-off: the network is back, the tab is seen, or a person asks. */
  retry(): void {
    if (this.closed || this.isOpen) return;
    clearTimeout(this.timer);
    this.drop(); // an attempt from before may wait for a network that is gone
    this.open();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
    this.drop();
  }

  send(message: object): void {
    if (this.isOpen) this.socket?.send(JSON.stringify(message));
  }

  private onOpen(): void {
    this.listen();
    this.handlers.onOpen();
  }

  private onMessage(text: string): void {
    this.listen();
    const message = JSON.parse(text) as Record<string, unknown>;
    this.failures = 0;
    if (message.type === "hello") this.heartbeatMs = Number(message.heartbeat_seconds ?? 10) * 1000;
    if (message.type === "heartbeat") this.send({ type: "pong" });
    if (message.type === "bye") this.earliest = Number(message.retry_seconds ?? 1) * 1000;
    this.handlers.onMessage(message);
  }

  /** A line that says nothing for 2.5 heartbeats is dead, whatever TCP thinks. */
  private listen(): void {
    this.watch(this.heartbeatMs * SILENCES);
  }

  private watch(silenceMs: number): void {
    clearTimeout(this.watchdog);
    this.watchdog = window.setTimeout(() => {
      this.drop();
      this.onClose();
    }, silenceMs);
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
  }

  private onClose(): void {
    this.socket = null;
    clearTimeout(this.watchdog);
    if (this.closed) return;
    this.failures += 1;
    const most = Math.min(BACKOFF_MS.longest, BACKOFF_MS.first * 2 ** this.failures);
    this.timer = window.setTimeout(() => this.open(), Math.max(this.earliest, Math.random() * most));
    this.earliest = 0;
    this.handlers.onDown(this.failures);
  }
}
