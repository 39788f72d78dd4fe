// A key presses the button that names it, once: what follows is a new page.
let pressed = false;
document.addEventListener("keydown", (event) => {
  if (pressed || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const button = [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
  if (!button) return;
  event.preventDefault();
  pressed = true;
  button.click();
});
