// Settings: project, keys, dead letters, health, installation, this browser.
import type { ComponentType } from "preact";
import { Link } from "../parts/links";
import { PeriodPicker } from "../parts/PeriodPicker";
import { can, pageView, view } from "../state/app";
import { BrowserSettings } from "./settings/BrowserSettings";
import { DeadLetters } from "./settings/DeadLetters";
import { Health } from "./settings/Health";
import { Install } from "./settings/Install";
import { Keys } from "./settings/Keys";
import { ProjectSettings } from "./settings/ProjectSettings";

const SECTIONS: { sub: string; name: string; part: ComponentType; scope?: string }[] = [
  { sub: "project", name: "Project", part: ProjectSettings },
  { sub: "keys", name: "Keys", part: Keys, scope: "admin" },
  { sub: "dead-letters", name: "Dead letters", part: DeadLetters, scope: "admin" },
  { sub: "health", name: "Health", part: Health },
  { sub: "install", name: "Install", part: Install },
  { sub: "browser", name: "This browser", part: BrowserSettings },
];

export default function Settings() {
  const section = SECTIONS.find(({ sub }) => sub === view.value.sub) ?? SECTIONS[0];
  const Part = section?.part;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Settings</h1>
        <nav class="tabs" aria-label="Sections">
          {SECTIONS.map(({ sub, name }) => (
            <Link key={sub} to={pageView("settings", sub)} isHere={sub === section?.sub}>{name}</Link>
          ))}
        </nav>
      </div>
      {section?.sub === "dead-letters" && <PeriodPicker />}
      {section?.scope && !can(section.scope) ? (
        <div class="card">
          <p>Your key may not see this. Sign in with an admin key.</p>
        </div>
      ) : (
        Part && <Part />
      )}
    </div>
  );
}
