// All pages but the first, as one part: more parts would cut what the first one shares with them into many small files.
export { default as catalog } from "./Catalog";
export { default as engagement } from "./Engagement";
export { default as explore } from "./Explore";
export { default as feed } from "./Feed";
export { default as products } from "./Products";
export { default as settings } from "./Settings";
