// The steps of a funnel as lists to choose from, in place of the field that they are written in. That field stays what
// the form sends.
(() => {
  const field = document.querySelector('.funnel input[name="steps"]');
  const choices = [...document.querySelectorAll("#types option")].map((option) => option.value);
  const list = document.createElement("ol");
  const add = document.createElement("button");
  const said = (name) => name.split("|").join(" or ");

  function write() {
    const steps = [...list.querySelectorAll("select")].map((one) => one.value);
    field.value = steps.join(",");
    for (const less of list.querySelectorAll("button")) less.hidden = steps.length <= 2;
    add.hidden = steps.length >= Number(field.dataset.most);
    [...list.querySelectorAll("select")].forEach((one, at) => one.setAttribute("aria-label", `Step ${at + 1}`));
  }

  function button(text, label) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    if (label) made.setAttribute("aria-label", label);
    return made;
  }

  function step(chosen) {
    const item = document.createElement("li");
    const select = document.createElement("select");
    const less = button("×", "Take this step out");
    for (const name of choices) select.append(new Option(said(name), name, false, name === chosen));
    select.addEventListener("change", write);
    less.addEventListener("click", () => {
      item.remove();
      write();
      list.querySelector("select").focus();
    });
    item.append(select, less);
    list.append(item);
    return select;
  }

  list.className = "chosen";
  add.type = "button";
  add.textContent = "Add a step";
  add.addEventListener("click", () => {
    const taken = field.value.split(",");
    step(choices.find((name) => !taken.includes(name)) ?? choices[0]).focus();
    write();
  });
  for (const name of field.value.split(",")) step(name);
  field.type = "hidden";
  field.closest("label").replaceWith(field, list, add);
  write();
})();
