// How to send: three ways with the real address and the key; below, what arrives, or why it was refused.
import { FirstEvent } from "../../parts/FirstEvent";

export function Install() {
  return <FirstEvent isCompact={false} />;
}
