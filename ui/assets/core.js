// The page's own namespace, small tools that the other scripts share, and light or dark.
window.atelier = {};

(() => {
  atelier.find = (selector) => document.querySelector(selector);
  atelier.isShown = (element) => element.getClientRects().length > 0;

  // Browsers may refuse storage (private windows, full disks); the page then simply forgets.
  atelier.stored = (store, key, otherwise) => {
    try { return JSON.parse(store.getItem(key)) ?? otherwise; } catch { return otherwise; }
  };
  atelier.store = (store, key, value) => {
    try { store.setItem(key, JSON.stringify(value)); } catch { /* forgotten, then */ }
  };

  // Gradio adds these scripts when the page may be loaded already.
  atelier.whenReady = (work) => {
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", work);
    else work();
  };

  // Addresses are relative to <base>, so that the studio also works below a sub-path.
  atelier.get = async (address) => {
    const answer = await fetch(address, { cache: "no-store" });
    return { ok: answer.ok, status: answer.status, body: answer.ok ? await answer.json() : null };
  };
  atelier.post = async (address, body) => {
    const answer = await fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body ?? {}) });
    return { ok: answer.ok, status: answer.status, body: await answer.json().catch(() => null) };
  };

  // Write a number into a Gradio field as if it had been typed.
  atelier.setNumber = (id, number) => {
    const input = atelier.find(`#${id} input[type=number]`);
    if (!input || input.disabled) return;
    input.value = number;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };

  // A component's properties, with those that never change kept beside them.
  atelier.withFixed = (props, fixed) => new Proxy(props, {
    get: (own, name) => (name in own ? own[name] : fixed[name]),
    set: (own, name, value) => {
      own[name] = value;
      return true;
    },
  });

  // Buttons in pieces of HTML name what they do in data-action; Gradio may redraw them at any time.
  atelier.actions = {};
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-action]");
    if (button) atelier.actions[button.dataset.action]?.(button);
  });

  const THEME = "atelier.theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (atelier.stored(localStorage, THEME, system.matches ? "dark" : "light")) === "dark";
  const dress = () => {
    if (!document.body || document.body.classList.contains("dark") === dark()) return;
    document.body.classList.toggle("dark", dark());
  };
  const paint = () => {
    document.documentElement.style.colorScheme = dark() ? "dark" : "light";
    dress();
  };
  atelier.actions.theme = () => {
    atelier.store(localStorage, THEME, dark() ? "light" : "dark");
    paint();
  };
  system.addEventListener("change", paint);
  addEventListener("storage", paint);
  paint();
  // Gradio sets its own idea of light and dark when it starts; ours is put back each time.
  atelier.whenReady(() => {
    paint();
    new MutationObserver(dress).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  });
})();
