// What belongs to this browser alone.
import { Card } from "../../parts/Card";
import { isHelpOpen } from "../../parts/Help";
import { Link } from "../../parts/links";
import { Segments } from "../../parts/Select";
import { emptyView } from "../../state/url";
import { preferences, setPreference } from "../../state/preferences";

export function BrowserSettings() {
  const { theme, shortcuts } = preferences.value;
  return (
    <div class="pair">
      <Card title="This browser" label="This browser">
        <div class="form">
          <div class="field">
            <span>Theme</span>
            <Segments label="Theme" value={theme} options={[["auto", "As the system"], ["light", "Light"], ["dark", "Dark"]]} choose={(one) => setPreference("theme", one as typeof theme)} />
          </div>
          <label class="row">
            <input type="checkbox" checked={shortcuts} onChange={(event) => setPreference("shortcuts", event.currentTarget.checked)} />
            Shortcuts of one letter
          </label>
          <div class="row">
            <button type="button" class="button" onClick={() => (isHelpOpen.value = true)}>Show the shortcuts</button>
          </div>
        </div>
      </Card>
      <Card title="A wall" label="A wall">
        <p>The overview without its frame, in large type, for a screen that everybody sees. Escape leaves it.</p>
        <div class="row">
          <Link class="button" to={{ ...emptyView(), more: { wall: "1", theme: "dark" } }}>Open the wall</Link>
          <Link class="button" to={{ ...emptyView(), more: { wall: "1", theme: "dark", hide: "money" } }}>Without money</Link>
        </div>
      </Card>
    </div>
  );
}
