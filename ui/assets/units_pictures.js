// The pictures of a unit: opened, dropped, pasted or drawn; where there is none, the picture of the tab.
(() => {
  const GONE = "The picture is not kept here any more. Please choose it again.";
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const picturesIn = (transfer) => [...(transfer?.files ?? [])];

  atelier.UnitPictures = class UnitPictures {
    constructor(unit) {
      this.unit = unit;
      this.waiting = 0;
      this.box = unit.find(".own .box");
      this.shown = unit.find(".shown");
      this.listen();
    }

    listen() {
      const { unit, box } = this;
      const listen = (selector, work) => unit.find(selector).addEventListener("click", work);
      const choose = unit.find(".choose");
      for (const selector of [".pick", ".open"]) listen(selector, () => choose.click());
      listen(".draw", () => this.draw());
      listen(".clear", () => this.set([], null));
      choose.addEventListener("change", () => {
        const files = [...choose.files];
        choose.value = ""; // the same file may be chosen again
        this.open(files);
      });
      this.shown.addEventListener("click", ({ target }) => {
        const without = target.closest("[data-without]");
        if (without) this.set(unit.fields.pictures.filter((_, place) => place !== Number(without.dataset.without)), null);
      });
      let depth = 0; // dragging over a child leaves its parent
      const dragging = (by) => {
        depth = by ? depth + by : 0;
        box.classList.toggle("dropped-on", depth > 0);
      };
      box.addEventListener("dragenter", (event) => carriesFiles(event) && dragging(1));
      box.addEventListener("dragleave", (event) => carriesFiles(event) && dragging(-1));
      box.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
      box.addEventListener("drop", (event) => {
        dragging(0);
        const files = picturesIn(event.dataTransfer);
        if (!files.length) return;
        event.preventDefault();
        event.stopPropagation();
        this.open(files);
      });
    }

    // What is wrong is said below the box, and what was there stays.
    async open(files) {
      const { unit } = this;
      const many = unit.takesPictures;
      const wanted = many ? files : files.slice(0, 1);
      if (!wanted.length) return;
      this.count(1);
      const told = [];
      try {
        for (const file of wanted) told.push(await atelier.handIn("internal/inputs", file));
      } catch (error) {
        unit.said = error.message;
      }
      this.waiting -= 1;
      if (!told.length) return unit.units.refresh();
      const ids = told.map(({ id }) => id);
      this.set(many ? [...unit.fields.pictures, ...ids].slice(0, unit.units.settings.pictures) : ids, told.flatMap(({ notes }) => notes ?? []).join(" ") || null);
    }

    count(by) {
      this.waiting += by;
      this.unit.said = null;
      this.unit.units.refresh();
    }

    set(pictures, said) {
      this.unit.said = said;
      this.unit.map = null;
      this.unit.asked += 1; // a map that is still being read is of another picture
      this.unit.looking = false;
      this.unit.change({ pictures });
      if (!pictures.length) this.unit.find(".pick").focus({ preventScroll: true });
    }

    // A drawing is the map itself. One that was drawn here before can be gone on with.
    async draw() {
      const { unit } = this;
      const before = unit.fields.pictures[0] === unit.drawn?.id ? unit.drawn : null;
      const drawn = await unit.units.drawing.open(before ?? unit.units.size(), before);
      if (!drawn) return;
      unit.drawn = drawn;
      unit.change({ preprocessor: unit.units.settings.none, threshold_a: null, threshold_b: null });
      this.set([drawn.id], null);
    }

    refresh() {
      const put = atelier.putOn;
      const { unit, box } = this;
      const { pictures } = unit.fields;
      const tab = pictures.length ? null : unit.units.tabPicture();
      const seen = tab ? [tab.url] : pictures.map((id) => `internal/inputs/${id}.png`);
      box.classList.toggle("empty", !seen.length);
      box.classList.toggle("many", pictures.length > 1);
      box.classList.toggle("of-the-tab", Boolean(tab));
      box.classList.toggle("waiting", this.waiting > 0);
      box.setAttribute("aria-busy", String(this.waiting > 0));
      box.setAttribute("aria-label", unit.takesPictures ? "Pictures" : "Picture");
      const written = JSON.stringify(seen);
      if (this.written !== written) {
        this.written = written;
        this.shown.replaceChildren(...seen.map((address, place) => this.frame(address, place, pictures.length > 1)));
      }
      put(unit.find(".pick .words"), "textContent", unit.units.settings.source ? "The picture of this tab, or drop another one here" : "Drop a picture here, paste it, or open one");
      put(unit.find(".clear"), "disabled", !pictures.length);
      const thumb = unit.find(".thumb");
      thumb.hidden = unit.open || !seen.length;
      if (seen.length && thumb.getAttribute("src") !== seen[0]) thumb.src = seen[0];
      const sentence = unit.find(".of-picture");
      put(sentence, "hidden", !unit.said);
      put(sentence, "textContent", unit.said ?? "");
    }

    frame(address, place, several) {
      const { unit } = this;
      const frame = document.createElement("span");
      const image = Object.assign(document.createElement("img"), { src: address, alt: several ? `Picture ${place + 1}` : "The picture", draggable: false });
      image.addEventListener("error", () => {
        if (!image.isConnected || unit.said === GONE) return;
        unit.said = GONE;
        unit.units.refresh();
      });
      frame.append(image);
      if (several) {
        const button = Object.assign(document.createElement("button"), { type: "button", className: "icon close", title: "Take this picture away" });
        button.dataset.without = place;
        button.setAttribute("aria-label", `Take picture ${place + 1} away`);
        frame.append(button);
      }
      return frame;
    }
  };

  // A pasted picture goes to the unit under the pointer or in the hand; in tabs without a canvas, to the first one that has none.
  document.addEventListener("paste", (event) => {
    const files = picturesIn(event.clipboardData);
    if (!files.length || atelier.inTextField() || document.querySelector("dialog[open]")) return;
    const unit = Object.values(atelier.units).map((units) => units.pasteInto()).find(Boolean);
    if (!unit) return;
    event.preventDefault();
    event.stopPropagation();
    unit.pictures.open(files);
  }, true);
})();
