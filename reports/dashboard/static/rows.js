// Rows of tables, made of text: nothing that came from outside is ever read as HTML.
export function cell(value, kind = "td") {
  const made = document.createElement(kind === "td" ? "td" : "th");
  if (kind !== "td") made.scope = kind;
  if (value instanceof Node) made.append(value);
  else made.textContent = value ?? "";
  return made;
}

// Fills a table; `rows` are lists of values, of which the first heads its row and those at `words` are text.
export function fill(table, rows, words = []) {
  table.tBodies[0].replaceChildren(
    ...rows.map((row) => {
      const made = document.createElement("tr");
      made.append(...row.map((value, at) => cell(value, at ? "td" : "row")));
      for (const at of words) made.cells[at].classList.add("words");
      return made;
    }),
  );
  const none = table.closest(".panel")?.querySelector(".none");
  if (none) none.hidden = rows.length > 0;
  table.dispatchEvent(new Event("tablechange", { bubbles: true }));
}

export const whole = (value) => Number(value).toLocaleString("en");
