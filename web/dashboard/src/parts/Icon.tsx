// The icons, as paths: no font and no file.
const PATHS: Record<string, string> = {
  overview: "M3 13h6V4H3zM11 20h6V4h-6zM3 20h6v-4H3zM19 20h2V10h-2z",
  products: "M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8",
  engagement: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c0-3.6 2.9-6 6.500-6s6.500 2.400 6.500 6M16 4.300a3.500 3.500 0 0 1 0 6.500M18 14.400c2.200.8 3.500 2.900 3.500 5.600",
  explore: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16.200 16.200L21 21M8 12l2-2.500 2 2 2.500-3",
  feed: "M4 6h16M4 12h16M4 18h10",
  catalog: "M4 5c0-1 1-2 2-2h13v18H6c-1 0-2-1-2-2zM4 19c0-1 1-2 2-2h13M9 7h6",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.500v5M9 14.500v5",
  close: "M6 6l12 12M18 6L6 18",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  down: "M6 9.500l6 6 6-6",
  plus: "M12 5v14M5 12h14",
  pause: "M8 5v14M16 5v14",
  play: "M7 5l12 7-12 7z",
  table: "M4 5h16v14H4zM4 10h16M10 10v9",
  chart: "M4 19V5M4 19h16M7 15l4-5 3 3 5-6",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.500 9.500h.01",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600L19 19M5 19l1.400-1.400M17.600 6.400L19 5",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
  auto: "M12 20.500a8.500 8.500 0 1 0 0-17 8.500 8.500 0 0 0 0 17zM12 3.500v17M15 5.500v13M18 8v8",
  filter: "M4 6h16M7 12h10M10 18h4",
  calendar: "M4 6h16v14H4zM4 11h16M8 3v4M16 3v4",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16.200 16.200L21 21",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  wall: "M3 5h18v12H3zM8 21h8M12 17v4",
  help: "M12 20.500a8.500 8.500 0 1 0 0-17 8.500 8.500 0 0 0 0 17zM9.500 9.500c0-3.500 5.500-3 5 .2-.3 1.800-2.500 1.800-2.500 3.800M12 17h.01",
  out: "M10 4H5v16h5M15 8l4 4-4 4M19 12H10",
};

export function Icon({ name }: { name: string }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name] ?? ""} />
    </svg>
  );
}
