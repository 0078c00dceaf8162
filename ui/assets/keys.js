// Keys: Ctrl+Enter (Cmd+Enter) draws, Esc stops.
(() => {
  const shown = (element) => atelier.isShown(element) && !element.disabled;
  const visible = (selector) => [...document.querySelectorAll(selector)].find(shown);

  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      const button = visible("button.generate");
      if (!button) return;
      event.preventDefault();
      event.stopPropagation();
      button.click();
    } else if (event.key === "Escape") {
      // Esc first closes what is open: a full-screen picture, a dropdown's list.
      if (document.querySelector("dialog[open]") || visible("ul[role=listbox]")) return;
      visible("button.stop")?.click();
    }
  }, true);
})();
