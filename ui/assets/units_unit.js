// One unit: its fields, its pictures, and the map that is read from them.
(() => {
  const { controls } = atelier;
  const FROM_MAP = new Set(["pictures", "mask", "preprocessor", "resolution", "pixel_perfect", "threshold_a", "threshold_b", "resize_mode"]);
  const THRESHOLDS = ["threshold_a", "threshold_b"];
  let made = 0;

  atelier.Unit = class Unit {
    constructor(units, value) {
      const { enabled = true, ...fields } = value;
      const known = Object.entries(fields).filter(([name]) => name in units.settings.unit);
      this.units = units;
      this.key = `${units.settings.id}_${++made}`;
      this.enabled = Boolean(enabled);
      this.fields = { ...units.settings.unit, ...Object.fromEntries(known) };
      delete this.fields.enabled;
      this.type = this.fields.type || null; // until one is chosen: that of the preprocessor
      this.open = true;
      this.map = null; // { url, width, height } or { problem }
      this.stale = false;
      this.asked = 0; // counts previews, so that a slow one cannot replace a newer one
      this.looking = false;
      this.drawn = null; // the drawing that its picture is
      this.said = null; // what is wrong with its picture
    }

    value() {
      return { enabled: this.enabled, ...this.fields };
    }

    get model() {
      return controls.model(this.fields.model);
    }

    // IP-Adapters take pictures as they are, as many as wanted.
    get takesPictures() {
      return this.model?.kind === "ip-adapter";
    }

    change(changes) {
      Object.assign(this.fields, changes);
      if (Object.keys(changes).some((name) => FROM_MAP.has(name))) this.stale = true;
      this.units.changed();
    }

    // The page.

    build(template) {
      const { settings } = this.units;
      this.element = template.content.firstElementChild.cloneNode(true);
      this.element.id = this.key;
      // Labels and what they are about find each other by ids.
      for (const list of this.element.querySelectorAll("select")) list.previousElementSibling.htmlFor = list.id = `${this.key}_${list.className}`;
      const slider = (name, label, max, step) => {
        const place = this.find(`[data-slider=${name}]`);
        place.dataset.field = name;
        place.id = `${this.key}_${name}`;
        return [name, atelier.unitSlider(place, { label, min: 0, max, step }, (value) => this.change({ [name]: value }))];
      };
      this.sliders = Object.fromEntries([
        slider("weight", "Control Weight", settings.weight, 0.05),
        slider("start", "Starting Control Step", 1, 0.01),
        slider("end", "Ending Control Step", 1, 0.01),
      ]);
      this.chips = Object.entries(settings.choices).map(([name, values]) => [
        name, atelier.unitChips(this.find(`fieldset[data-field=${name}]`), `${this.key}_${name}`, values, (value) => this.change({ [name]: value })),
      ]);
      this.own = null; // the preprocessor whose sliders are there
      this.pictures = new atelier.UnitPictures(this);
      this.listen();
      return this.element;
    }

    find(selector) {
      return this.element.querySelector(selector);
    }

    listen() {
      const listen = (selector, name, work) => this.find(selector).addEventListener(name, work);
      listen("header .unfold", "click", () => this.unfold(!this.open));
      listen(".on", "change", ({ target }) => {
        this.enabled = target.checked;
        this.units.changed();
      });
      listen(".remove", "click", () => this.units.remove(this));
      listen(".type", "change", ({ target }) => this.choose(target.value));
      listen(".preprocessor", "change", ({ target }) => this.change({ preprocessor: target.value, threshold_a: null, threshold_b: null }));
      listen(".model", "change", ({ target }) => this.follow(target.value));
      listen(".perfect", "change", ({ target }) => this.change({ pixel_perfect: target.checked }));
      listen(".preview", "click", () => this.look());
      this.element.addEventListener("marked", () => this.unfold(true));
    }

    unfold(open) {
      this.open = open;
      this.units.refresh();
    }

    // A type brings its preprocessor and its model.
    choose(type) {
      const { settings } = this.units;
      this.type = type;
      if (type === controls.ALL) return this.change({ type: "" });
      const { preprocessor, model } = controls.beginning(type, this.units.family(), settings.families, settings.none);
      this.follow(model, { type, preprocessor, threshold_a: null, threshold_b: null });
    }

    follow(model, changes = {}) {
      this.type ??= controls.typeOf(this.fields.preprocessor);
      const pictures = controls.model(model)?.kind === "ip-adapter" ? { preprocessor: controls.forPictures(this.units.settings.none) } : { pictures: this.fields.pictures.slice(0, 1) };
      this.change({ model, ...changes, ...pictures });
    }

    // What the server reads from the picture.
    async look() {
      const turn = ++this.asked;
      this.looking = true;
      this.units.refresh();
      const own = await this.units.ownPictures(controls.preprocessor(this.fields.preprocessor)?.needs_mask);
      const answer = await atelier.post("internal/control-map", { control: this.fields, ...this.units.size(), ...own }).catch(() => null);
      if (turn !== this.asked) return;
      this.looking = this.stale = false;
      const { detail } = answer?.body ?? {};
      if (answer?.ok) this.map = { ...answer.body, url: `internal/inputs/${answer.body.id}.png` };
      else this.map = { problem: typeof detail === "string" ? detail : answer ? "This could not be read. Please try another picture or preprocessor." : "Atelier does not answer. Please try again in a moment." };
      this.units.refresh();
    }

    refresh(number, place) {
      const put = atelier.putOn;
      const { element, fields, units } = this;
      const { settings } = units;
      const type = this.type ?? controls.typeOf(fields.preprocessor);
      this.readers();
      this.name(number, place);
      element.classList.toggle("folded", !this.open);
      element.classList.toggle("idle", !this.enabled);
      element.classList.toggle("as-they-are", this.takesPictures);
      put(this.find(".on"), "checked", this.enabled);
      put(this.find(".inside"), "hidden", !this.open);
      this.find("header .unfold").setAttribute("aria-expanded", String(this.open));
      atelier.unitList(this.find(".type"), [[null, controls.types().map((value) => ({ value, text: value }))]], type, (value) => value);
      atelier.unitList(this.find(".preprocessor"), controls.preprocessors(type, settings.none), fields.preprocessor, (value) => controls.preprocessor(value)?.title ?? value);
      atelier.unitList(this.find(".model"), controls.models(type, units.family(), settings.families), fields.model, (value) => value || "None");
      for (const select of element.querySelectorAll("select")) put(select, "disabled", !controls.state.known);
      put(this.find(".perfect"), "checked", fields.pixel_perfect);
      for (const [name, show] of Object.entries(this.sliders)) show(fields[name]);
      element.classList.toggle("perfect-pixels", fields.pixel_perfect);
      for (const [name, show] of this.chips) show(fields[name]);
      this.notes();
      this.pictures.refresh();
      this.mapped();
    }

    // The sliders that the preprocessor has, the resolution before them.
    readers() {
      const { preprocessor } = this.fields;
      const row = controls.preprocessor(preprocessor);
      const own = `${preprocessor} ${Boolean(row)}`;
      if (this.own === own) return;
      this.own = own;
      const { settings } = this.units;
      const [min, max] = settings.resolution;
      const sized = preprocessor !== settings.none && (row?.at_resolution ?? true); // the others look at the result's size
      const wanted = !sized ? [] : [["resolution", { label: "Preprocessor Resolution", min, max, step: 8 }]];
      (row?.sliders ?? []).slice(0, 2).forEach((slider, at) => wanted.push([THRESHOLDS[at], slider]));
      for (const name of ["resolution", ...THRESHOLDS]) delete this.sliders[name];
      this.find(".sliders").replaceChildren(...wanted.map(([name, slider]) => {
        const place = Object.assign(document.createElement("div"), { className: "field", id: `${this.key}_${name}` });
        place.dataset.field = name;
        const show = atelier.unitSlider(place, slider, (value) => this.change({ [name]: value }));
        this.sliders[name] = (value) => show(value ?? slider.value);
        return place;
      }));
      this.find("[data-field=pixel_perfect]").hidden = !sized;
    }

    notes() {
      const put = atelier.putOn;
      const row = controls.preprocessor(this.fields.preprocessor);
      const why = row && !row.ready ? row.why_not : "";
      put(this.find(".preprocessor-note"), "textContent", why === this.map?.problem ? "" : why); // once is enough
      put(this.find(".model + .note"), "textContent", this.modelNote());
      this.find(".model + .note").classList.toggle("bad", Boolean(this.fields.model));
    }

    modelNote() {
      const { model, units } = this;
      const { known } = controls.state;
      const { folder, families } = units.settings;
      if (!known) return "";
      if (!known.models.length) return `There are no control models here yet. Put ControlNets, T2I-Adapters or IP-Adapters into ${folder}, then look for models again, with the button beside the model at the top.`;
      if (!this.fields.model) return "";
      if (!model) return "This model is not here any more.";
      const why = controls.whyNot(model, units.family(), families);
      return !why ? "" : model.problem || `It is ${why}, and the chosen model is ${families[units.family()] ?? "of another kind"}.`;
    }

    mapped() {
      const put = atelier.putOn;
      const { map, looking } = this;
      const figure = this.find(".map");
      const image = figure.querySelector("img");
      figure.classList.toggle("looking", looking);
      figure.classList.toggle("old", this.stale && Boolean(map?.url) && !looking);
      figure.querySelector(".box").setAttribute("aria-busy", String(looking));
      image.hidden = !map?.url;
      if (map?.url && image.getAttribute("src") !== map.url) image.src = map.url;
      put(image, "alt", map?.url ? `The map, ${map.width} × ${map.height} pixels` : "");
      put(figure.querySelector(".words"), "hidden", Boolean(map?.url));
      put(figure.querySelector(".words"), "textContent", looking ? "Reading the picture" : "What is read from the picture");
      put(figure.querySelector(".size"), "textContent", map?.url ? `${map.width} × ${map.height}` : "");
      put(figure.querySelector(".preview"), "disabled", looking);
      const sentence = this.find(".of-map");
      put(sentence, "hidden", looking || !map?.problem);
      put(sentence, "textContent", map?.problem ?? "");
      put(this.find(".of-reading"), "textContent", (!looking && map?.notes?.join(" ")) || "");
    }

    // Its number on the page, and its place among those that are on, by which the server speaks of it.
    name(number, place) {
      const put = atelier.putOn;
      const { fields } = this;
      const [title] = (controls.preprocessor(fields.preprocessor)?.title ?? fields.preprocessor).split(":");
      const told = [fields.preprocessor === this.units.settings.none ? "" : title, this.open ? "" : fields.model, this.open || fields.weight === 1 ? "" : `weight ${fields.weight}`];
      put(this.find(".name"), "textContent", `Unit ${number}`);
      put(this.find(".summary"), "textContent", told.filter(Boolean).join(" · "));
      this.element.setAttribute("aria-label", `ControlNet unit ${number}`);
      this.element.setAttribute("role", "group");
      for (const [selector, words] of [[".remove", `Remove unit ${number}`], [".on", `Enable unit ${number}`]]) this.find(selector).setAttribute("aria-label", words);
      put(this.find(".remove"), "title", `Remove unit ${number}`);
      const own = place === null ? "" : `${this.units.settings.id}.${place}`;
      this.element.id = own || this.key;
      for (const field of this.element.querySelectorAll("[data-field]")) field.id = own ? `${own}.${field.dataset.field}` : `${this.key}_${field.dataset.field}`;
    }
  };
})();
