// Links between the pages.
import { can, pageView } from "../state/app";
import { Link } from "./Shell";

export { Link };

export const canEdit = (): boolean => can("catalog:write");

/** An id that the catalog does not have: one click to create it, with the id filled in. */
export function NewProductLink({ id }: { id: string }) {
  if (!canEdit()) return <>not in the catalog</>;
  const view = pageView("catalog", "products");
  return (
    <>
      not in the catalog · <Link to={{ ...view, more: { ...view.more, add: id } }}>add</Link>
    </>
  );
}
