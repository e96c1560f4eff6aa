// The frame of all pages: name, pages, dot; below it what is asked; on a phone the pages are tabs at the bottom.
import type { ComponentChildren } from "preact";
import { build } from "../live/board";
import { useRef } from "preact/hooks";
import { Logo } from "../pages/SignIn";
import { go, ignored, isWall, linkTo, notice, pageView, project, signOut, view } from "../state/app";
import { preferences } from "../state/preferences";
import { nextTheme } from "../state/theme";
import { PAGES } from "../state/url";
import { Help, isHelpOpen } from "./Help";
import { Icon } from "./Icon";
import { Banners, LiveDot } from "./LiveDot";
import { Menu } from "./Menu";
import { isPaletteOpen, Palette } from "./Palette";

const ON_PHONE = 4;
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };

export function Shell({ children }: { children: ComponentChildren }) {
  if (isWall.value) return <main class="wall-main">{children}</main>;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the numbers
      </a>
      <header class="top">
        <div class="top-row">
          <PageLink page="overview" class="brand">
            <Logo />
            <span class="brand-name">{project.value?.name ?? "RTAPlatform"}</span>
          </PageLink>
          <nav aria-label="Pages" class="pages">
            {PAGES.map(({ page, name }) => (
              <PageLink page={page} key={page}>
                {name}
              </PageLink>
            ))}
          </nav>
          <div class="top-tools">
            <LiveDot />
            <button type="button" class="button icon-only wide-only" title="Go to a page, metric, period or product  (⌘K, Ctrl K)" aria-label="Go to a page, metric, period or product" onClick={() => (isPaletteOpen.value = true)}>
              <Icon name="search" />
            </button>
            <button type="button" class="button icon-only wide-only" title={`Theme: ${preferences.value.theme}  (a)`} aria-label={`Theme: ${preferences.value.theme}. Change it`} onClick={nextTheme}>
              <Icon name={THEME_ICONS[preferences.value.theme]} />
            </button>
            <button type="button" class="button icon-only wide-only" title="Shortcuts  (?)" aria-label="Shortcuts" onClick={() => (isHelpOpen.value = true)}>
              <Icon name="help" />
            </button>
            <button type="button" class="button icon-only wide-only" title="Sign out" aria-label="Sign out" onClick={() => void signOut()}>
              <Icon name="out" />
            </button>
          </div>
        </div>
      </header>
      <NewVersion />
      <Banners />
      {ignored.value.length > 0 && (
        <div class="banner" role="status">
          Left out of the address: {ignored.value.join(", ")}. The page does not know it, or its value is wrong.
          <button type="button" class="button small" onClick={() => (ignored.value = [])}>
            Fine
          </button>
        </div>
      )}
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <PhoneTabs />
      <Help />
      <Palette />
      <div class="notice-place" aria-live="polite">
        {notice.value && <div class={`notice ${notice.value.tone}`}>{notice.value.text}</div>}
      </div>
    </>
  );
}

interface PageLinkProps {
  page: (typeof PAGES)[number]["page"];
  class?: string;
  children: ComponentChildren;
}

export function PageLink({ page, children, class: kind = "" }: PageLinkProps) {
  const isHere = view.value.page === page;
  return (
    <Link to={pageView(page)} class={kind} isHere={isHere && kind !== "brand"}>
      {children}
    </Link>
  );
}

interface LinkProps {
  to: Parameters<typeof linkTo>[0];
  class?: string;
  isHere?: boolean;
  title?: string;
  children: ComponentChildren;
}

/** A link within the pages. With a modifier the browser opens it as any link. */
export function Link({ to, children, isHere = false, title, class: kind = "" }: LinkProps) {
  const open = (event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a href={linkTo(to)} class={kind} title={title} aria-current={isHere ? "page" : undefined} onClick={open}>
      {children}
    </a>
  );
}

function PhoneTabs() {
  return (
    <nav class="tabs-bottom" aria-label="Pages">
      {PAGES.slice(0, ON_PHONE).map(({ page, name }) => (
        <PageLink page={page} key={page}>
          <Icon name={page} />
          <span>{name}</span>
        </PageLink>
      ))}
      <Menu
        title="More pages"
        class="tab-more"
        align="right"
        label={
          <>
            <Icon name="more" />
            <span>More</span>
          </>
        }
      >
        {(close) => (
          <ul class="choices" onClick={close}>
            {PAGES.slice(ON_PHONE).map(({ page, name }) => (
              <li key={page}>
                <PageLink page={page}>
                  <Icon name={page} /> {name}
                </PageLink>
              </li>
            ))}
            <li>
              <button type="button" onClick={nextTheme}>
                <Icon name={THEME_ICONS[preferences.value.theme]} /> Theme: {preferences.value.theme}
              </button>
            </li>
            <li>
              <button type="button" onClick={() => void signOut()}>
                <Icon name="out" /> Sign out
              </button>
            </li>
          </ul>
        )}
      </Menu>
    </nav>
  );
}

/** The server has another build than this tab: a wall reloads by itself, a person is asked. */
function NewVersion() {
  const first = useRef("");
  if (!first.current) first.current = build.value;
  if (!build.value || build.value === first.current) return null;
  return (
    <div class="banner" role="status">
      There is a new version of the dashboard.
      <button type="button" class="button small" onClick={() => location.reload()}>
        Reload
      </button>
    </div>
  );
}
