// The canvas among the page's things: its buttons and sliders, files that are chosen, dropped or pasted, and what it shows of its state.
(() => {
  const SILENT = "Atelier does not answer. Please try again in a moment.";

  // Post a file and get what the server tells of it. Fails with a sentence.
  atelier.handIn = async (address, body, headers = {}) => {
    const answer = await fetch(address, { method: "POST", body, headers }).catch(() => null);
    if (!answer) throw new Error(SILENT);
    const told = await answer.json().catch(() => null);
    if (!answer.ok) throw new Error(typeof told?.detail === "string" ? told.detail : "That did not work. Please try again.");
    return told;
  };

  atelier.canvasDeeds = {
    open: (canvas) => canvas.root.querySelector(".choose-picture").click(),
    load: (canvas) => canvas.root.querySelector(".choose-mask").click(),
    remove: (canvas) => canvas.show(null),
    undo: (canvas) => canvas.restep((mask) => mask.undo()),
    redo: (canvas) => canvas.restep((mask) => mask.redo()),
    invert: (canvas) => canvas.change((mask) => mask.invert()),
    wipe: (canvas) => canvas.change((mask) => mask.everything(0)),
    save: (canvas) => canvas.save(),
    soft: (canvas) => canvas.setSoft(!canvas.state.soft),
    in: (canvas) => canvas.view.zoomBy(1.25),
    out: (canvas) => canvas.view.zoomBy(0.8),
    actual: (canvas) => canvas.view.actual(),
    fit: (canvas) => canvas.view.fit(),
    dismiss: (canvas) => canvas.say(null),
  };

  const pictureIn = (transfer) => [...(transfer?.files ?? [])][0] ?? null;

  // A canvas has room for one; whoever wants the others hears of them.
  const more = (root, files) => files.length && root.dispatchEvent(new CustomEvent("morefiles", { bubbles: true, detail: files }));

  atelier.listenToCanvas = (canvas, signal) => {
    const { root, state } = canvas;
    const find = (selector) => root.querySelector(selector);
    const listen = (target, name, work) => target.addEventListener(name, work, { signal });

    listen(root, "click", (event) => {
      const button = event.target.closest("button");
      if (button?.dataset.tool) canvas.choose(button.dataset.tool);
      else if (button?.dataset.do) canvas.do(button.dataset.do);
    });
    for (const [selector, work] of [[".choose-picture", "openFile"], [".choose-mask", "openMask"]]) {
      listen(find(selector), "change", ({ target }) => {
        const [file, ...others] = target.files;
        target.value = ""; // the same file may be chosen again
        if (file) canvas[work](file);
        more(root, others);
      });
    }
    listen(find(".size"), "input", ({ target }) => {
      state.size = atelier.brushSize(Number(target.value));
      canvas.refresh();
    });
    listen(find(".strength"), "input", ({ target }) => {
      state.strength = Number(target.value);
      canvas.refresh();
    });

    let depth = 0; // dragging over a child leaves its parent
    const dragging = (by) => {
      depth = by ? depth + by : 0;
      root.classList.toggle("dropped-on", depth > 0);
    };
    const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
    listen(root, "dragenter", (event) => carriesFiles(event) && dragging(1));
    listen(root, "dragleave", (event) => carriesFiles(event) && dragging(-1));
    listen(root, "dragover", (event) => carriesFiles(event) && event.preventDefault());
    listen(root, "drop", (event) => {
      dragging(0);
      const file = pictureIn(event.dataTransfer);
      if (!file) return;
      event.preventDefault();
      event.stopPropagation();
      canvas.openFile(file);
      more(root, [...event.dataTransfer.files].slice(1));
    });
    listen(document, "paste", (event) => {
      const file = pictureIn(event.clipboardData);
      if (!file || !root.checkVisibility() || atelier.inTextField()) return;
      event.preventDefault();
      canvas.openFile(file);
    });

    const sized = new ResizeObserver(() => canvas.view.resized());
    sized.observe(find(".stage"));
    const blurred = new MutationObserver(() => canvas.view.redraw(true));
    blurred.observe(root, { attributes: true, attributeFilter: ["data-blur"] });
    signal.addEventListener("abort", () => {
      sized.disconnect();
      blurred.disconnect();
    });
  };

  // Write only what differs, as this runs after every stroke.
  const put = (element, name, value) => {
    if (element[name] !== value) element[name] = value;
  };

  atelier.refreshCanvas = ({ root, state, waiting }) => {
    const find = (selector) => root.querySelector(selector);
    const { picture, mask, tool, size, strength, soft, said, grow } = state;
    root.dataset.mode = picture ? "picture" : "empty";
    root.dataset.tool = tool;
    root.classList.toggle("waiting", waiting > 0);
    root.setAttribute("aria-busy", String(waiting > 0));
    for (const button of root.querySelectorAll("button[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    find(".soft").setAttribute("aria-pressed", String(soft));
    const there = { picture: Boolean(picture), undo: Boolean(mask?.done.length), redo: Boolean(mask?.undone.length) };
    for (const button of root.querySelectorAll("[data-needs]")) put(button, "disabled", !there[button.dataset.needs]);
    const slider = (selector, value, text) => {
      const input = find(selector);
      put(input, "value", String(value));
      input.style.setProperty("--range_progress", `${(100 * (value - input.min)) / (input.max - input.min)}%`);
      input.setAttribute("aria-valuetext", text);
      put(input.nextElementSibling, "textContent", text);
    };
    slider(".size", atelier.brushPosition(size), `${size} px`);
    slider(".strength", strength, `${strength} %`);
    put(find(".pixels"), "textContent", picture ? atelier.growText(picture, grow) : "");
    find(".grown").hidden = tool !== "extend" && !Object.values(grow).some(Boolean);
    const card = find(".said");
    card.hidden = !said;
    card.classList.toggle("bad", Boolean(said?.bad));
    put(card.querySelector("p"), "textContent", said?.text ?? "");
  };
})();
