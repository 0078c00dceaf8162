// The ControlNet units of a tab: adding and removing them, their heading, and what Gradio and the browser keep of them.
(() => {
  const { controls } = atelier;
  const FEW = 1; // so many units are unfolded when they come in

  class ControlUnits {
    constructor() {
      this.units = [];
      this.unfolded = false;
      this.seen = null; // the last value that went to or came from Python
    }

    // Gradio's side.

    mount(root, props) {
      this.mounted?.abort();
      this.mounted = new AbortController();
      const { signal } = this.mounted;
      Object.assign(this, { root, props, settings: JSON.parse(root.dataset.settings) });
      this.template = root.querySelector(".unit-template");
      this.drawing = new atelier.UnitDrawing(root, this.settings.id);
      this.unfolded ||= this.settings.pinned;
      root.classList.toggle("pinned", this.settings.pinned);
      const listen = (selector, work) => root.querySelector(selector).addEventListener("click", work, { signal });
      listen(".heading .unfold", () => this.unfold(!this.unfolded));
      listen(".add", () => this.add());
      listen(".again", () => controls.retry());
      root.addEventListener("marked", () => this.unfold(true), { signal });
      this.follow(signal);
      this.message(props.value ?? []);
      this.draw();
      if (this.unfolded) controls.look();
    }

    // What stands elsewhere on the page: the model's family, the tab's own picture, the known models.
    follow(signal) {
      const watched = new MutationObserver(() => this.refresh());
      const watch = () => {
        const facts = document.getElementById(`${this.settings.prefix}_ratios`);
        if (facts) watched.observe(facts, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-family"] });
        this.refresh();
      };
      setTimeout(watch); // Gradio may draw that after the units
      const stop = controls.heard(() => this.refresh());
      document.addEventListener("canvaschanged", () => this.refresh(), { signal });
      signal.addEventListener("abort", () => {
        watched.disconnect();
        stop();
      });
    }

    // From Python or from what the browser remembers, or this value given back.
    message(value) {
      const written = JSON.stringify(value ?? []);
      if (written === this.seen) return;
      this.seen = written;
      this.units = (value ?? []).map((unit) => new atelier.Unit(this, unit));
      for (const unit of this.units) unit.open = this.units.length <= FEW;
      this.draw();
    }

    changed() {
      const value = this.units.map((unit) => unit.value());
      this.seen = JSON.stringify(value);
      if (this.props) this.props.value = value;
      this.refresh();
    }

    // For units.

    family() {
      return document.querySelector(`#${this.settings.prefix}_ratios [data-family]`)?.dataset.family ?? "";
    }

    tabPicture() {
      return atelier.canvases[this.settings.source]?.state.picture ?? null;
    }

    // The picture that the tab starts from, and its mask where that is read too.
    async ownPictures(masked) {
      const canvas = atelier.canvases[this.settings.source];
      if (!this.tabPicture()) return {};
      const mask = masked ? (await canvas.ready()).mask : null;
      return { image: this.tabPicture().id, ...(mask ? { mask: { picture: mask } } : {}) };
    }

    size() {
      const side = (name) => Number(document.querySelector(`#${this.settings.prefix}_${name} input[type=number]`)?.value) || 512;
      return { width: side("width"), height: side("height") };
    }

    // Where a pasted picture goes, if to one of these.
    pasteInto() {
      if (!this.root?.checkVisibility() || !this.unfolded) return null;
      const open = this.units.filter((unit) => unit.open);
      const near = open.find(({ element }) => element.matches(":hover") || element.contains(document.activeElement));
      if (near || this.settings.source) return near ?? null;
      return open.find((unit) => unit.enabled && !unit.fields.pictures.length) ?? null;
    }

    add() {
      for (const unit of this.units) if (unit.fields.pictures.length) unit.open = false;
      const unit = new atelier.Unit(this, this.settings.unit);
      this.units.push(unit);
      this.draw();
      this.changed();
      unit.element.scrollIntoView({ block: "nearest" });
      unit.find(".pick").focus({ preventScroll: true });
    }

    remove(unit) {
      const place = this.units.indexOf(unit);
      this.units.splice(place, 1);
      unit.element.remove();
      this.changed();
      const next = this.units[Math.min(place, this.units.length - 1)];
      (next?.find("header .unfold") ?? this.root.querySelector(".add")).focus({ preventScroll: true });
    }

    unfold(unfolded) {
      this.unfolded = unfolded;
      if (unfolded) controls.look();
      this.refresh();
    }

    // The page.

    draw() {
      if (!this.root) return;
      this.root.querySelector(".list").replaceChildren(...this.units.map((unit) => unit.element?.isConnected ? unit.element : unit.build(this.template)));
      this.refresh();
    }

    refresh() {
      if (!this.root) return;
      const put = atelier.putOn;
      const find = (selector) => this.root.querySelector(selector);
      const on = this.units.filter((unit) => unit.enabled);
      find(".heading .unfold").setAttribute("aria-expanded", String(this.unfolded));
      put(find(".count"), "textContent", on.length ? ` · ${on.length} ${on.length === 1 ? "unit" : "units"}` : "");
      put(find(".within"), "hidden", !this.unfolded);
      put(find(".add"), "disabled", this.units.length >= this.settings.most);
      put(find(".add"), "textContent", this.units.length >= this.settings.most ? `${this.settings.most} units are the most` : "Add a unit");
      const { problem } = controls.state;
      put(find(".told"), "hidden", !problem);
      put(find(".told p"), "textContent", problem ?? "");
      this.units.forEach((unit, at) => unit.element && unit.refresh(at + 1, unit.enabled ? on.indexOf(unit) : null));
    }
  }

  atelier.units = {}; // by elem_id; they outlive what Gradio draws

  // Called when Gradio has drawn the units, and again should it draw them anew; see ui/control_units.py.
  atelier.openUnits = (element, props, watch) => {
    const root = element.querySelector(".units");
    const { id } = JSON.parse(root.dataset.settings);
    const units = (atelier.units[id] ??= new ControlUnits());
    units.mount(root, props);
    watch("value", () => units.message(props.value));
  };
})();
