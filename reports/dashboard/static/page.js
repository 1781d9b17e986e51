// What every page has: the button that changes the theme.
const root = document.documentElement;
const button = document.getElementById("theme");

function show() {
  const dark = root.dataset.theme === "dark";
  button.setAttribute("aria-pressed", String(dark));
  button.textContent = dark ? "Light" : "Dark";
}

button.addEventListener("click", () => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("tripstream-theme", root.dataset.theme);
  } catch {
    // Then it holds for this page.
  }
  show();
  document.dispatchEvent(new Event("themechange"));
});
show();
document.querySelector("header nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
