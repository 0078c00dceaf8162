// Further pictures under a canvas: each is handed in at once, and named when the button is pressed. This tab of the browser remembers them.
(() => {
  const KEY = "atelier.several.";

  const item = (id, remove) => {
    const line = document.createElement("li");
    const image = document.createElement("img");
    Object.assign(image, { src: `internal/inputs/${id}.png`, alt: "", loading: "lazy", draggable: false });
    image.addEventListener("error", remove); // it is not kept any more
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: "×", title: "Take this picture away" });
    button.setAttribute("aria-label", button.title);
    button.addEventListener("click", remove);
    line.append(image, button);
    return line;
  };

  atelier.openSeveral = (element, prefix, most) => {
    const root = element.querySelector(".several");
    const find = (selector) => root.querySelector(selector);
    const ids = () => atelier.stored(sessionStorage, KEY + prefix, []);
    const keep = (now) => {
      atelier.store(sessionStorage, KEY + prefix, now);
      draw();
    };
    const draw = () => {
      const now = ids();
      root.dataset.count = now.length;
      find(".count").textContent = now.length ? `and ${now.length} more ${now.length === 1 ? "picture" : "pictures"}` : "Several at once:";
      find("ul").replaceChildren(...now.map((id) => item(id, () => keep(ids().filter((one) => one !== id)))));
    };
    const add = async (files) => {
      const lost = [];
      find(".lost").textContent = "";
      for (const file of files) {
        if (ids().length >= most) {
          lost.push(`No more than ${most} fit in here. For more, name a folder below.`);
          break;
        }
        try {
          const { id } = await atelier.handIn("internal/inputs", file);
          if (!ids().includes(id)) keep([...ids(), id]);
        } catch (error) {
          lost.push(`${file.name}: ${error.message}`);
        }
      }
      find(".lost").textContent = lost.join("\n");
    };
    const input = find("input");
    find(".add").addEventListener("click", () => input.click());
    find(".none").addEventListener("click", () => keep([]));
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = "";
      add(files);
    });
    document.addEventListener("morefiles", ({ target, detail }) => target.closest(`#${prefix}_image`) && add(detail));
    draw();
  };

  atelier.gathered = (prefix, place, values) => values.map((value, number) => (number === place ? atelier.stored(sessionStorage, KEY + prefix, []) : value));
})();
