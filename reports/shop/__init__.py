"""The demo shop: one page whose views are drawn in the browser from the public API, and what only a demo may answer."""
